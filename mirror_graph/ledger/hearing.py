"""What the user's own messages tell, turn by turn: scanned, and looked up."""

from collections.abc import Sequence
from typing import NamedTuple

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from mirror_graph.ledger.merging import strengthened
from mirror_graph.ledger.quotes import sentence_around
from mirror_graph.ledger.scan import QUOTE_LIMIT, scan
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.values import Source
from mirror_graph.state.window import turn_of


class Heard(NamedTuple):
    """One message of the user's, and the turn it belongs to."""

    turn: int
    message: str
    text: str


def listen(messages: Sequence[AnyMessage], since: int) -> list[Heard]:
    """Return the user's messages of the turns after `since`, the unanswered ones included."""
    heard: list[Heard] = []
    turn = 0
    for message in messages:
        if isinstance(message, HumanMessage):
            heard.append(Heard(turn + 1, message.id or "", message.text))
        elif isinstance(message, AIMessage):
            turn = turn_of(message) or turn + 1
            # The window may have lost its beginning: a reply knows the turn of the words before it.
            heard = [it._replace(turn=turn) if it.turn == heard[-1].turn else it for it in heard]
    return [it for it in heard if it.turn > since]


def scanned(heard: Sequence[Heard], at: float = 0.0) -> list[SafetyConstraint]:
    """Return the provisional constraints of these messages, each with the message and the turn it stands in.

    Of one that is told several times the gravest word counts.
    """
    found: dict[str, SafetyConstraint] = {}
    for it in heard:
        for constraint in scan(it.text):
            source: Source = {**constraint["source"], "message": it.message, "turn": it.turn, "at": at}
            told: SafetyConstraint = {**constraint, "source": source, "since": it.turn}
            known = found.get(told["id"])
            found[told["id"]] = strengthened(known, told) if known else told
    return list(found.values())


def source_of(quote: str, heard: Sequence[Heard], at: float) -> Source | None:
    """Return the whole sentence of the user's own in which `quote` stands, the latest first, or None where none does.

    The whole sentence, because half of one can say the contrary: "I wish | I were no longer allergic".
    """
    for it in reversed(heard):
        sentence = sentence_around(quote, it.text)
        if sentence is not None and len(sentence) <= QUOTE_LIMIT:
            return {"message": it.message, "turn": it.turn, "quote": sentence, "language": "", "at": at}
    return None
