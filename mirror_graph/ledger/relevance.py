"""Which entries a user's words touch: a comparison in a few milliseconds, without a model call."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from mirror_graph.ledger.relations import Phrase, content, relations
from mirror_graph.ledger.relations.spelling import split, stem
from mirror_graph.ledger.telling import beside_telling
from mirror_graph.state.values import Kind, SafetyConstraint

ENOUGH = 1.0
"""The evidence from which on an entry counts as touched."""

HALF = 10_000
"""A message of more than twice so many characters is read at its beginning and at its end."""


class _Minded(NamedTuple):
    """What an entry is met by: concepts, more of them that matter less, its own words, anticipated phrases."""

    concepts: frozenset[str]
    also: frozenset[str]
    words: frozenset[str]
    touches: frozenset[Phrase]


class _Met(NamedTuple):
    """What a request speaks of: concepts, and the stems of its words."""

    concepts: frozenset[str]
    stems: frozenset[str]


def touched(entries: Sequence[SafetyConstraint], words: str) -> list[str]:
    """Return the ids of the entries that the user's words touch, beside telling of them, in the order of `entries`."""
    met = _met(beside_telling(entries, words))
    return [entry["id"] for entry in entries if _evidence(entry, met) >= ENOUGH]


def evidence(entry: SafetyConstraint, words: str) -> float:
    """Count what speaks for it that words touch an entry: concepts and words in common, anticipated phrases."""
    return _evidence(entry, _met(words))


def is_related(entry: SafetyConstraint) -> bool:
    """Say whether the relations know what an entry is met by."""
    return bool(_minded(entry["kind"], entry["about"], entry["source"]["quote"], ()).concepts)


def _evidence(entry: SafetyConstraint, met: _Met) -> float:
    minded = _minded(entry["kind"], entry["about"], entry["source"]["quote"], tuple(entry.get("touches", ())))
    known = len(minded.concepts & met.concepts) + len(minded.also & met.concepts) / 2
    known += 2 * len(minded.words & met.stems)
    # Of what a small model anticipates one word in a request is chance: it takes two, unless nothing else is known.
    weight = 0.5 if minded.concepts else 1.0
    return known + weight * sum(len(phrase) for phrase in minded.touches if met.stems.issuperset(phrase))


def _met(words: str) -> _Met:
    read = split(words if len(words) <= 2 * HALF else f"{words[:HALF]} {words[-HALF:]}")
    concepts = relations().concepts
    named = [concepts[name] for name in relations().named(read)]
    brought = frozenset[str]().union(*(concept.brings for concept in named if concept.met))
    return _Met(brought, frozenset(map(stem, read)))


@lru_cache(maxsize=4096)
def _minded(kind: Kind, about: str, quote: str, touches: tuple[str, ...]) -> _Minded:
    concepts = relations().concepts
    named = relations().named(split(f"{about}\n{quote}"))
    fitting = [name for name in named if kind in concepts[name].kinds]
    fitting = fitting or [name for name in named if concepts[name].kinds]
    words = frozenset(content(about) or content(quote))
    phrases = {tuple(sorted(set(content(touch)) - words)) for touch in touches}
    minds = frozenset(fitting).union(*(concepts[name].minds for name in fitting))
    also = frozenset[str]().union(*(concepts[name].also for name in fitting)) - minds
    return _Minded(minds, also, words, frozenset(phrases - {()}))
