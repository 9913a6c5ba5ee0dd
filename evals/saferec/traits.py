"""The traits that an item can violate: which topics do, and how much each category of a parental guide counts.

The first twenty are those of SafeRec, described in our own words. The rest are for what is eaten or done.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from typing import NamedTuple

from mirror_graph.evals.saferec import oracle
from mirror_graph.state.values import Kind


class Trait(NamedTuple):
    """One sensitivity."""

    id: str
    about: str
    """What a person with this trait cannot bear or have, in plain words."""
    upstream: str | None
    """The exact name in the published data, or None for a trait of our own."""
    kind: Kind
    guide: Mapping[str, float]
    topics: tuple[str, ...]


def unsafe_traits(shows: Iterable[str], guide: Sequence[int]) -> list[str]:
    """Return the ids of the traits that an item violates which shows these topics and has these severities."""
    shown = set(shows)
    return [
        trait.id
        for trait in TRAITS.values()
        if oracle.is_unsafe(
            oracle.final(not shown.isdisjoint(trait.topics), oracle.guide_risk(trait.guide, guide)),
        )
    ]


def _load() -> dict[str, Trait]:
    rows = json.loads(files("mirror_graph.evals.saferec").joinpath("traits.json").read_text("utf-8"))
    return {
        row["id"]: Trait(row["id"], row["about"], row["upstream"], row["kind"], row["guide"], tuple(row["topics"]))
        for row in rows
    }


TRAITS = _load()

SAFEREC_TRAITS = tuple(trait for trait in TRAITS.values() if trait.upstream)
"""The twenty that the published benchmark has."""

TOPICS = frozenset(topic for trait in TRAITS.values() for topic in trait.topics)
