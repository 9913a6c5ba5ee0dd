"""How ledgers merge, which constraints a full ledger evicts, and in which order a reply sees them."""

from mirror_graph.state.migration import migrate_constraints
from mirror_graph.state.validation import check_value
from mirror_graph.state.values import SafetyConstraint

CONSTRAINT_LIMIT = 64
_SEVERITY = {"life-threatening": 0, "serious": 1, "preference": 2}
_STATUS = {"active": 0, "provisional": 0, "retracted": 10, "superseded": 20}


def merge_constraints(left: list[SafetyConstraint], right: list[SafetyConstraint]) -> list[SafetyConstraint]:
    """Unite two ledgers by id. The latest statement of a constraint counts, with the turn of the first one.

    Of more than 64, the least important are evicted (`priority`). An active life-threatening constraint is evicted
    only if 64 others were stated before it.
    """
    left, right = migrate_constraints(left), migrate_constraints(right)
    check_value("constraints", right)
    by_id: dict[str, SafetyConstraint] = {}
    for entry in (*left, *right):
        known = by_id.get(entry["id"])
        by_id[entry["id"]] = entry if known is None else _joined(known, entry)
    return sorted(heaviest(list(by_id.values())), key=lambda entry: (entry["first_turn"], entry["id"]))


def heaviest(entries: list[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return the 64 most important constraints."""
    return sorted(entries, key=priority)[:CONSTRAINT_LIMIT]


def priority(entry: SafetyConstraint) -> tuple[int, int, str]:
    """Sort constraints by importance, most important first: by status and severity, then by turn.

    Of active life-threatening ones, those stated first come first, so that a ledger full of them does not change. Of
    all others, the latest come first.
    """
    rank = _STATUS[entry["status"]] + _SEVERITY[entry["severity"]]
    return rank, entry["first_turn"] if rank == 0 else -entry["first_turn"], entry["id"]


def active(entries: list[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return the constraints that apply now, most important first."""
    return sorted((entry for entry in entries if entry["status"] in ("active", "provisional")), key=priority)


def unconfirmed(entries: list[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return what the scanner found in messages that left the window before a pass read them."""
    return [entry for entry in entries if entry["status"] == "provisional"]


def _joined(one: SafetyConstraint, other: SafetyConstraint) -> SafetyConstraint:
    last = max(one, other, key=_recency)
    return {**last, "first_turn": min(one["first_turn"], other["first_turn"])}


def _recency(entry: SafetyConstraint) -> tuple[float, int, bool, int, str]:
    source = entry["source"]
    undated = {**entry, "first_turn": 0}  # joined on its own, so it decides nothing
    believed = entry["status"] != "provisional"
    return source["recorded_at"], source["turn"], believed, len(entry.get("triggers", [])), str(sorted(undated.items()))
