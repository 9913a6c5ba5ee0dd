"""How people state a safety fact, as data: TOML files by language, read once at the first message.

A language has one file, or several that hold a kind of rule each (`en.toml`, `en.frames.toml`).

A frame is who speaks and the verb ("I suffer from"), for the user and for somebody the user names. A
predicate is what may follow it ("a severe {things} allergy"); a statement needs no frame ("heights terrify
me"). The group `things` is a list of dangers, `about` a single one. `words` are named alternatives, ` | ` or
a line break between two, that stand as `{name}` in any pattern. Patterns meet folded text.
"""

import re
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from importlib.resources import files
from itertools import chain
from typing import Any, Literal, NamedTuple

from mirror_graph.ledger.chinese import in_both_scripts
from mirror_graph.ledger.folding import fold_character
from mirror_graph.ledger.gates import Gates, Reading, read
from mirror_graph.state.values import Kind, Severity

_BETWEEN = re.compile(r" [|] |\n")


class Words:
    """Alternatives by name: `{name}` stands for them in a pattern, and in other alternatives."""

    def __init__(self, words: Mapping[str, str]) -> None:
        self._words = words
        self._marks = {name: chr(_FIRST_MARK + number) for number, name in enumerate(words)}
        self._readings: dict[str, Reading] = {}

    def fill(self, source: str) -> str:
        """Put in the alternatives that a pattern names, and those that they name."""
        while (filled := _NAME.sub(lambda name: self._words[name[1]], source)) != source:
            source = filled
        return source

    def read(self, source: str) -> Reading:
        """Find out what a pattern requires. What stands for a name is read once, however many patterns name it."""
        return read(_plain(_NAME.sub(self._mark, source)), self._readings)

    def _mark(self, name: re.Match[str]) -> str:
        """Return the character that stands for a name while patterns are read."""
        mark = self._marks[name[1]]
        if mark not in self._readings:
            self._readings[mark] = self.read(self._words[name[1]])
        return mark


_NAME = re.compile(r"\{([a-z_]+)\}")
_FIRST_MARK = 0xE000  # no text has characters from here on a meaning of their own
_NO_WORDS = Words({})


class Pattern:
    """A regular expression that is compiled when it is first asked for: a message needs few of the 700."""

    def __init__(self, source: str, words: Words = _NO_WORDS) -> None:
        self._source = source
        self._words = words

    def match(self, text: str, start: int = 0, end: int = sys.maxsize) -> re.Match[str] | None:
        """Match at `start`."""
        return self._compiled.match(text, start, end)

    def search(self, text: str, start: int = 0, end: int = sys.maxsize) -> re.Match[str] | None:
        """Find the first match between `start` and `end`."""
        return self._compiled.search(text, start, end)

    def finditer(self, text: str, start: int = 0, end: int = sys.maxsize) -> Iterator[re.Match[str]]:
        """Find every match between `start` and `end`."""
        return self._compiled.finditer(text, start, end)

    def read(self) -> Reading:
        """Find out what a text must have for the pattern to match somewhere in it."""
        return self._words.read(self._source)

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(_plain(self._words.fill(self._source)))


class Rule(NamedTuple):
    """What a claim looks like and what it says; `intense` is its severity next to a word like "severe".

    The danger is `danger`, matched where the pattern ends, or a group of the pattern. `things` and a
    `danger` may be several. What a rule with `is_sign` finds is carried or used against a danger, and stands for it
    if the message names none.
    """

    kind: Kind
    severity: Severity
    intense: Severity
    pattern: Pattern
    danger: Pattern | None
    is_sign: bool = False


class Frame(NamedTuple):
    """Who speaks and the verb, and what may follow."""

    pattern: Pattern
    predicates: list[Rule]


class Statements(NamedTuple):
    """Rules that need no frame; those that begin a clause are tried only where `opening` says that one begins."""

    opening: Pattern
    at_clause: list[Rule]
    anywhere: list[Rule]


class Reaction(NamedTuple):
    """What a person names, and what they say that it does to them, in any order and without any frame."""

    named: Rule
    felt: Pattern


Mark = Literal["cue", "deadly", "harm", "harmless", "refers"]
"""A pattern of `Language` that is looked for in every language at once."""


class Language(NamedTuple):
    """One language's ways of stating a constraint, and of not meaning it; no sentence without its `cue` can.

    `reactions` are for a short message that no rule fits, unless `not_own` says that it is about somebody else or
    asks for something. A list ends at an `aside`, a comma or an "and" that opens a clause: "allergic to shellfish,
    one prawn put me in hospital", "afraid of snakes and freeze". `harm` are the words of a danger, and `harmless`
    those of its contrary. `figure` are figures of speech that only sound like a danger ("allergic to Mondays").
    `bearers` are other people who have a condition ("somebody with a nut allergy"). `refers` points at what a
    question before the sentence names: "Peanuts? I'm allergic to them." No sentence without `unframed` fits a
    statement. `gates` say which frames, rules and reactions may fit a sentence.
    """

    code: str
    frames: list[Frame]
    statements: Statements
    others: Pattern
    reactions: list[Reaction]
    cue: Pattern
    separators: Pattern
    joins: Pattern
    unreal: Pattern
    undone: Pattern
    intense: Pattern
    deadly: Pattern
    gates: Gates[Pattern]
    first: Pattern = Pattern("(?!)")
    aside: Pattern = Pattern("(?!)")
    harm: Pattern = Pattern("(?!)")
    harmless: Pattern = Pattern("(?!)")
    bearers: Pattern = Pattern("(?!)")
    refers: Pattern = Pattern("(?!)")
    figure: Pattern = Pattern("(?!)")
    not_own: Pattern = Pattern("")
    unframed: Pattern = Pattern("")

    def patterns(self) -> Iterator[Pattern]:
        """Yield every pattern of the language."""
        yield from self.marks()
        yield from self.rules()

    def marks(self) -> Iterator[Pattern]:
        """Yield the patterns that may be looked for in a text of any language."""
        for value in self:
            if isinstance(value, Pattern):
                yield value

    def rules(self) -> Iterator[Pattern]:
        """Yield the patterns that are tried only on a sentence with a cue of this language."""
        yield self.statements.opening
        rules = [*self.statements.at_clause, *self.statements.anywhere]
        for frame in self.frames:
            yield frame.pattern
            rules += frame.predicates
        for rule in rules:
            yield rule.pattern
            if rule.danger:
                yield rule.danger
        for reaction in self.reactions:
            yield reaction.named.pattern
            yield reaction.felt


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
    tables = _load_languages()
    phrases = "|".join(_listed(tables, "introductions"))
    introductions = re.compile(rf"(?:{phrases})[^\n.!?:：]*\Z", re.IGNORECASE)
    typos: dict[str, str] = {}
    for table in tables:
        typos |= table.get("typos", {})
    return Lexicon(
        languages=[*map(_language, tables)],
        introductions=introductions,
        tasks=_either(tables, "tasks"),
        role_play=_either(tables, "role_play"),
        labels=_words(tables, "labels"),
        speakers=_words(tables, "speakers"),
        spelled=_words(tables, "spelled"),
        lookalikes=_words(tables, "lookalikes"),
        typos=typos,
    )


def has_mark(text: str, mark: Mark) -> bool:
    """Say whether a folded text has such a mark of any language: the text may be in any, or in several."""
    for language in lexicon().languages:
        pattern: Pattern = getattr(language, mark)
        if pattern.search(text):
            return True
    return False


def _load_languages() -> list[dict[str, Any]]:
    """Return what the TOML files of each language hold, in the order in which the languages are tried."""
    tables: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    for file in files("mirror_graph.ledger.lexicon").iterdir():
        if file.name.endswith(".toml"):
            code = file.name.split(".")[0]
            tables[code] |= tomllib.loads(file.read_text(encoding="utf-8"))
    tables["zh"] |= {name: in_both_scripts(tables["zh"][name]) for name in _PATTERNS & tables["zh"].keys()}
    return sorted(tables.values(), key=lambda table: table["order"])


_PATTERNS = frozenset({"introductions", "marks", "statements", "reactions", "words"})
"""What a language's file holds patterns under."""


def _listed(tables: list[dict[str, Any]], name: str) -> list[str]:
    """Return what the list `name` holds in every language that has one."""
    listed: list[str] = []
    for table in tables:
        listed += table.get(name, [])
    return listed


def _either(tables: list[dict[str, Any]], name: str) -> re.Pattern[str]:
    return re.compile("|".join(_listed(tables, name)) or "(?!)", re.IGNORECASE)


def _words(tables: list[dict[str, Any]], name: str) -> frozenset[str]:
    words: set[str] = set()
    for table in tables:
        words.update(table.get(name, "").split())
    return frozenset(words)


def _language(table: dict[str, Any]) -> Language:
    words = Words({name: _alternatives(text) for name, text in table["words"].items()})
    dangers = _patterns(table["dangers"], words)
    rules: defaultdict[str, list[Rule]] = defaultdict(list)
    for entry in table["predicates"]:
        meant = _rules(entry, entry["says"], words, dangers)
        for name in entry["after"]:
            rules[name] += meant
    frames: list[Frame] = []
    for name, frame in table["frames"].items():
        frames.append(Frame(Pattern(_subject(frame), words), rules[name]))
    statements = _statements(table, words, dangers)
    every = [rule.pattern for rule in chain(statements.at_clause, statements.anywhere, *rules.values())]
    reactions = _reactions(table.get("reactions", []), words)
    for reaction in reactions:
        every += [reaction.named.pattern, reaction.felt]
    return Language(
        code=table["code"],
        frames=frames,
        statements=statements,
        reactions=reactions,
        gates=Gates([*(frame.pattern for frame in frames), *every]),
        others=Pattern("{relation}", words),
        **_patterns(table["marks"], words),
    )


def _patterns(sources: dict[str, str], words: Words) -> dict[str, Any]:
    return {name: Pattern(source, words) for name, source in sources.items()}


def _statements(table: dict[str, Any], words: Words, dangers: dict[str, Pattern]) -> Statements:
    at_clause: list[Rule] = []
    anywhere: list[Rule] = []
    for entry in table["statements"]:
        for source in entry["says"]:
            if source.startswith(_CLAUSE):
                at_clause += _rules(entry, [_ADVERBS + source.removeprefix(_CLAUSE)], words, dangers)
            else:
                anywhere += _rules(entry, [source], words, dangers)
    return Statements(Pattern("{clause}" if "clause" in table["words"] else "(?!)", words), at_clause, anywhere)


def _reactions(entries: list[dict[str, Any]], words: Words) -> list[Reaction]:
    reactions: list[Reaction] = []
    for entry in entries:
        (named,) = _rules(entry, [_joined(entry["named"])], words, {})
        reactions.append(Reaction(named, Pattern(_joined(entry["felt"]), words)))
    return reactions


_CLAUSE = "{clause}"
_ADVERBS = "(?:{adverb},? ){0,4}"


def _subject(frame: dict[str, str]) -> str:
    """Let the user, or somebody they name if the frame has words for `other` people, stand before the verb."""
    subject = _joined(frame["user"])
    if "other" in frame:
        other = rf"(?:(?P<whose>{{relation}})|(?P<pronoun>{{pronoun}}))(?:{_joined(frame['other'])})"
        subject = f"{other}|{subject}"
    return rf"(?<!\w)(?:{subject}){{filler}}{{0,5}}+\s?"


def _rules(entry: dict[str, Any], sources: list[str], words: Words, dangers: dict[str, Pattern]) -> list[Rule]:
    """Return a rule for each of these ways of saying what an entry means."""
    severity = entry["severity"]
    danger = dangers[entry["danger"]] if "danger" in entry else None
    intense, is_sign = entry.get("intense", severity), entry.get("sign", False)
    return [Rule(entry["kind"], severity, intense, Pattern(source, words), danger, is_sign) for source in sources]


def _plain(source: str) -> str:
    """Spell a pattern in one line as folded text is spelled: its letters without accents, its signs as they are."""
    line = _joined(source)
    return line if line.isascii() else "".join(map(_plain_letter, line))


def _plain_letter(letter: str) -> str:
    return letter if letter.isascii() else fold_character(letter)


def _alternatives(text: str) -> str:
    return "(?:" + "|".join(_BETWEEN.split(text.strip("\n"))) + ")"


def _joined(lines: str) -> str:
    return "".join(lines.split("\n"))
