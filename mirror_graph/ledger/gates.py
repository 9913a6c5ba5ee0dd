"""Which of many patterns may match a text, by the words that each pattern requires.

Most sentences hold no word of most patterns, and looking words up is far cheaper than trying hundreds of patterns. What
a pattern requires is derived from the pattern, so the two cannot differ. What is not understood of it requires nothing.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import cached_property, lru_cache
from importlib import import_module
from itertools import product
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

_parser: Any = import_module("re._parser")

Texts = frozenset[str]

MOST_JOINED = 100
"""Texts that are written out where two parts meet that have several each."""

MOST_REQUIRED = 3
"""Requirements of a pattern that are looked up, of those that fewest texts fulfil."""

LONGEST = 8
"""Characters of a word that are looked up."""

words_of = re.compile(r"[\w']+").findall
"""Split a text into the words that gates read."""


class Reading(NamedTuple):
    """What is known of a part of a pattern.

    `texts` are all that it matches, or None if these are not known. Wherever the part matches, the whole text holds one
    text of each of `required`.
    """

    texts: Texts | None
    required: tuple[Texts, ...] = ()


UNKNOWN = Reading(None)
_NOTHING = Reading(frozenset({""}))


def read(source: str, names: Mapping[str, Reading]) -> Reading:
    """Read a regular expression in which a character of `names` stands for a part that was read before."""
    tree = _parser.parse(source)
    return UNKNOWN if tree.state.flags & re.IGNORECASE else _sequence(tree, names)


class Readable(Hashable, Protocol):
    """A pattern that says what it requires."""

    def read(self) -> Reading:
        """Find out what a text must have for the pattern to match somewhere in it."""
        ...


P = TypeVar("P", bound=Readable)


class Gates(Generic[P]):
    """Many patterns, each behind what it requires. They are read when the first text comes."""

    def __init__(self, patterns: Iterable[P]) -> None:
        self._patterns = tuple(dict.fromkeys(patterns))

    def admitted(self, words: Iterable[str]) -> set[P]:
        """Return the patterns that may match somewhere in a text of these `words_of`: all that do, and few others."""
        fulfilled = {_NO_REQUIREMENT}
        for word in words:
            fulfilled |= self._fulfilled_by(word)
        admitted: set[P] = set()
        for number in fulfilled:
            for pattern, needed in self._index.behind.get(number, ()):
                if needed <= fulfilled:
                    admitted.add(pattern)
        return admitted

    @cached_property
    def _fulfilled_by(self) -> Callable[[str], frozenset[int]]:
        fulfilled_by = self._index.fulfilled_by

        @lru_cache(maxsize=2048)
        def of_word(word: str) -> frozenset[int]:
            fulfilled: set[int] = set()
            for start in range(len(word)):
                for end in range(start + 1, start + LONGEST + 1):
                    fulfilled |= fulfilled_by.get(word[start:end], frozenset())
            return frozenset(fulfilled)

        return of_word

    @cached_property
    def _index(self) -> "_Index[P]":
        numbers: dict[Texts, int] = {}
        behind: defaultdict[int, list[tuple[P, frozenset[int]]]] = defaultdict(list)
        for pattern in self._patterns:
            required = requirements(pattern.read())[:MOST_REQUIRED]
            needed = [numbers.setdefault(texts, len(numbers) + 1) for texts in required] or [_NO_REQUIREMENT]
            behind[needed[0]].append((pattern, frozenset(needed)))
        fulfilled_by: defaultdict[str, set[int]] = defaultdict(set)
        for texts, number in numbers.items():
            for text in texts:
                fulfilled_by[text].add(number)
        return _Index(dict(behind), dict(fulfilled_by))


_NO_REQUIREMENT = 0


class _Index(NamedTuple, Generic[P]):
    """Patterns by the number of their rarest requirement, each with all numbers that it needs.

    `fulfilled_by` has the numbers of the requirements that a part of a word fulfils.
    """

    behind: dict[int, list[tuple[P, frozenset[int]]]]
    fulfilled_by: dict[str, set[int]]


def _sequence(parts: Iterable[tuple[Any, Any]], names: Mapping[str, Reading]) -> Reading:
    required: list[Texts] = []
    texts: Texts = frozenset({""})
    is_complete = True
    for operation, value in parts:
        if operation.name == "LITERAL" and chr(value) not in names:
            texts = frozenset([text + chr(value) for text in texts])
            continue
        part = _part(operation.name, value, names)
        required += part.required
        if part.texts is not None and _are_few(len(texts), len(part.texts)):
            texts = frozenset(map("".join, product(texts, part.texts)))
            continue
        required.append(texts)
        is_complete = False
        texts = frozenset({""}) if part.texts is None else part.texts
    return Reading(texts, tuple(required)) if is_complete else Reading(None, (*required, texts))


def _are_few(one: int, other: int) -> bool:
    return min(one, other) <= 1 or one * other <= MOST_JOINED


def _part(operation: str, value: Any, names: Mapping[str, Reading]) -> Reading:
    match operation:
        case "LITERAL":
            return _character(value, names)
        case "IN":
            return _characters(value, names)
        case "BRANCH":
            return _branches([_sequence(branch, names) for branch in value[1]])
        case "SUBPATTERN":
            return UNKNOWN if value[1] & re.IGNORECASE else _sequence(value[3], names)
        case "ATOMIC_GROUP":
            return _sequence(value, names)
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            least, most, repeated = value
            return _repeated(least, most, _sequence(repeated, names))
        case "ASSERT":
            return _NOTHING._replace(required=tuple(requirements(_sequence(value[1], names))))
        case "ASSERT_NOT" | "AT" | "FAILURE":
            return _NOTHING
        case _:
            return UNKNOWN


def _characters(ranges: list[tuple[Any, Any]], names: Mapping[str, Reading]) -> Reading:
    """Read a class of characters. The parser makes one of alternatives that are one character each."""
    characters: list[Reading] = []
    for operation, value in ranges:
        if operation.name == "LITERAL":
            characters.append(_character(value, names))
        elif operation.name == "RANGE" and value[1] - value[0] < MOST_JOINED:
            characters += [_character(code, {}) for code in range(value[0], value[1] + 1)]
        else:
            return UNKNOWN
    return _branches(characters)


def _character(code: int, names: Mapping[str, Reading]) -> Reading:
    return names.get(chr(code)) or Reading(frozenset({chr(code)}))


def _branches(branches: list[Reading]) -> Reading:
    """Read alternatives: they match what any of them matches, and require the rarest requirement of one of them."""
    texts: set[str] = set()
    one_of_each: set[str] = set()
    are_known = requires = True
    for branch in branches:
        texts.update(branch.texts or ())
        are_known = are_known and branch.texts is not None
        fewest = min(requirements(branch), key=_commonness, default=None)
        one_of_each.update(fewest or ())
        requires = requires and fewest is not None
    required = (frozenset(one_of_each),) if requires else ()
    return Reading(frozenset(texts) if are_known else None, required)


def _repeated(least: int, most: int, part: Reading) -> Reading:
    if most == 1 and part.texts is not None:
        return Reading(part.texts | {""} if least == 0 else part.texts, part.required if least else ())
    return Reading(None, tuple(requirements(part)) if least else ())


def requirements(reading: Reading) -> list[Texts]:
    """Return what a part requires, the rarest first: of each, one text in a word of the text around."""
    every = reading.required if reading.texts is None else (*reading.required, reading.texts)
    in_words = [frozenset(map(_part_of_word, texts)) for texts in every]
    return sorted((texts for texts in in_words if "" not in texts), key=_commonness)


def _part_of_word(text: str) -> str:
    """Return the longest part of a text that stands in one word, as far as it is looked up."""
    return max(words_of(text), key=len, default="")[:LONGEST]


def _commonness(texts: Texts) -> float:
    """Estimate how often a text has one of `texts`: the shorter they are, the oftener."""
    return sum(8.0 ** -len(text) for text in texts)
