"""How relevant each constraint is to what a user asks: touched, in its own field, unknown, or unrelated."""

from collections.abc import Mapping, Sequence
from typing import Literal

from mirror_graph.relevance.asking import asked_part
from mirror_graph.relevance.exposure import can_touch
from mirror_graph.relevance.match import THRESHOLD, owns_words, weigh
from mirror_graph.relevance.mentions import without_mentions
from mirror_graph.relevance.reading import Reading, bounded, read
from mirror_graph.relevance.subject import Concern, concern_of_person, is_for_another_only
from mirror_graph.relevance.triggers import Triggers, triggers_of
from mirror_graph.state.values import Kind, SafetyConstraint

Level = Literal["touched", "in_domain", "unknown", "unrelated"]

OWN_FIELDS: Mapping[Kind, frozenset[str]] = {
    "allergy": frozenset({"food"}),
    "intolerance": frozenset({"food"}),
    "dietary": frozenset({"food", "drink"}),
    "medication": frozenset({"medicine", "drink"}),
    "medical": frozenset({"medicine"}),
    "physical": frozenset({"outing"}),
    "phobia": frozenset({"media", "outing"}),
    "trauma": frozenset({"media", "outing"}),
    "addiction": frozenset({"media", "drink", "drug", "habit"}),
    "boundary": frozenset({"media"}),
    "other": frozenset(),
}
"""In which fields an open request may lead to a constraint of each kind, if the relations say nothing closer."""


def levels(constraints: Sequence[SafetyConstraint], text: str) -> dict[str, Level]:
    """Say of each constraint, by its id, how relevant it is to `text`.

    `touched`: doing what the text asks for, or eating what it speaks of, brings the danger near.
    `in_domain`: the text asks openly in the constraint's own field, such as food for an allergy.
    `unknown`: the relations cannot tell, and a model has to.
    `unrelated`: none of these. No model is called, and it takes milliseconds.
    """
    request = bounded(without_mentions(constraints, text))
    asked = asked_part(request)
    reading = read(asked.words)
    for_another = is_for_another_only(request)
    writing = read(asked.writing) if asked.writing else None
    found: dict[str, Level] = {}
    for constraint in constraints:
        concern: Concern = "no" if for_another else "yes"
        if constraint["subject"] != "user":
            concern = concern_of_person(constraint["subject"], request)
        found[constraint["id"]] = _level(constraint, reading, writing, concern)
    return found


def relevant(constraints: Sequence[SafetyConstraint], text: str) -> list[str]:
    """Return the ids of the constraints that a text touches, in the order of `constraints`, without a model call."""
    found = levels(constraints, text)
    return [constraint["id"] for constraint in constraints if found[constraint["id"]] == "touched"]


def _level(constraint: SafetyConstraint, reading: Reading, writing: Reading | None, concern: Concern) -> Level:
    if concern == "no":
        return "unrelated"
    triggers = triggers_of(constraint)
    if not reading.says_something:
        # Nothing is asked that could be done. What is only written about can still reach a mind.
        is_near = writing is not None and _is_reached_by(constraint, triggers, writing)
        return "in_domain" if is_near else "unrelated"
    if weigh(constraint, reading) >= THRESHOLD:
        # Another person's constraint counts in full only if the request says that it concerns them.
        return "touched" if concern == "yes" else "in_domain"
    if reading.fields & own_fields(constraint["kind"], triggers) or owns_words(triggers, reading):
        return "in_domain"
    return "unknown" if _cannot_tell(constraint, triggers, reading) else "unrelated"


def own_fields(kind: Kind, triggers: Triggers) -> frozenset[str]:
    """Return the fields in which a constraint matters: those of the concepts it names, else those of its kind."""
    return triggers.own or OWN_FIELDS[kind]


def _is_reached_by(constraint: SafetyConstraint, triggers: Triggers, writing: Reading) -> bool:
    by_sight = can_touch(constraint["kind"], "shown", triggered_by_sight=triggers.by_sight)
    return by_sight and weigh(constraint, writing) >= THRESHOLD


def _cannot_tell(constraint: SafetyConstraint, triggers: Triggers, reading: Reading) -> bool:
    """Say whether the relations do not know the constraint, or not the language of the text."""
    if not reading.is_readable:
        return True
    if triggers.is_known or triggers.phrases:
        return False
    # Of what is not known at least this is: an unknown allergy is not met in a film.
    return reading.fields != {"media"} or can_touch(constraint["kind"], "shown")
