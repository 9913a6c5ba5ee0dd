"""How strongly a text touches a constraint: a comparison in a few milliseconds, without a model call."""

import math

from mirror_graph.ledger.words import is_unspaced, split, stem
from mirror_graph.relevance.exposure import can_touch
from mirror_graph.relevance.reading import COMPOUND, Reading, brought_by, read, wanted_part
from mirror_graph.relevance.relations import Names, Phrase, relations
from mirror_graph.relevance.triggers import Triggers, triggers_of
from mirror_graph.relevance.wording import compile_patterns
from mirror_graph.state.values import Kind, SafetyConstraint

THRESHOLD = 1.0
"""The evidence from which on a constraint counts as touched."""

NAMED_BY_STATE: frozenset[Kind] = frozenset({"medical", "physical", "medication"})
"""Kinds whose constraints name a state or a remedy, and not what is dangerous to it."""


def evidence(constraint: SafetyConstraint, words: str) -> float:
    """Count what speaks for it that words touch a constraint: concepts and words in common, anticipated phrases."""
    return weigh(constraint, read(words))


def weigh(constraint: SafetyConstraint, reading: Reading) -> float:
    """Count what speaks for it that a text, which was read, touches a constraint."""
    triggers = triggers_of(constraint)
    met = reading.concepts
    is_shown_enough = can_touch(constraint["kind"], "shown", triggered_by_sight=triggers.by_sight)
    if is_shown_enough and reading.shown:
        met = met | reading.shown
    known = len(triggers.concepts & met) + _little(triggers.also & met, reading) / 2
    # What usually comes with a dish is no certainty, however much of it there is.
    if not triggers.concepts.isdisjoint(reading.possible):
        known += 0.5
    # People speak of an illness without asking for what burdens it. What they are allergic to is the danger itself.
    if not (triggers.is_known and constraint["kind"] in NAMED_BY_STATE):
        known += 2 * _own_words(triggers, reading, is_shown_enough)
    if not triggers.phrases:
        return known
    # Of what a small model anticipates one word in a request is chance: it takes two, unless nothing else is known.
    weight = 0.5 if triggers.is_known else 1.0
    anticipated = 0
    for phrase in triggers.phrases:
        if _has(reading, phrase):
            anticipated += len(phrase)
    return known + weight * anticipated


def owns_words(triggers: Triggers, reading: Reading) -> bool:
    """Say whether a text speaks in the constraint's own words."""
    return _own_words(triggers, reading, is_shown_enough=False) > 0


def what_touches(constraint: SafetyConstraint, text: str) -> list[str]:
    """Return the words of a text that speak of what a constraint is touched by, without case and accents."""
    triggers = triggers_of(constraint)
    words = relations().without_idioms(split(wanted_part(text)))
    touching: list[str] = []
    for phrase, names in relations().found(words):
        if not brought_by(names).isdisjoint(triggers.concepts | triggers.also):
            touching.append(phrase)
    touching += [word for word in words if stem(word) in triggers.words]
    return list(dict.fromkeys(touching))


def is_related(constraint: SafetyConstraint) -> bool:
    """Say whether the relations know what a constraint is touched by."""
    return triggers_of(constraint).is_known


def warm_up() -> None:
    """Read the relations and compile the patterns, so that the first message does not wait for it."""
    relations()
    compile_patterns()


def _little(minor: Names, reading: Reading) -> int:
    """Count the concepts that matter a little, those that one phrase brings together as one."""
    if len(minor) < 2:
        return len(minor)
    return min(len(minor), sum(not minor.isdisjoint(brought) for brought in reading.phrases))


def _own_words(triggers: Triggers, reading: Reading, is_shown_enough: bool) -> int:
    """Count the constraint's own words in a text, at the beginning of a compound too."""
    stems = reading.stems | reading.shown_stems if is_shown_enough else reading.stems
    found = len(triggers.distinctive & stems)
    if not found:
        for word in triggers.distinctive & reading.beginnings:
            # A short word begins too many others: "egg" begins "eggplant".
            if len(word) >= COMPOUND and any(other.startswith(word) for other in stems):
                found += 1
    if reading.runs:
        for term in triggers.terms:
            found += _is_in(term, reading.runs)
    return found


def _is_in(term: str, runs: str) -> bool:
    """Say whether a term stands in runs of characters, whole or by most of it."""
    if term in runs:
        return True
    length = max(2, math.ceil(len(term) * 0.6))
    return any(term[start : start + length] in runs for start in range(len(term) - length + 1))


def _has(reading: Reading, phrase: Phrase) -> bool:
    """Say whether a text has every word of a phrase, in any order."""
    for word in phrase:
        # A script without spaces has no words of its own, so a word is looked for inside of its runs.
        is_found = word in reading.runs if is_unspaced(word) else word in reading.stems
        if not is_found:
            return False
    return True
