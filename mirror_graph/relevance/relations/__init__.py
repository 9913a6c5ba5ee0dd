"""What brings which danger near, as data: general knowledge, one TOML file per field, read once at the first message.

A concept has `words` that speak of it, in several languages: phrases between commas, `*` for any ending, or in front of
a word for any beginning. Phrases in scripts without spaces are found anywhere in a run of characters.

A request that speaks of a concept also speaks of what it `brings`, and may speak of what stands under `may` (a curry
may have nuts in it). A constraint that names a concept also `minds` others, each of them enough, and minds a little
what stands under `also`, of which it takes two.

A file says by which `kinds` of constraints its concepts can be named; with `met = false`, that no request speaks of
them; with `shown = true`, that a request which speaks of them asks to watch or read; with `sight = true`, that seeing
is enough to bring them on; with `field`, in which field a request that speaks of them asks for something; and with
`own`, which fields are a constraint's own that names them. Each of these but `kinds` may stand in a concept instead.

`common.toml` holds the words that say nothing about what is asked. `idioms.toml` holds the phrases that are not to be
taken by their words.
"""

import tomllib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from mirror_graph.ledger.words import is_unspaced, split, stem, without_umlaut

LONGEST_WORD = 32
"""Letters of a word that are looked at."""

LONGEST = 5
"""Words of the longest phrase."""

BEGINNING = 5
"""Letters from which on a word's beginning stands for the word; a shorter one takes a few endings only."""

SHORT_BEGINNING = 3
"""Letters from which on it does so behind another word: "altitude sick*" means one thing only."""

ENDINGS = ("", "e", "er", "y", "en", "a", "o", "i")

Phrase = tuple[str, ...]
Names = frozenset[str]

_ROOM = files("mirror_graph.relevance.relations")


class Concept(NamedTuple):
    """What a request that speaks of it brings, itself included; what a constraint minds that names it; and who may.

    `fields` is where a request that speaks of it asks for something, `own` where a constraint that names it matters.
    """

    brings: Names
    may: Names
    minds: Names
    also: Names
    kinds: Names
    fields: Names
    own: Names
    met: bool
    shown: bool
    sight: bool


class Relations(NamedTuple):
    """The concepts, and which of them a phrase of stems speaks of, or a word that only begins or ends so."""

    concepts: Mapping[str, Concept]
    phrases: Mapping[Phrase, Names]
    beginnings: Mapping[Phrase, Mapping[str, Names]]
    endings: Mapping[str, Names]
    characters: Mapping[str, Mapping[str, Names]]
    common: Names
    vocabulary: Names
    idioms: Mapping[str, tuple[Phrase, ...]]

    def without_idioms(self, words: list[str]) -> list[str]:
        """Leave out the phrases that are not to be taken by their words: "I get paid peanuts"."""
        left: list[str] = []
        place = 0
        while place < len(words):
            begun = self.idioms.get(words[place], ())
            idiom = next((idiom for idiom in begun if tuple(words[place : place + len(idiom)]) == idiom), None)
            if idiom is None:
                left.append(words[place])
            place += len(idiom or (0,))
        return left

    def named(self, words: Iterable[str]) -> Names:
        """Return the concepts that words from `split` speak of."""
        return frozenset[str]().union(*(names for _, names in self.found(words)))

    def found(self, words: Iterable[str]) -> Iterator[tuple[str, Names]]:
        """Find the phrases in words from `split`, each with the concepts it speaks of."""
        return self._found([self.spelled(word) for word in words])

    def spelled(self, word: str) -> str:
        """Return `word` with "ue" for "ü" undone, unless it is a word as it stands."""
        plain = without_umlaut(word)
        if plain == word or word in self.common or stem(word) in self.vocabulary:
            return word
        begins_known = any(
            word[:length] in self.vocabulary for length in range(BEGINNING, min(len(word), LONGEST_WORD) + 1)
        )
        return word if begins_known else plain

    def _found(self, words: list[str]) -> Iterator[tuple[str, Names]]:
        stems = tuple(map(stem, words))
        for start, word in enumerate(words):
            if is_unspaced(word):
                yield from self._inside(word)
                continue
            alone = word not in self.common
            for last in range(start if alone else start + 1, min(start + LONGEST, len(words))):
                if names := self.phrases.get(stems[start : last + 1]):
                    yield " ".join(words[start : last + 1]), names
                begun = self.beginnings.get(stems[start:last])
                if begun:
                    shortest = BEGINNING if last == start else SHORT_BEGINNING
                    for length in range(shortest, min(len(words[last]), LONGEST_WORD) + 1):
                        if names := begun.get(words[last][:length]):
                            yield " ".join(words[start : last + 1]), names
            if alone:
                yield from self._by_ending(word)

    def _by_ending(self, word: str) -> Iterator[tuple[str, Names]]:
        """Find what the end of a compound names."""
        if len(word) > BEGINNING:
            for length in range(4, min(len(word), LONGEST_WORD)):
                if names := self.endings.get(word[-length:]):
                    yield word, names

    def _inside(self, run: str) -> Iterator[tuple[str, Names]]:
        """Find the phrases in a run of characters; of two that begin at one place, the longer one counts."""
        place = 0
        while place < len(run):
            fitting = [phrase for phrase in self.characters.get(run[place], ()) if run.startswith(phrase, place)]
            if not fitting:
                place += 1
                continue
            longest = max(fitting, key=len)
            yield longest, self.characters[run[place]][longest]
            place += len(longest)


@cache
def relations() -> Relations:
    """Read every field."""
    fields = {
        entry.name: tomllib.loads(entry.read_text("utf-8")) for entry in _ROOM.iterdir() if entry.name.endswith(".toml")
    }
    common = frozenset(split(fields.pop("common.toml")["words"]))
    idioms: defaultdict[str, list[Phrase]] = defaultdict(list)
    for idiom in filter(None, map(split, fields.pop("idioms.toml")["phrases"].split(","))):
        idioms[idiom[0]].append(tuple(idiom))
    direct: dict[str, Concept] = {}
    phrases: defaultdict[Phrase, set[str]] = defaultdict(set)
    beginnings: defaultdict[Phrase, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    endings: defaultdict[str, set[str]] = defaultdict(set)
    characters: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for field in fields.values():
        defaults = {key: field.pop(key) for key in list(field) if not isinstance(field[key], dict)}
        for name, entry in field.items():
            direct[name] = _concept(defaults | entry)
            for spelling in entry["words"].split(","):
                words = split(spelling)
                if not words:
                    continue
                *first, last = words
                if is_unspaced(words[0]):
                    run = "".join(words)
                    characters[run[0]][run].add(name)
                    continue
                if spelling.lstrip().startswith("*"):
                    endings[last].add(name)
                    continue
                leading, any_ending = tuple(map(stem, first)), spelling.rstrip().endswith("*")
                if any_ending and len(last) >= (SHORT_BEGINNING if first else BEGINNING):
                    beginnings[leading][last].add(name)
                    continue
                for ending in ENDINGS if any_ending else ("",):
                    phrases[*leading, stem(last + ending)].add(name)
    return Relations(
        {name: concept._replace(brings=_closure(name, direct)) for name, concept in direct.items()},
        {phrase: frozenset(names) for phrase, names in phrases.items()},
        {leading: _frozen(begun) for leading, begun in beginnings.items()},
        _frozen(endings),
        {first: _frozen(begun) for first, begun in characters.items()},
        common,
        frozenset(word for phrase in phrases for word in phrase).union(*beginnings.values()),
        {first: tuple(sorted(begun, key=len, reverse=True)) for first, begun in idioms.items()},
    )


def content(text: str) -> list[str]:
    """Return the stems of the words that say something, and the runs of scripts without spaces."""
    common = relations().common
    return [stem(word) for word in split(text) if word not in common and (len(word) > 2 or is_unspaced(word))]


def _concept(entry: Mapping[str, Any]) -> Concept:
    brings, may, minds, also, kinds, own = (
        frozenset[str](entry.get(key, ())) for key in ("brings", "may", "minds", "also", "kinds", "own")
    )
    fields = frozenset[str]({entry["field"]} if "field" in entry else ())
    flags = entry.get("met", True), entry.get("shown", False), entry.get("sight", False)
    return Concept(brings, may, minds, also, kinds, fields, own, *flags)


def _frozen(found: Mapping[str, set[str]]) -> dict[str, Names]:
    return {key: frozenset(names) for key, names in found.items()}


def _closure(name: str, concepts: Mapping[str, Concept]) -> Names:
    """Follow `brings` to its end."""
    reached, unfollowed = {name}, [name]
    while unfollowed:
        new = concepts[unfollowed.pop()].brings - reached
        reached |= new
        unfollowed += new
    return frozenset(reached)
