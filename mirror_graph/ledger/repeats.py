"""How what was just told changes a ledger: added, strengthened, taken back; the history stays."""

from collections.abc import Sequence

from mirror_graph.ledger.identity import normalised
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.values import Severity, Source

_STRENGTH: dict[Severity, int] = {"preference": 0, "serious": 1, "life-threatening": 2}


def add(ledger: Sequence[SafetyConstraint], told: SafetyConstraint) -> list[SafetyConstraint]:
    """Return `ledger` with `told` active in it, once.

    Told again, an entry is strengthened: the graver severity and the fuller quote stay. Told after it was
    taken back, it holds again, and the taking back becomes history.
    """
    known = find(ledger, told)
    if known is None:
        return [*ledger, {**told, "status": "active"}]
    if known["status"] == "active":
        return _replaced(ledger, merge_repeat(known, told))
    again: SafetyConstraint = {**told, "id": known["id"], "status": "active", "first_turn": known["first_turn"]}
    return [*_replaced(ledger, again), _history(known)]


def retract(ledger: Sequence[SafetyConstraint], known: SafetyConstraint, source: Source) -> list[SafetyConstraint]:
    """Return `ledger` with `known` taken back by the words of `source`; what was told becomes history."""
    gone: SafetyConstraint = {**known, "status": "retracted", "source": source}
    return [*_replaced(ledger, gone), _history(known)]


def with_provisional(ledger: Sequence[SafetyConstraint], caught: Sequence[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return `ledger` as a reply heeds it: with what was caught just now, which is provisional where it is new.

    What was taken back and is told again holds again, at once.
    """
    heard = list(ledger)
    for it in caught:
        heard = add(heard, it) if find(heard, it) else [*heard, it]
    return heard


def find(ledger: Sequence[SafetyConstraint], told: SafetyConstraint) -> SafetyConstraint | None:
    """Return the entry that `told` tells of again: the same id, or the same danger but for words such as "allergy".

    "Eggs" and "egg whites" are two dangers: neither may stand for the other.
    """
    for entry in ledger:
        if entry["status"] != "superseded" and (entry["id"] == told["id"] or _same_danger(entry, told)):
            return entry
    return None


def _same_danger(entry: SafetyConstraint, told: SafetyConstraint) -> bool:
    if entry["kind"] != told["kind"] or normalised(entry["subject"]) != normalised(told["subject"]):
        return False
    one, other = distinguishing_words(entry), distinguishing_words(told)
    return bool(one) and one == other


def distinguishing_words(entry: SafetyConstraint) -> set[str]:
    """Return the words of what an entry is about that tell it from other dangers."""
    return set(normalised(entry["about"]).split()) - _GENERIC


_GENERIC = frozenset(
    "allergy intolerance phobia fear trauma allergic intolerant afraid scared terrified severe serious extreme bad "
    "terrible deadly mild slight chronic my of to the and all any every kind type".split()
)


def merge_repeat(known: SafetyConstraint, told: SafetyConstraint) -> SafetyConstraint:
    """Return `known`, told again: with the graver severity, and the fuller quote of the graver telling."""
    graver = max(known["severity"], told["severity"], key=_STRENGTH.__getitem__)
    better = _STRENGTH[told["severity"]] >= _STRENGTH[known["severity"]]
    fuller = told if better and len(told["source"]["quote"]) > len(known["source"]["quote"]) else known
    source: Source = {**fuller["source"], "turn": told["source"]["turn"], "recorded_at": told["source"]["recorded_at"]}
    return {**known, "severity": graver, "source": source}


def _history(entry: SafetyConstraint) -> SafetyConstraint:
    """Return `entry` as history, under an id of its own."""
    return {**entry, "id": f"{entry['id'].partition('@')[0]}@{entry['source']['turn']}", "status": "superseded"}


def _replaced(ledger: Sequence[SafetyConstraint], entry: SafetyConstraint) -> list[SafetyConstraint]:
    return [entry if it["id"] == entry["id"] else it for it in ledger]
