"""What a request says about each of the user's severe constraints, before any reply."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from mirror_graph.guard.touching import Touch, touch_by
from mirror_graph.guard.words import words
from mirror_graph.ledger.words import split, stem
from mirror_graph.relevance.asking import asked_part
from mirror_graph.relevance.levels import Level, levels
from mirror_graph.relevance.match import THRESHOLD, evidence, weigh
from mirror_graph.relevance.reading import read
from mirror_graph.relevance.subject import concern_of_person, is_for_another_only
from mirror_graph.state.values import SafetyConstraint

SEVERE = ("life-threatening", "serious")

_SENTENCE = re.compile("[^.!?\u3002\uff01\uff1f\n]+")


class Request(NamedTuple):
    """A request, and by the ids of the constraints it may concern: how relevant they are, and what touches them.

    `constraints` are the severe ones that concern whoever the request is for. There are none if nothing is asked that
    could be done, or if the user has just said that they know. `stems` and `runs` are the request's own words.
    """

    text: str
    constraints: Sequence[SafetyConstraint]
    levels: Mapping[str, Level]
    touched: Mapping[str, Touch]
    stems: frozenset[str]
    runs: str


def read_request(text: str, constraints: Sequence[SafetyConstraint], touched: Collection[str] | None = None) -> Request:
    """Read a request. `touched` are the ids of the constraints that it is known to touch; None asks the relations."""
    severe = _concerned(text, [constraint for constraint in constraints if is_severe(constraint)])
    severe = without_known(text, severe)
    found = levels(severe, text) if severe else {}
    known = {name for name, level in found.items() if level == "touched"} if touched is None else set(touched)
    met: list[SafetyConstraint] = []
    for constraint in severe:
        if constraint["id"] not in known:
            continue
        # "I'm allergic to peanuts. What shall we cook?" asks for no peanuts, whatever the relations find in it.
        if found[constraint["id"]] == "touched" and _is_only_mentioned(constraint, text):
            continue
        met.append(constraint)
    asked = _without_quotes(text, severe)
    reading = read(asked) if met else None
    return Request(
        text,
        # A question of fact, or a text to be written, recommends nothing.
        constraints=severe if asked_part(text).is_something else met,
        levels=found,
        touched={entry["id"]: touch_by(entry, asked, reading, THRESHOLD) for entry in met} if reading else {},
        stems=frozenset(map(stem, split(asked))),
        runs=asked,
    )


def is_severe(constraint: SafetyConstraint) -> bool:
    """Say whether the guard answers for a constraint: one that holds now, and is more than a preference."""
    return constraint["severity"] in SEVERE and constraint["status"] in ("active", "provisional")


def _is_only_mentioned(constraint: SafetyConstraint, text: str) -> bool:
    """Say whether the relations find a constraint in nothing but the sentence in which the user mentions it."""
    asked = _without_quotes(text, [constraint])
    return asked != text and evidence(constraint, asked) < THRESHOLD


def _without_quotes(text: str, constraints: Sequence[SafetyConstraint]) -> str:
    """Return a request without the sentences in which its user mentions constraints."""
    for constraint in constraints:
        text = text.replace(constraint["source"]["quote"] or "\0", "\n")
    return text


def without_known(text: str, constraints: list[SafetyConstraint]) -> list[SafetyConstraint]:
    """Leave out what the user has just said that they know: what that sentence is about, or all if it does not say."""
    left = constraints
    for sentence in _SENTENCE.findall(text):
        text_words = split(sentence)
        # "I carry an EpiPen because of my peanut allergy" is how a user introduces an allergy. It asks for no silence.
        if not words().knows.is_in(text_words) or _introduces(sentence, constraints):
            continue
        reading = read(sentence)
        known = [
            entry
            for entry in left
            if words().conditions[entry["kind"]].is_in(text_words) or weigh(entry, reading) >= THRESHOLD
        ]
        left = [entry for entry in left if known and entry not in known]
    return left


def _introduces(sentence: str, constraints: list[SafetyConstraint]) -> bool:
    """Say whether a sentence is the one that a constraint was taken from."""
    quotes = [constraint["source"]["quote"].strip(" .!?") for constraint in constraints]
    return any(quote and quote in sentence for quote in quotes)


def _concerned(text: str, constraints: Sequence[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return the constraints of whoever a request is for. Another person's needs the request to say so."""
    is_for_user = not is_for_another_only(text)
    return [
        constraint
        for constraint in constraints
        if (is_for_user if constraint["subject"] == "user" else concern_of_person(constraint["subject"], text) == "yes")
    ]
