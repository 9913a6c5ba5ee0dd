"""Which dangers the user's words touch, by the way that the context chooses."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from langchain_core.messages import AnyMessage, HumanMessage

from mirror_graph.ledger.relevance import touched
from mirror_graph.ledger.telling import beside_telling
from mirror_graph.nodes.check import check
from mirror_graph.nodes.resemble import Resembling, resembling
from mirror_graph.state import MirrorContext, SafetyConstraint, Tokens
from mirror_graph.state.window import unanswered

SHORT = 8
"""Words under which a message is read together with the one before it: "shall I book it?"."""


class Seen(NamedTuple):
    """The ids of what is touched (None: the talker decides), the tokens of a check, and failures by component."""

    touched: frozenset[str] | None
    tokens: Tokens | None = None
    failures: Mapping[str, str] = MappingProxyType({})


async def look(
    entries: Sequence[SafetyConstraint], messages: Sequence[AnyMessage], context: MirrorContext, turn: int
) -> Seen:
    """Say which of `entries` the user's last words touch."""
    if not entries:
        return Seen(frozenset())
    if context.relevance == "talker":
        return Seen(None)
    words = asked(messages)
    if context.relevance == "anticipate":
        said = beside_telling(entries, words)
        alike = await resembling(entries, said, context.embeddings) if context.embeddings else Resembling([])
        return Seen(frozenset([*touched(entries, words), *alike.ids]), failures={"embeddings": alike.failure})
    checked = await check(entries, words, context, turn)
    return Seen(frozenset(checked.ids), checked.tokens, {"check": checked.failure})


def asked(messages: Sequence[AnyMessage]) -> str:
    """Return the words that are to be answered, with the message before them where they are few."""
    said = [message.text for message in unanswered(messages)]
    if len(" ".join(said).split()) < SHORT:
        earlier = [message.text for message in messages if isinstance(message, HumanMessage)]
        said = earlier[-len(said) - 1 :]
    return "\n".join(said)
