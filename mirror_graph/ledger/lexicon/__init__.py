"""How people state a safety fact, as data: one TOML file a language, read once at the first message.

A frame is who speaks and the verb ("I suffer from"), for the user and for somebody the user names. A
predicate is what may follow it ("a severe {things} allergy"); a statement needs no frame ("heights terrify
me"). The group `things` is a list of dangers, `about` a single one. `words` are named alternatives, ` | ` or
a line break between two, that stand as `{name}` in any pattern. Patterns meet folded text.
"""

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from mirror_graph.ledger.folding import fold_character
from mirror_graph.state.values import Kind, Severity

_BETWEEN = re.compile(r" [|] |\n")


class Rule(NamedTuple):
    """What a claim looks like and what it says; `intense` is its severity beside a word like "severe".

    The danger is `danger`, matched where the pattern ends, or a group of the pattern. `things` and a
    `danger` may be several.
    """

    kind: Kind
    severity: Severity
    intense: Severity
    pattern: re.Pattern[str]
    danger: re.Pattern[str] | None


class Frame(NamedTuple):
    """Who speaks and the verb, and what may follow."""

    pattern: re.Pattern[str]
    predicates: list[Rule]


class Language(NamedTuple):
    """One language's ways of stating a constraint, and of not meaning it; no sentence without its `cue` can.

    A list ends at an `aside`, a comma or an "and" that opens a clause: "allergic to shellfish, one prawn put me in
    hospital", "afraid of snakes and freeze".
    """

    code: str
    frames: list[Frame]
    statements: list[Rule]
    others: re.Pattern[str]
    cue: re.Pattern[str]
    separators: re.Pattern[str]
    joins: re.Pattern[str]
    unreal: re.Pattern[str]
    undone: re.Pattern[str]
    intense: re.Pattern[str]
    deadly: re.Pattern[str]
    first: re.Pattern[str] = re.compile("(?!)")
    aside: re.Pattern[str] = re.compile("(?!)")


class Lexicon(NamedTuple):
    """Every language, and how all of them lead, up to a colon, to someone else's words."""

    languages: list[Language]
    introductions: re.Pattern[str]


@cache
def lexicon() -> Lexicon:
    """Read and compile every language."""
    tables = [
        tomllib.loads(entry.read_text(encoding="utf-8"))
        for entry in files("mirror_graph.ledger.lexicon").iterdir()
        if entry.name.endswith(".toml")
    ]
    tables.sort(key=lambda table: table["order"])
    phrases = "|".join(phrase for table in tables for phrase in table["introductions"])
    introductions = re.compile(rf"(?:{phrases})[^\n.!?:：]*\Z", re.IGNORECASE)
    return Lexicon([_language(table) for table in tables], introductions)


def _language(table: dict[str, Any]) -> Language:
    words = {name: _alternatives(text) for name, text in table["words"].items()}
    dangers = {name: _compiled(pattern, words) for name, pattern in table["dangers"].items()}
    rules: dict[str, list[Rule]] = {name: [] for name in table["frames"]}
    for entry in table["predicates"]:
        for name in entry["after"]:
            rules[name] += _rules(entry, words, dangers)
    return Language(
        code=table["code"],
        frames=[Frame(_compiled(_subject(frame), words), rules[name]) for name, frame in table["frames"].items()],
        statements=[rule for entry in table["statements"] for rule in _rules(entry, words, dangers)],
        others=_compiled("{relation}", words),
        **{name: _compiled(pattern, words) for name, pattern in table["marks"].items()},
    )


def _subject(frame: dict[str, str]) -> str:
    """Let the user, or somebody they name, stand before the verb."""
    other = rf"(?:(?P<whose>{{relation}})|(?P<pronoun>{{pronoun}}))(?:{_joined(frame['other'])})"
    return rf"(?<!\w)(?:{other}|{_joined(frame['user'])}){{filler}}{{0,5}}+\s?"


def _rules(entry: dict[str, Any], words: dict[str, str], dangers: dict[str, re.Pattern[str]]) -> list[Rule]:
    severity = entry["severity"]
    danger = dangers[entry["danger"]] if "danger" in entry else None
    return [
        Rule(entry["kind"], severity, entry.get("intense", severity), _compiled(pattern, words), danger)
        for pattern in entry["says"]
    ]


def _alternatives(text: str) -> str:
    return "(?:" + "|".join(_BETWEEN.split(text.strip("\n"))) + ")"


def _joined(lines: str) -> str:
    return "".join(lines.split("\n"))


def _compiled(pattern: str, words: dict[str, str]) -> re.Pattern[str]:
    """Put in the words that `pattern` names, and those that they name, spelt as folded text is."""
    while (filled := re.sub(r"\{([a-z_]+)\}", lambda name: words[name[1]], pattern)) != pattern:
        pattern = filled
    return re.compile("".join(letter if letter.isascii() else fold_character(letter) for letter in _joined(pattern)))
