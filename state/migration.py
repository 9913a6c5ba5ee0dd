"""Migration of stored data from earlier schemas. No other module knows the old names."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from mirror_graph.state.values import SafetyConstraint

_RENAMED = {"whose": "subject", "since": "first_turn", "touches": "triggers"}
"""The keys of a constraint in schema 1, and their names in schema 2."""


def migrate_constraints(stored: Sequence[Any]) -> list[SafetyConstraint]:
    """Return stored constraints in the current form; what is no constraint of any form is returned as it is."""
    return list(map(_migrate_constraint, stored))


def migrate_mind(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Return the stored values of a mind in the current form.

    A mind of schema 1 knew the turn it had read, and not the id of that turn's reply.
    """
    mind = dict(stored)
    if "constraints" in mind:
        mind["constraints"] = migrate_constraints(mind["constraints"])
    if "read" not in mind:
        mind["read"] = {"turn": mind.get("turn", 0), "reply": ""}
    return mind


def _migrate_constraint(stored: Any) -> SafetyConstraint:
    if not isinstance(stored, dict) or "whose" not in stored:
        return cast(SafetyConstraint, stored)
    constraint = {_RENAMED.get(key, key): value for key, value in stored.items()}
    source = constraint.get("source")
    if isinstance(source, dict) and "at" in source:
        constraint["source"] = {("recorded_at" if key == "at" else key): value for key, value in source.items()}
    return cast(SafetyConstraint, constraint)
