"""What a pass makes of the ledger: what was scanned, what was noted, in the order it was said."""

from collections.abc import Sequence

from mirror_graph.ledger.quotes import overlap
from mirror_graph.ledger.repeats import add, distinguishing_words, find, retract
from mirror_graph.ledger.retraction import find_retracted
from mirror_graph.ledger.user_messages import UserMessage, scan_messages
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.values import Notes


def update_ledger(
    ledger: Sequence[SafetyConstraint], heard: Sequence[UserMessage], notes: Notes | None, at: float
) -> list[SafetyConstraint]:
    """Return `ledger` after the messages of a pass.

    What the scanner caught holds unless the thinker said that it is no danger (`take_notes`), which it cannot
    say of what may kill; so a thinker that fails, or forgets, loses nothing. What the thinker was told holds
    beside it, in the scanner's reading where both read the same words. A constraint is taken back only by the
    user's own plain words (`taken_back`), noted by the thinker. What left the window before anybody could think
    about it holds.
    """
    dropped = set(notes["false_alarms"]) if notes else set()
    noted = notes["claims"] if notes else []
    caught = [it for it in scan_messages(heard, at) if it["severity"] == "life-threatening" or it["id"] not in dropped]
    told = [it for it in noted if not (same := _in_the_words_of(it, caught)) or find(same, it)]
    kept: list[SafetyConstraint] = [
        {**it, "status": "active"} if it["status"] == "provisional" else it for it in ledger
    ]
    for turn in sorted({it.turn for it in heard}):
        for entry in (*caught, *told):
            if entry["source"]["turn"] == turn:
                kept = add(kept, entry)
        for source in notes["retractions"] if notes else []:
            if source["turn"] == turn and (known := find_retracted(source["quote"], kept)):
                kept = retract(kept, known, source)
    return kept


def _in_the_words_of(entry: SafetyConstraint, others: Sequence[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return those of `others` that were read in the very words that `entry` is about, or any where it names none."""
    about = distinguishing_words(entry)
    beside = [it for it in others if overlap(entry["source"]["quote"], it["source"]["quote"])]
    return [it for it in beside if not about or about & distinguishing_words(it)]
