"""How a statement changes a ledger: a constraint is added, strengthened or taken back, and its history stays."""

from collections.abc import Sequence

from mirror_graph.ledger.identity import is_same_danger
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.values import Severity, Source

_STRENGTH: dict[Severity, int] = {"preference": 0, "serious": 1, "life-threatening": 2}


def add(ledger: Sequence[SafetyConstraint], stated: SafetyConstraint) -> list[SafetyConstraint]:
    """Return `ledger` with `stated` active in it, once.

    If it is active already, the more severe word and the fuller quote stay. If it was taken back, it holds again, and
    the retraction becomes history.
    """
    known = find(ledger, stated)
    if known is None:
        return [*ledger, {**stated, "status": "active"}]
    if known["status"] == "active":
        return _replaced(ledger, merge_repeat(known, stated))
    again: SafetyConstraint = {**stated, "id": known["id"], "status": "active", "first_turn": known["first_turn"]}
    return [*_replaced(ledger, again), _history(known)]


def retract(ledger: Sequence[SafetyConstraint], known: SafetyConstraint, source: Source) -> list[SafetyConstraint]:
    """Return `ledger` with `known` taken back by the words of `source`; what it was becomes history."""
    gone: SafetyConstraint = {**known, "status": "retracted", "source": source}
    return [*_replaced(ledger, gone), _history(known)]


def with_provisional(ledger: Sequence[SafetyConstraint], caught: Sequence[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return `ledger` as a reply sees it, with what the scanner caught just now; what is new is provisional.

    What was taken back and is stated again holds again, at once.
    """
    merged = list(ledger)
    for constraint in caught:
        merged = add(merged, constraint) if find(merged, constraint) else [*merged, constraint]
    return merged


def find(ledger: Sequence[SafetyConstraint], stated: SafetyConstraint) -> SafetyConstraint | None:
    """Return the constraint that `stated` repeats: one of the same id, or of the same danger."""
    for constraint in ledger:
        if constraint["status"] == "superseded":
            continue
        if constraint["id"] == stated["id"] or is_same_danger(constraint, stated):
            return constraint
    return None


def merge_repeat(known: SafetyConstraint, stated: SafetyConstraint) -> SafetyConstraint:
    """Return `known` after it was stated again: with the higher severity, and the fuller quote of the severer words."""
    severity = max(known["severity"], stated["severity"], key=_STRENGTH.__getitem__)
    is_as_severe = _STRENGTH[stated["severity"]] >= _STRENGTH[known["severity"]]
    is_fuller = len(stated["source"]["quote"]) > len(known["source"]["quote"])
    # A weaker statement never replaces the words of a stronger one, however long it is.
    source = stated["source"] if is_as_severe and is_fuller else known["source"]
    latest = stated["source"]
    dated: Source = {**source, "turn": latest["turn"], "recorded_at": latest["recorded_at"]}
    return {**known, "severity": severity, "source": dated, "first_turn": _first_turn(known, latest)}


def _first_turn(known: SafetyConstraint, latest: Source) -> int:
    """Return the turn in which a constraint was first stated; 0 if that was in another conversation, as far as we see.

    Turns of two conversations cannot be compared. A constraint whose first turn is not that of its latest words has
    been stated elsewhere too, so that an edit of these words does not withdraw it.
    """
    is_earlier = known["first_turn"] < latest["turn"] or known["source"]["message"] == latest["message"]
    return known["first_turn"] if is_earlier else 0


def _history(constraint: SafetyConstraint) -> SafetyConstraint:
    """Return a constraint as history, under an id of its own."""
    identity = constraint["id"].partition("@")[0]
    return {**constraint, "id": f"{identity}@{constraint['source']['turn']}", "status": "superseded"}


def _replaced(ledger: Sequence[SafetyConstraint], constraint: SafetyConstraint) -> list[SafetyConstraint]:
    return [constraint if known["id"] == constraint["id"] else known for known in ledger]
