"""What the user's own messages tell, turn by turn: scanned, and looked up."""

from collections.abc import Sequence
from typing import NamedTuple

from langchain_core.messages import AnyMessage

from mirror_graph.ledger.identity import constraint_id
from mirror_graph.ledger.quotes import sentence_around
from mirror_graph.ledger.repeats import merge_repeat
from mirror_graph.ledger.scan import QUOTE_LIMIT, scan, scan_in_slices
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.values import AnsweredTurn, Source
from mirror_graph.state.window import is_users


class UserMessage(NamedTuple):
    """One message of a user's: the turn it belongs to, its id, its text, and who wrote it.

    `speaker` is a name in a group of users, and `""` for the user whose conversation it is.
    """

    turn: int
    message: str
    text: str
    speaker: str = ""


def user_messages(
    messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn], next_turn: int, user_id: str | None = None
) -> list[UserMessage]:
    """Return the users' messages among `messages`, each with the turn in which it was answered.

    Those that wait for a reply belong to `next_turn`.
    """
    turns = {answered["reply"]: answered["turn"] for answered in branch}
    heard: list[UserMessage] = []
    turn = next_turn
    for message in reversed(messages):
        turn = turns.get(message.id or "", turn)
        if is_users(message):
            speaker = message.name if message.name and message.name != user_id else ""
            heard.insert(0, UserMessage(turn, message.id or "", message.text, speaker))
    return heard


async def scan_ahead(heard: Sequence[UserMessage]) -> None:
    """Scan messages in slices, so that a long one holds up nobody else's turn; `scanned` then finds them read."""
    for message in heard:
        await scan_in_slices(message.text)


def scan_messages(heard: Sequence[UserMessage], at: float = 0.0) -> list[SafetyConstraint]:
    """Return the provisional constraints of these messages, each with the message and the turn it stands in.

    Of one that is told several times the gravest word counts.
    """
    found: dict[str, SafetyConstraint] = {}
    for it in heard:
        for constraint in scan(it.text):
            constraint = _of_speaker(constraint, it.speaker)
            source: Source = {**constraint["source"], "message": it.message, "turn": it.turn, "recorded_at": at}
            told: SafetyConstraint = {**constraint, "source": source, "first_turn": it.turn}
            known = found.get(told["id"])
            found[told["id"]] = merge_repeat(known, told) if known else told
    return list(found.values())


def find_source(quote: str, heard: Sequence[UserMessage], at: float) -> Source | None:
    """Return the whole sentence of the user's own in which `quote` stands, the latest first, or None where none does.

    The whole sentence, because half of one can say the contrary: "I wish | I were no longer allergic".
    """
    for it in reversed(heard):
        sentence = sentence_around(quote, it.text)
        if sentence is not None and len(sentence) <= QUOTE_LIMIT:
            return {"message": it.message, "turn": it.turn, "quote": sentence, "language": "", "recorded_at": at}
    return None


def _of_speaker(constraint: SafetyConstraint, speaker: str) -> SafetyConstraint:
    """Return what somebody in a group said of themselves as theirs: it is not the account owner's."""
    if not speaker or constraint["subject"] != "user":
        return constraint
    identity = constraint_id(constraint["kind"], constraint["about"], speaker)
    return {**constraint, "subject": speaker, "id": identity}
