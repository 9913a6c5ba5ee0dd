"""Which dangers the user's words touch, by the way that the context chooses."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from langchain_core.messages import AnyMessage

from mirror_graph.ledger.relevance import touched
from mirror_graph.ledger.telling import beside_telling, told_in
from mirror_graph.nodes.check import check
from mirror_graph.nodes.resemble import resembling
from mirror_graph.state import MirrorContext, SafetyConstraint, Tokens
from mirror_graph.state.values import AnsweredTurn
from mirror_graph.state.window import is_users, unanswered

SHORT = 8
"""Words under which a message is read together with the one before it: "shall I book it?"."""


class Seen(NamedTuple):
    """The ids of what is touched (None: the talker decides), the tokens of a check, and failures by component.

    `told` are the ids of what the words tell of and are not seen to touch: a plan may stand in the same sentence, and
    a question lean on it ("may I eat one?"), so there the talker decides.
    """

    touched: frozenset[str] | None
    tokens: Tokens | None = None
    failures: Mapping[str, str] = MappingProxyType({})
    told: frozenset[str] = frozenset()


async def look(
    entries: Sequence[SafetyConstraint],
    messages: Sequence[AnyMessage],
    context: MirrorContext,
    turn: int,
    branch: Sequence[AnsweredTurn] = (),
) -> Seen:
    """Say which of `entries` the user's last words touch."""
    if not entries:
        return Seen(frozenset())
    if context.relevance == "talker":
        return Seen(None)
    words = asked(messages, branch)
    told = frozenset(told_in(entries, words))
    if context.relevance == "check":
        checked = await check(entries, words, context, turn)
        met = frozenset(checked.ids)
        return Seen(met, checked.tokens, {"check": checked.failure}, told - met if checked.failure else frozenset())
    met = frozenset(touched(entries, words))
    if not context.embeddings:
        return Seen(met, told=told - met)
    alike = await resembling(entries, beside_telling(entries, words), context.embeddings)
    met |= frozenset(alike.ids)
    return Seen(met, failures={"embeddings": alike.failure}, told=told - met)


def asked(messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn] = ()) -> str:
    """Return the words that are to be answered, with the message before them where they are few."""
    said = [message.text for message in unanswered(messages, branch)]
    if len(" ".join(said).split()) < SHORT:
        earlier = [message.text for message in messages if is_users(message)]
        said = earlier[-len(said) - 1 :]
    return "\n".join(said)
