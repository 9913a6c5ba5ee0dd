"""What a request says about each of the user's severe constraints, before any reply."""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from mirror_graph.guard.touching import Touch, touch_by
from mirror_graph.guard.words import words
from mirror_graph.relevance.asking import asked_part
from mirror_graph.relevance.levels import Level, levels
from mirror_graph.relevance.match import ENOUGH
from mirror_graph.relevance.reading import read
from mirror_graph.relevance.spelling import split, stem
from mirror_graph.relevance.subject import concern_of_person, is_for_another_only
from mirror_graph.state.values import SafetyConstraint

SEVERE = ("life-threatening", "serious")


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


def read_request(
    text: str, constraints: Sequence[SafetyConstraint], touched: Collection[str] | None = None
) -> Request:
    """Read a request. `touched` are the ids of the constraints that it is known to touch; None asks the relations."""
    spoken = split(text)
    severe = [constraint for constraint in constraints if is_severe(constraint) and _concerns(text, constraint)]
    if words().knows.is_in(spoken):
        severe = []
    found = levels(severe, text) if severe else {}
    met = [
        constraint
        for constraint in severe
        if (found[constraint["id"]] == "touched" if touched is None else constraint["id"] in touched)
    ]
    reading = read(text) if met else None
    touches = {entry["id"]: touch_by(entry, text, reading, ENOUGH) for entry in met} if reading else {}
    # A question of fact, or a text to be written, recommends nothing.
    concerned = severe if asked_part(text).is_something else met
    return Request(
        text,
        concerned,
        found,
        touches,
        frozenset(map(stem, spoken)),
        text,
    )


def is_severe(constraint: SafetyConstraint) -> bool:
    """Say whether the guard answers for a constraint: one that holds now, and is more than a preference."""
    return constraint["severity"] in SEVERE and constraint["status"] in ("active", "provisional")


def _concerns(text: str, constraint: SafetyConstraint) -> bool:
    """Say whether a request is for whoever a constraint is about. Another person's needs the request to say so."""
    if constraint["whose"] == "user":
        return not is_for_another_only(text)
    return concern_of_person(constraint["whose"], text) == "yes"
