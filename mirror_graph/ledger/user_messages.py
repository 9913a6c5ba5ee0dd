"""The user's own messages, turn by turn: scanned, and searched for quotes."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

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
    found: list[UserMessage] = []
    turn = next_turn
    for message in reversed(messages):
        # Read backwards: the reply that answered a message stands after it, and says the turn.
        turn = turns.get(message.id or "", turn)
        if is_users(message):
            # In a group, the account's owner is the user, and everybody else goes by their name.
            speaker = message.name if message.name and message.name != user_id else ""
            found.insert(0, UserMessage(turn, message.id or "", message.text, speaker))
    return found


async def scan_ahead(messages: Sequence[UserMessage]) -> None:
    """Scan messages in slices, so that a long one delays no other turn; `scan_messages` then costs nothing."""
    for message in messages:
        await scan_in_slices(message.text)


def scan_messages(messages: Sequence[UserMessage], at: float = 0.0) -> list[SafetyConstraint]:
    """Return the provisional constraints of these messages, each with its message and its turn.

    If one is stated several times, the most severe statement counts.
    """
    found: dict[str, SafetyConstraint] = {}
    for message in messages:
        where: dict[str, Any] = {"message": message.message, "turn": message.turn, "recorded_at": at}
        for scanned in scan(message.text):
            constraint = _of_speaker(scanned, message.speaker)
            source = cast(Source, {**constraint["source"], **where})
            stated: SafetyConstraint = {**constraint, "source": source, "first_turn": message.turn}
            known = found.get(stated["id"])
            found[stated["id"]] = merge_repeat(known, stated) if known else stated
    return list(found.values())


def find_source(quote: str, messages: Sequence[UserMessage], at: float) -> Source | None:
    """Return the latest whole sentence of the user's own that holds `quote`, or None if none does.

    The whole sentence, because half of one can say the contrary: "I wish | I were no longer allergic".
    """
    for message in reversed(messages):
        sentence = sentence_around(quote, message.text)
        # A sentence that is too long to be shown whole is no source: half of it could say the contrary.
        if sentence is not None and len(sentence) <= QUOTE_LIMIT:
            return {
                "message": message.message,
                "turn": message.turn,
                "quote": sentence,
                "language": "",
                "recorded_at": at,
            }
    return None


def _of_speaker(constraint: SafetyConstraint, speaker: str) -> SafetyConstraint:
    """Return what a person in a group states of themselves as theirs: it is not the account owner's."""
    if not speaker or constraint["subject"] != "user":
        return constraint
    identity = constraint_id(constraint["kind"], constraint["about"], speaker)
    return {**constraint, "subject": speaker, "id": identity}
