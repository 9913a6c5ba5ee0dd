"""What brings which danger near, as data: general knowledge, one TOML file a field, read once at the first message.

A concept has `words` that speak of it, in several languages: phrases between commas, `*` for any ending. A request
that speaks of it also speaks of what it `brings`; an entry that names it also `minds` others. Each file says by
which `kinds` of entries its concepts can be named, and with `met = false` that no request speaks of them.
"""

import tomllib
from collections import defaultdict
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from mirror_graph.ledger.relations.spelling import split, stem

LONGEST = 4
SHORTEST_BEGINNING = 5

Phrase = tuple[str, ...]

_NOTHING: frozenset[str] = frozenset()
_ENDINGS = ("", "er", "y", "en", "a", "o", "i")


class Concept(NamedTuple):
    """What a request that speaks of it also brings, what an entry that names it also minds, and which kinds may."""

    brings: frozenset[str]
    minds: frozenset[str]
    kinds: frozenset[str]
    met: bool


class Relations(NamedTuple):
    """The concepts, and which of them a phrase of stems or the beginning of a word speaks of."""

    concepts: dict[str, Concept]
    phrases: dict[Phrase, frozenset[str]]
    beginnings: dict[str, frozenset[str]]
    common: frozenset[str]

    def named(self, words: list[str]) -> frozenset[str]:
        """Return the concepts that words from `split` speak of."""
        stems = tuple(map(stem, words))
        found = set[str]()
        for place, word in enumerate(words):
            for end in range(place + 1, min(place + LONGEST, len(stems)) + 1):
                found |= self.phrases.get(stems[place:end], _NOTHING)
            for end in range(SHORTEST_BEGINNING, len(word) + 1):
                found |= self.beginnings.get(word[:end], _NOTHING)
        return frozenset(found)


@cache
def relations() -> Relations:
    """Read every field."""
    concepts: dict[str, Concept] = {}
    phrases: defaultdict[Phrase, set[str]] = defaultdict(set)
    beginnings: defaultdict[str, set[str]] = defaultdict(set)
    for field in _fields():
        for name, entry in field.items():
            if not isinstance(entry, dict):
                continue
            concepts[name] = Concept(
                frozenset(entry.get("brings", ())),
                frozenset(entry.get("minds", ())),
                frozenset(field["kinds"]),
                field.get("met", True),
            )
            for spelling in entry["words"].split(","):
                words = split(spelling)
                if spelling.endswith("*") and len(words) == 1:
                    if len(words[0]) >= SHORTEST_BEGINNING:
                        beginnings[words[0]].add(name)
                    else:
                        for ending in _ENDINGS:
                            phrases[(stem(words[0] + ending),)].add(name)
                else:
                    phrases[tuple(map(stem, words))].add(name)
    return Relations(
        {name: concept._replace(brings=_closed(name, concepts)) for name, concept in concepts.items()},
        {phrase: frozenset(names) for phrase, names in phrases.items()},
        {beginning: frozenset(names) for beginning, names in beginnings.items()},
        frozenset(stem(w) for w in split((files("mirror_graph.ledger.relations") / "common.txt").read_text("utf-8"))),
    )


def _fields() -> list[dict[str, Any]]:
    found = [entry for entry in files("mirror_graph.ledger.relations").iterdir() if entry.name.endswith(".toml")]
    return [tomllib.loads(entry.read_text(encoding="utf-8")) for entry in sorted(found, key=lambda entry: entry.name)]


def _closed(name: str, concepts: dict[str, Concept]) -> frozenset[str]:
    """Follow `brings` to its end."""
    reached, open_ends = {name}, [name]
    while open_ends:
        new = concepts[open_ends.pop()].brings - reached
        reached |= new
        open_ends += new
    return frozenset(reached)
