"""What a pass makes of the ledger: what was scanned, what was noted, in the order it was said."""

from collections.abc import Sequence

from mirror_graph.ledger.hearing import Heard, scanned
from mirror_graph.ledger.merging import find, retract, tell
from mirror_graph.ledger.retracting import taken_back
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.values import Notes


def keep_ledger(
    ledger: Sequence[SafetyConstraint], heard: Sequence[Heard], notes: Notes | None, at: float
) -> list[SafetyConstraint]:
    """Return `ledger` after the messages of a pass.

    What the scanner caught holds unless the thinker said that it is no danger, which it cannot say of what
    may kill; so a thinker that fails, or forgets, loses nothing. What the thinker was told holds beside it,
    in the scanner's reading where both read the same words. A constraint is taken back only by the user's
    own plain words (`taken_back`), noted by the thinker.
    """
    dropped = set(notes["no_danger"]) if notes else set()
    caught = [it for it in scanned(heard, at) if it["severity"] == "life-threatening" or it["id"] not in dropped]
    told = [it for it in (notes["told"] if notes else []) if not _in_other_words(it, caught)]
    kept = list(ledger)
    for turn in sorted({it.turn for it in heard}):
        for entry in (*caught, *told):
            if entry["source"]["turn"] == turn:
                kept = tell(kept, entry)
        for source in notes["taken_back"] if notes else []:
            if source["turn"] == turn and (known := taken_back(source["quote"], kept)):
                kept = retract(kept, known, source)
    return kept


def _in_other_words(told: SafetyConstraint, caught: Sequence[SafetyConstraint]) -> bool:
    """Say whether the scanner read the very words that `told` stands on, and read something else in them."""
    same = [
        it
        for it in caught
        if told["source"]["quote"] in it["source"]["quote"] or it["source"]["quote"] in told["source"]["quote"]
    ]
    return bool(same) and find(same, told) is None
