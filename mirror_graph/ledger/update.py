"""What a thinking pass makes of the ledger: what was scanned and what was noted, in the order of the turns."""

from collections.abc import Sequence

from mirror_graph.ledger.identity import distinguishing_words
from mirror_graph.ledger.quotes import overlap
from mirror_graph.ledger.repeats import add, find, retract
from mirror_graph.ledger.retraction import find_retracted
from mirror_graph.ledger.user_messages import UserMessage, scan_messages
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.values import Notes

_NO_NOTES: Notes = {"turn": 0, "claims": [], "retractions": [], "false_alarms": []}


def update_ledger(
    ledger: Sequence[SafetyConstraint], messages: Sequence[UserMessage], notes: Notes | None, at: float
) -> list[SafetyConstraint]:
    """Return `ledger` after the messages of a pass, recorded `at` in seconds since 1970.

    A thinker that fails or forgets loses nothing: what the scanner caught holds without it.
    """
    notes = notes or _NO_NOTES
    caught = _without_false_alarms(scan_messages(messages, at), notes)
    stated = [*caught, *_claims_to_add(notes["claims"], caught)]
    updated = list(map(_activated, ledger))
    # Turn by turn, because the order decides: what is stated after a retraction holds again.
    for turn in sorted({message.turn for message in messages}):
        for constraint in stated:
            if constraint["source"]["turn"] == turn:
                updated = add(updated, constraint)
        # Within a turn, a retraction comes last: "I was allergic to nuts, and no longer am" states and retracts it.
        updated = _with_retractions(updated, notes, turn)
    return updated


def _without_false_alarms(caught: Sequence[SafetyConstraint], notes: Notes) -> list[SafetyConstraint]:
    """Return what the scanner caught and the thinker did not call harmless."""
    left: list[SafetyConstraint] = []
    for constraint in caught:
        # The thinker cannot call harmless what may kill: a model that is wrong, or was misled, must not lose that.
        if constraint["severity"] == "life-threatening" or constraint["id"] not in notes["false_alarms"]:
            left.append(constraint)
    return left


def _claims_to_add(claims: Sequence[SafetyConstraint], caught: Sequence[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return the thinker's claims that are no second reading of words that the scanner has read."""
    added: list[SafetyConstraint] = []
    for claim in claims:
        same_words = _in_the_words_of(claim, caught)
        # Both read the same words, and read different dangers in them: the scanner's reading stands alone.
        if same_words and not find(same_words, claim):
            continue
        # Either only the thinker found a danger in these words, or both found the same one, and `add` merges the two:
        # the claim may be more severe or have the fuller quote.
        added.append(claim)
    return added


def _activated(constraint: SafetyConstraint) -> SafetyConstraint:
    """Return a constraint as active if it was provisional.

    Its messages left the window before a pass could read them, so nothing can confirm or drop it any more.
    """
    return {**constraint, "status": "active"} if constraint["status"] == "provisional" else constraint


def _with_retractions(ledger: list[SafetyConstraint], notes: Notes, turn: int) -> list[SafetyConstraint]:
    """Return `ledger` without what the user's own plain words of a turn take back."""
    for source in notes["retractions"]:
        if source["turn"] != turn:
            continue
        # A sentence that fits no constraint, or several, takes nothing back: the user can delete one by hand.
        retracted = find_retracted(source["quote"], ledger)
        if retracted:
            ledger = retract(ledger, retracted, source)
    return ledger


def _in_the_words_of(claim: SafetyConstraint, caught: Sequence[SafetyConstraint]) -> list[SafetyConstraint]:
    """Return those of `caught` that were read in the words of `claim` that name its danger.

    If the claim names none, all that were read in the same sentence are returned.
    """
    names = distinguishing_words(claim)
    found: list[SafetyConstraint] = []
    for constraint in caught:
        if not overlap(claim["source"]["quote"], constraint["source"]["quote"]):
            continue
        if not names or names & distinguishing_words(constraint):
            found.append(constraint)
    return found
