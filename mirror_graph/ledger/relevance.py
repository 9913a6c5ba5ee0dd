"""Which entries a user's words touch: a comparison without a model call."""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from mirror_graph.ledger.relations import relations
from mirror_graph.ledger.relations.spelling import split, stem
from mirror_graph.state.values import Kind, SafetyConstraint

LONGEST_REQUEST = 20_000
def evidence(entry: SafetyConstraint, words: str, mode="all"):
    rel=relations()
    request=split(words)
    stems=frozenset(map(stem,request))
    met=_met(words)
    minds, own = _minded(entry["kind"], entry["about"], entry["source"]["quote"])
    return minds & met, own & stems

@lru_cache(64)
def _met(words):
    rel=relations()
    return frozenset().union(*(rel.concepts[n].brings for n in rel.named(split(words)) if rel.concepts[n].met))
@lru_cache(1024)
def _minded(kind, about, quote):
    rel=relations()
    w=split(about+"\n"+quote)
    named=rel.named(w)
    named=[n for n in named if kind in rel.concepts[n].kinds] or [n for n in named if rel.concepts[n].kinds]
    minds=frozenset(named).union(*(rel.concepts[n].minds for n in named))
    return minds, frozenset(s for s in map(stem,w) if len(s)>2)-rel.common
