"""How what was just told changes a ledger: added, strengthened, taken back; the history stays."""

from collections.abc import Sequence

from mirror_graph.ledger.identity import normalised
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.values import Severity, Source

_STRENGTH: dict[Severity, int] = {"preference": 0, "serious": 1, "life-threatening": 2}


def tell(ledger: Sequence[SafetyConstraint], told: SafetyConstraint) -> list[SafetyConstraint]:
    """Return `ledger` with `told` active in it, once.

    Told again, an entry is strengthened: the graver severity and the fuller quote stay. Told after it was
    taken back, it holds again, and the taking back becomes history.
    """
    known = find(ledger, told)
    if known is None:
        return [*ledger, {**told, "status": "active"}]
    if known["status"] == "active":
        return _replaced(ledger, _strengthened(known, told))
    again: SafetyConstraint = {**told, "id": known["id"], "status": "active", "since": known["since"]}
    return [*_replaced(ledger, again), _history(known)]


def retract(ledger: Sequence[SafetyConstraint], known: SafetyConstraint, source: Source) -> list[SafetyConstraint]:
    """Return `ledger` with `known` taken back by the words of `source`; what was told becomes history."""
    gone: SafetyConstraint = {**known, "status": "retracted", "source": source}
    return [*_replaced(ledger, gone), _history(known)]


def find(ledger: Sequence[SafetyConstraint], told: SafetyConstraint) -> SafetyConstraint | None:
    """Return the entry that `told` tells of again: the same id, or the same danger in more or fewer words."""
    for entry in ledger:
        if entry["status"] != "superseded" and (entry["id"] == told["id"] or _same_danger(entry, told)):
            return entry
    return None


def _same_danger(entry: SafetyConstraint, told: SafetyConstraint) -> bool:
    if entry["kind"] != told["kind"] or normalised(entry["whose"]) != normalised(told["whose"]):
        return False
    one, other = set(normalised(entry["about"]).split()), set(normalised(told["about"]).split())
    return bool(one and other) and (one <= other or other <= one)


def _strengthened(known: SafetyConstraint, told: SafetyConstraint) -> SafetyConstraint:
    graver = max(known["severity"], told["severity"], key=_STRENGTH.__getitem__)
    better = _STRENGTH[told["severity"]] >= _STRENGTH[known["severity"]]
    fuller = told if better and len(told["source"]["quote"]) > len(known["source"]["quote"]) else known
    source: Source = {**fuller["source"], "turn": told["source"]["turn"], "at": told["source"]["at"]}
    return {**known, "severity": graver, "source": source}


def _history(entry: SafetyConstraint) -> SafetyConstraint:
    """Return `entry` as history, under an id of its own."""
    return {**entry, "id": f"{entry['id'].partition('@')[0]}@{entry['source']['turn']}", "status": "superseded"}


def _replaced(ledger: Sequence[SafetyConstraint], entry: SafetyConstraint) -> list[SafetyConstraint]:
    return [entry if it["id"] == entry["id"] else it for it in ledger]
