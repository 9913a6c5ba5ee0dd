"""How relevant each constraint is to a message, by the method that the context selects."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from langchain_core.messages import AnyMessage

from mirror_graph.ledger.words import count_words
from mirror_graph.relevance.asking import asked_part, asks_openly
from mirror_graph.relevance.check import check
from mirror_graph.relevance.embeddings import similar_constraints
from mirror_graph.relevance.levels import Level, levels
from mirror_graph.relevance.match import evidence
from mirror_graph.relevance.mentions import mentioned_in, without_mentions
from mirror_graph.state import MirrorContext, SafetyConstraint, Tokens
from mirror_graph.state.values import AnsweredTurn
from mirror_graph.state.window import is_users, pending_messages

SHORT_MESSAGE_WORDS = 8
"""Words under which a message is read together with the one before it: "shall I book it?"."""

NO_IDS: frozenset[str] = frozenset()


class Relevant(NamedTuple):
    """How relevant the constraints are, by id, with the tokens of a check, and failures by component.

    `touched` is None if the talker decides about all of them. `mentioned` are named in this message and not matched:
    the message may hold a plan or a question about them, so the talker decides. `introduced` are those of them that
    stand in a message that asks for nothing. `in_domain` bound what the talker may recommend. About `unknown` the
    relations cannot tell.
    """

    touched: frozenset[str] | None
    tokens: Tokens | None = None
    failures: Mapping[str, str] = MappingProxyType({})
    mentioned: frozenset[str] = NO_IDS
    introduced: frozenset[str] = NO_IDS
    in_domain: frozenset[str] = NO_IDS
    unknown: frozenset[str] = NO_IDS


async def find_relevant(
    constraints: Sequence[SafetyConstraint],
    messages: Sequence[AnyMessage],
    context: MirrorContext,
    turn: int,
    branch: Sequence[AnsweredTurn] = (),
) -> Relevant:
    """Say how relevant each of `constraints` is to the user's last words."""
    if not constraints:
        return Relevant(frozenset())
    if context.relevance == "talker":
        return Relevant(None)
    words = request_text(messages, branch)
    found = levels(constraints, words)
    if context.relevance == "check":
        checked = await check(constraints, words, context, turn)
        if not checked.failure:
            # The model has decided about everything that could be touched, what was only mentioned included.
            met = frozenset(checked.ids)
            return Relevant(met, checked.tokens, in_domain=_ids_at(found, "in_domain") - met)
        return _seen(constraints, words, found, frozenset(checked.ids))._replace(
            tokens=checked.tokens, failures={"check": checked.failure}
        )
    met = _ids_at(found, "touched")
    if not context.embeddings:
        return _seen(constraints, words, found, met)
    alike = await similar_constraints(constraints, without_mentions(constraints, words), context.embeddings)
    return _seen(constraints, words, found, met | frozenset(alike.ids))._replace(failures={"embeddings": alike.failure})


def near_bounds(entries: Sequence[SafetyConstraint], seen: Relevant, words: str) -> frozenset[str]:
    """Return which constraints in their own field a request can still meet.

    It can meet each of them if it leaves it to the reply to name something. If it asks about a thing that it names, it
    can meet those that this may bring near, such as a nut allergy by a curry.
    """
    if asks_openly(words):
        return seen.in_domain
    return frozenset(entry["id"] for entry in entries if entry["id"] in seen.in_domain and evidence(entry, words) > 0)


def request_text(messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn] = ()) -> str:
    """Return the words that are to be answered, with the message before them if they are few."""
    words = [message.text for message in pending_messages(messages, branch)]
    # "Shall I book it?" asks for nothing by itself: what it is about stands in the message before.
    if count_words(" ".join(words)) < SHORT_MESSAGE_WORDS:
        earlier = [message.text for message in messages if is_users(message)]
        words = earlier[-len(words) - 1 :]
    return "\n".join(words)


def _seen(
    constraints: Sequence[SafetyConstraint], words: str, found: Mapping[str, Level], touched: frozenset[str]
) -> Relevant:
    # What a message mentions and does not touch is not settled: its plan may stand in the very same sentence.
    mentioned = frozenset(mentioned_in(constraints, words)) - touched
    asks = asked_part(words).is_something
    return Relevant(
        touched,
        mentioned=mentioned,
        introduced=NO_IDS if asks else mentioned,
        in_domain=_ids_at(found, "in_domain") - touched - mentioned,
        unknown=_ids_at(found, "unknown") - touched - mentioned,
    )


def _ids_at(found: Mapping[str, Level], level: Level) -> frozenset[str]:
    return frozenset(name for name, own in found.items() if own == level)
