"""What brings which danger near, as data: general knowledge, one TOML file a field, read once at the first message.

A concept has `words` that speak of it, in several languages: phrases between commas, `*` for any ending. A request
that speaks of it also speaks of what it `brings`; an entry that names it also `minds` others, each of them enough, and
minds a little what stands under `also`, of which it takes two. A file says by which `kinds` of entries its concepts can
be named, and with `met = false` that no request speaks of them. `common.toml` holds the words that say nothing about
what is asked, and those that only look like another.
"""

import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from mirror_graph.ledger.relations.spelling import split, stem

LONGEST = 4
"""Words of the longest phrase."""

BEGINNING = 5
"""Letters from which on a word's beginning stands for the word; a shorter one takes a few endings only."""

ENDINGS = ("", "e", "er", "y", "en", "a", "o", "i")

Phrase = tuple[str, ...]
Names = frozenset[str]

_ROOM = files("mirror_graph.ledger.relations")
_NOTHING: Names = frozenset()


class Concept(NamedTuple):
    """What a request that speaks of it brings, itself included; what an entry minds that names it; which kinds may."""

    brings: Names
    minds: Names
    also: Names
    kinds: Names
    met: bool


class Relations(NamedTuple):
    """The concepts, and which of them a phrase of stems speaks of, or one whose last word only begins so."""

    concepts: Mapping[str, Concept]
    phrases: Mapping[Phrase, Names]
    beginnings: Mapping[Phrase, Mapping[str, Names]]
    common: Names

    def named(self, words: list[str]) -> Names:
        """Return the concepts that words from `split` speak of."""
        return frozenset[str]().union(*self._named(words))

    def _named(self, words: list[str]) -> Iterator[Names]:
        stems = tuple(map(stem, words))
        for start in range(len(words)):
            alone = words[start] not in self.common
            for last in range(start if alone else start + 1, min(start + LONGEST, len(words))):
                yield self.phrases.get(stems[start : last + 1], _NOTHING)
                begun = self.beginnings.get(stems[start:last])
                if begun:
                    for length in range(BEGINNING, len(words[last]) + 1):
                        yield begun.get(words[last][:length], _NOTHING)


@cache
def relations() -> Relations:
    """Read every field."""
    fields = {
        entry.name: tomllib.loads(entry.read_text("utf-8")) for entry in _ROOM.iterdir() if entry.name.endswith(".toml")
    }
    common = frozenset(split(fields.pop("common.toml")["words"]))
    direct: dict[str, Concept] = {}
    phrases: defaultdict[Phrase, set[str]] = defaultdict(set)
    beginnings: defaultdict[Phrase, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for field in fields.values():
        kinds, met = frozenset(field.pop("kinds")), field.pop("met", True)
        for name, entry in field.items():
            brings, minds, also = (frozenset[str](entry.get(key, ())) for key in ("brings", "minds", "also"))
            direct[name] = Concept(brings, minds, also, kinds, met)
            for spelling in entry["words"].split(","):
                *first, last = split(spelling)
                leading, any_ending = tuple(map(stem, first)), spelling.endswith("*")
                if any_ending and len(last) >= BEGINNING:
                    beginnings[leading][last].add(name)
                    continue
                for ending in ENDINGS if any_ending else ("",):
                    phrases[*leading, stem(last + ending)].add(name)
    return Relations(
        {name: concept._replace(brings=_closure(name, direct)) for name, concept in direct.items()},
        {phrase: frozenset(names) for phrase, names in phrases.items()},
        {leading: {last: frozenset(names) for last, names in begun.items()} for leading, begun in beginnings.items()},
        common,
    )


def content(text: str) -> list[str]:
    """Return the stems of the words that say something."""
    return [stem(word) for word in split(text) if len(word) > 2 and word not in relations().common]


def _closure(name: str, concepts: Mapping[str, Concept]) -> Names:
    """Follow `brings` to its end."""
    reached, unfollowed = {name}, [name]
    while unfollowed:
        new = concepts[unfollowed.pop()].brings - reached
        reached |= new
        unfollowed += new
    return frozenset(reached)
