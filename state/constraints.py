"""How ledgers merge, what is evicted from a full one, and what a reply is shown first."""

from collections.abc import Container, Iterable

from mirror_graph.state.migration import migrate_constraints
from mirror_graph.state.validation import check_value
from mirror_graph.state.values import SafetyConstraint

CONSTRAINT_LIMIT = 64
_SEVERITY = {"life-threatening": 0, "serious": 1, "preference": 2}
_STATUS = {"active": 0, "provisional": 0, "retracted": 10, "superseded": 20}


def merge_constraints(left: list[SafetyConstraint], right: list[SafetyConstraint]) -> list[SafetyConstraint]:
    """Unite two ledgers by id: the latest version of a constraint counts, with the earliest `first_turn` of any.

    Beyond 64 constraints, those of the lowest `priority` are evicted.
    """
    left, right = migrate_constraints(left), migrate_constraints(right)
    check_value("constraints", right)
    by_id: dict[str, SafetyConstraint] = {}
    for constraint in (*left, *right):
        known = by_id.get(constraint["id"])
        by_id[constraint["id"]] = constraint if known is None else _joined(known, constraint)
    return sorted(heaviest(list(by_id.values())), key=lambda constraint: (constraint["first_turn"], constraint["id"]))


def heaviest(constraints: list[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return the 64 constraints of the highest priority."""
    return sorted(constraints, key=priority)[:CONSTRAINT_LIMIT]


def severe(constraints: Iterable[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return the constraints that are more than a preference."""
    return [constraint for constraint in constraints if constraint["severity"] != "preference"]


def priority(constraint: SafetyConstraint) -> tuple[int, int, str]:
    """Return a key that sorts the most important constraint first.

    The order is by status and severity. Among active constraints that can kill, the earliest comes first, so that a
    full ledger of them never changes. Among all others, the latest comes first.
    """
    rank = _STATUS[constraint["status"]] + _SEVERITY[constraint["severity"]]
    first_turn = constraint["first_turn"]
    return rank, first_turn if rank == 0 else -first_turn, constraint["id"]


def active(constraints: list[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return the constraints that hold now, the most important first."""
    holding = [constraint for constraint in constraints if constraint["status"] in ("active", "provisional")]
    return sorted(holding, key=priority)


def unconfirmed(constraints: list[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return what the scanner found in messages that left the window before a pass read them."""
    return [constraint for constraint in constraints if constraint["status"] == "provisional"]


def ids_of(constraints: Iterable[SafetyConstraint]) -> set[str]:
    """Return the ids of these constraints."""
    return {constraint["id"] for constraint in constraints}


def without_ids(constraints: Iterable[SafetyConstraint], ids: Container[str]) -> list[SafetyConstraint]:
    """Return the constraints whose id is not among `ids`."""
    return [constraint for constraint in constraints if constraint["id"] not in ids]


def of_subject(constraints: Iterable[SafetyConstraint], subject: str) -> list[SafetyConstraint]:
    """Return the constraints of one person: `"user"`, or whoever the user named."""
    return [constraint for constraint in constraints if constraint["subject"] == subject]


def _joined(one: SafetyConstraint, other: SafetyConstraint) -> SafetyConstraint:
    last = max(one, other, key=_recency)
    return {**last, "first_turn": min(one["first_turn"], other["first_turn"])}


def _recency(constraint: SafetyConstraint) -> tuple[float, int, bool, int, str]:
    source = constraint["source"]
    is_confirmed = constraint["status"] != "provisional"
    # `first_turn` is merged on its own, so it must not decide which version is later.
    content = {**constraint, "first_turn": 0}
    triggers = len(constraint.get("triggers", []))
    return source["recorded_at"], source["turn"], is_confirmed, triggers, str(sorted(content.items()))


def lethal_ids(constraints: Iterable[SafetyConstraint]) -> frozenset[str]:
    """Return the ids of the constraints that may kill."""
    return frozenset(ids_of(constraint for constraint in constraints if constraint["severity"] == "life-threatening"))
