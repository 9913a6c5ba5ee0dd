"""How something can be met, and which kinds of constraint each way of meeting it can touch.

The difference that matters most is between meeting a thing in person and only being shown it. A film about a peanut
farm is safe for a person with a peanut allergy. A film about a storm at sea is not safe for one who nearly drowned.
"""

from typing import Literal, get_args

from mirror_graph.state.values import Kind

Exposure = Literal["eaten", "taken", "done", "shown"]
"""Eaten or drunk; taken as a medicine, supplement or drug; done, visited, used or worn in person; shown or read."""

EXPOSURES: tuple[Exposure, ...] = get_args(Exposure)

TOUCHES: dict[Exposure, frozenset[Kind]] = {
    # Food and drink reach a body, and whatever a person has sworn off, cannot bear, or must not be offered.
    "eaten": frozenset(get_args(Kind)),
    # A medicine reaches a body, an addiction, and a diet (gelatine, alcohol). It is not met like a fear or a memory.
    "taken": frozenset(
        {"allergy", "intolerance", "dietary", "medical", "physical", "medication", "addiction", "boundary", "other"}
    ),
    # What is done in person can bring anything near: contact, strain, a memory, a temptation.
    "done": frozenset(get_args(Kind)),
    # What is only shown reaches the mind and not the body. The exception is in `can_touch`.
    "shown": frozenset({"phobia", "trauma", "addiction", "boundary", "other"}),
}

_TRIGGERED_BY_SIGHT: frozenset[Kind] = frozenset({"medical", "physical"})


def can_touch(kind: Kind, exposure: Exposure, *, triggered_by_sight: bool = False) -> bool:
    """Say whether a constraint of `kind` can be touched by something that is met in this way.

    `triggered_by_sight` is for the medical constraints that seeing is enough to bring on: by light or motion
    (photosensitive epilepsy, migraine, vertigo), or by what is depicted (an eating disorder, suicidal thoughts).
    It never makes a difference for an allergy, an intolerance, a diet or a medication.
    """
    if kind in TOUCHES[exposure]:
        return True
    return exposure == "shown" and triggered_by_sight and kind in _TRIGGERED_BY_SIGHT
