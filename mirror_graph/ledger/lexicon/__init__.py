"""How people state a safety fact, as data: one TOML file a language, read once at the first message.

A frame is who speaks and the verb ("I suffer from"), for the user and for somebody the user names. A
predicate is what may follow it ("a severe {things} allergy"); a statement needs no frame ("heights terrify
me"). The group `things` is a list of dangers, `about` a single one. `words` are named alternatives, ` | ` or
a line break between two, that stand as `{name}` in any pattern. Patterns meet folded text.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib.resources import files
from typing import Any, NamedTuple

from mirror_graph.ledger.folding import fold_character
from mirror_graph.state.values import Kind, Severity

_BETWEEN = re.compile(r" [|] |\n")


class Pattern:
    """A regular expression that is compiled when it is first asked for: a message needs few of the 700.

    `words` are what stands for `{name}` in it, and in them.
    """

    def __init__(self, source: str, words: Mapping[str, str] | None = None) -> None:
        self._source = source
        self._words = words or {}

    def match(self, text: str, start: int = 0, end: int = sys.maxsize) -> re.Match[str] | None:
        """Match at `start`."""
        return self._compiled.match(text, start, end)

    def search(self, text: str, start: int = 0, end: int = sys.maxsize) -> re.Match[str] | None:
        """Find the first match between `start` and `end`."""
        return self._compiled.search(text, start, end)

    def finditer(self, text: str, start: int = 0, end: int = sys.maxsize) -> Iterator[re.Match[str]]:
        """Find every match between `start` and `end`."""
        return self._compiled.finditer(text, start, end)

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        """Put in the words that the source names, and those that they name, spelt as folded text is."""
        source = self._source
        while (filled := re.sub(r"\{([a-z_]+)\}", lambda name: self._words[name[1]], source)) != source:
            source = filled
        return re.compile("".join(letter if letter.isascii() else fold_character(letter) for letter in _joined(source)))


class Rule(NamedTuple):
    """What a claim looks like and what it says; `intense` is its severity next to a word like "severe".

    The danger is `danger`, matched where the pattern ends, or a group of the pattern. `things` and a
    `danger` may be several.
    """

    kind: Kind
    severity: Severity
    intense: Severity
    pattern: Pattern
    danger: Pattern | None


class Frame(NamedTuple):
    """Who speaks and the verb, and what may follow."""

    pattern: Pattern
    predicates: list[Rule]


class Statements(NamedTuple):
    """Rules that need no frame; those that begin a clause are tried only where `opening` says that one begins."""

    opening: Pattern
    at_clause: list[Rule]
    anywhere: list[Rule]


class Language(NamedTuple):
    """One language's ways of stating a constraint, and of not meaning it; no sentence without its `cue` can.

    A list ends at an `aside`, a comma or an "and" that opens a clause: "allergic to shellfish, one prawn put me in
    hospital", "afraid of snakes and freeze". `harm` are the words of a danger, and `harmless` those of its contrary.
    `figure` are figures of speech that only sound like a danger ("allergic to Mondays"). `bearers` are other people
    who have a condition ("somebody with a nut allergy"). `refers` points at what a question before the sentence names:
    "Peanuts? I'm allergic to them." No sentence without `unframed` fits a statement.
    """

    code: str
    frames: list[Frame]
    statements: Statements
    others: Pattern
    cue: Pattern
    separators: Pattern
    joins: Pattern
    unreal: Pattern
    undone: Pattern
    intense: Pattern
    deadly: Pattern
    first: Pattern = Pattern("(?!)")
    aside: Pattern = Pattern("(?!)")
    harm: Pattern = Pattern("(?!)")
    harmless: Pattern = Pattern("(?!)")
    bearers: Pattern = Pattern("(?!)")
    refers: Pattern = Pattern("(?!)")
    figure: Pattern = Pattern("(?!)")
    unframed: Pattern = Pattern("")

    def patterns(self) -> Iterator[Pattern]:
        """Yield every pattern of the language."""
        yield from (value for value in self if isinstance(value, Pattern))
        yield self.statements.opening
        yield from (frame.pattern for frame in self.frames)
        rules = [*self.statements.at_clause, *self.statements.anywhere]
        for rule in (*rules, *(rule for frame in self.frames for rule in frame.predicates)):
            yield rule.pattern
            if rule.danger:
                yield rule.danger


class Lexicon(NamedTuple):
    """Every language, and how all of them lead to words that are not the user's own.

    `introductions` lead up to a colon, `tasks` to the paragraph below, `role_play` to all that follows. `labels` before
    a colon name the user's own words, `speakers` somebody else's. `spelled` are words of a condition that are known
    though they are misspelt, `lookalikes` words that are not such a word, and `typos` what a few of them mean.
    """

    languages: list[Language]
    introductions: re.Pattern[str]
    tasks: re.Pattern[str]
    role_play: re.Pattern[str]
    labels: frozenset[str]
    speakers: frozenset[str]
    spelled: frozenset[str]
    lookalikes: frozenset[str]
    typos: Mapping[str, str]


@cache
def lexicon() -> Lexicon:
    """Read every language."""
    tables = [
        tomllib.loads(entry.read_text(encoding="utf-8"))
        for entry in files("mirror_graph.ledger.lexicon").iterdir()
        if entry.name.endswith(".toml")
    ]
    tables.sort(key=lambda table: table["order"])
    phrases = "|".join(phrase for table in tables for phrase in table["introductions"])
    introductions = re.compile(rf"(?:{phrases})[^\n.!?:：]*\Z", re.IGNORECASE)
    return Lexicon(
        languages=[_language(table) for table in tables],
        introductions=introductions,
        tasks=_either(tables, "tasks"),
        role_play=_either(tables, "role_play"),
        labels=_words(tables, "labels"),
        speakers=_words(tables, "speakers"),
        spelled=_words(tables, "spelled"),
        lookalikes=_words(tables, "lookalikes"),
        typos={typo: meant for table in tables for typo, meant in table.get("typos", {}).items()},
    )


def _either(tables: list[dict[str, Any]], name: str) -> re.Pattern[str]:
    phrases = [phrase for table in tables for phrase in table.get(name, [])]
    return re.compile("|".join(phrases) or "(?!)", re.IGNORECASE)


def _words(tables: list[dict[str, Any]], name: str) -> frozenset[str]:
    return frozenset(word for table in tables for word in table.get(name, "").split())


def _language(table: dict[str, Any]) -> Language:
    words = {name: _alternatives(text) for name, text in table["words"].items()}
    dangers = {name: Pattern(pattern, words) for name, pattern in table["dangers"].items()}
    rules: dict[str, list[Rule]] = {name: [] for name in table["frames"]}
    for entry in table["predicates"]:
        for name in entry["after"]:
            rules[name] += _rules(entry, words, dangers)
    return Language(
        code=table["code"],
        frames=[Frame(Pattern(_subject(frame), words), rules[name]) for name, frame in table["frames"].items()],
        statements=_statements(table, words, dangers),
        others=Pattern("{relation}", words),
        **{name: Pattern(pattern, words) for name, pattern in table["marks"].items()},
    )


def _statements(table: dict[str, Any], words: dict[str, str], dangers: dict[str, Pattern]) -> Statements:
    at_clause: list[Rule] = []
    anywhere: list[Rule] = []
    for entry in table["statements"]:
        opening = [says.removeprefix(_CLAUSE) for says in entry["says"] if says.startswith(_CLAUSE)]
        others = [says for says in entry["says"] if not says.startswith(_CLAUSE)]
        at_clause += _rules({**entry, "says": [_ADVERBS + says for says in opening]}, words, dangers)
        anywhere += _rules({**entry, "says": others}, words, dangers)
    return Statements(Pattern("{clause}" if "clause" in words else "(?!)", words), at_clause, anywhere)


_CLAUSE = "{clause}"
_ADVERBS = "(?:{adverb},? ){0,4}"


def _subject(frame: dict[str, str]) -> str:
    """Let the user, or somebody they name, stand before the verb."""
    other = rf"(?:(?P<whose>{{relation}})|(?P<pronoun>{{pronoun}}))(?:{_joined(frame['other'])})"
    return rf"(?<!\w)(?:{other}|{_joined(frame['user'])}){{filler}}{{0,5}}+\s?"


def _rules(entry: dict[str, Any], words: dict[str, str], dangers: dict[str, Pattern]) -> list[Rule]:
    severity = entry["severity"]
    danger = dangers[entry["danger"]] if "danger" in entry else None
    return [
        Rule(entry["kind"], severity, entry.get("intense", severity), Pattern(pattern, words), danger)
        for pattern in entry["says"]
    ]


def _alternatives(text: str) -> str:
    return "(?:" + "|".join(_BETWEEN.split(text.strip("\n"))) + ")"


def _joined(lines: str) -> str:
    return "".join(lines.split("\n"))
