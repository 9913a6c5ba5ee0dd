"""How each channel merges what nodes write.

Every reducer of the mind is a join: the order of writes does not matter, a write that arrives twice
counts once, an older value never replaces a newer one, and the result is bounded for any input.
So a pass may be replayed, repeated or raced by another host, and the mind comes out the same.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast
from uuid import uuid4

from langchain_core.messages import (
    AIMessage,
    AnyMessage,
    BaseMessage,
    BaseMessageChunk,
    convert_to_messages,
    message_chunk_to_message,
)

from mirror_graph.state.alignment import align_messages
from mirror_graph.state.content import block_tokens, blocks_of, bounded_message, refused_message
from mirror_graph.state.text import sanitize
from mirror_graph.state.tokens import count_tokens, truncate_at_sentence, truncate_middle
from mirror_graph.state.validation import check_value
from mirror_graph.state.values import (
    AnsweredTurn,
    ComponentUsage,
    Failure,
    MonologueEntry,
    Narrative,
    Thought,
    Tokens,
)

NARRATIVE_LIMIT = 3_000
THOUGHT_LIMIT = 3_000
MONOLOGUE_LIMIT = 40_000
COMPONENT_LIMIT = 32
TRIM_TO = 0.8
MESSAGE_LIMIT = 32_000
MESSAGES_LIMIT = 256_000
"""Hard bounds in tokens, and in entries for components. A run's tighter budgets are in `MirrorContext`."""

BRANCH_LIMIT = 32
"""How many answered turns a thread remembers: more than the 20 narratives that a host keeps to go back to."""

NOTHING_READ: AnsweredTurn = {"turn": 0, "reply": ""}

_Value = TypeVar("_Value")


def merge_turn(left: int, right: int) -> int:
    """Keep the later turn."""
    check_value("turn", right)
    return max(left, right)


def merge_narrative(left: Narrative, right: Narrative) -> Narrative:
    """Keep the narrative of the newer turn, cut to 3,000 tokens (paper, output limit)."""
    check_value("narrative", right)
    return max(_bounded_narrative(left), _bounded_narrative(right), key=_narrative_order)


def _narrative_order(narrative: Narrative) -> tuple[int, str, str]:
    return narrative["turn"], narrative.get("reply", ""), narrative["text"]


def merge_thoughts(left: list[Thought], right: list[Thought]) -> list[Thought]:
    """Gather the thoughts of the newest turn, one per thinker, in one order whichever thinker finished first."""
    check_value("thoughts", right)
    thoughts = [_bounded_thought(thought) for thought in (*left, *right)]
    turn = max((thought["turn"] for thought in thoughts), default=0)
    newest = [thought for thought in thoughts if thought["turn"] == turn]
    newest.sort(key=lambda thought: (thought["thinker"], thought["text"]))
    return list({thought["thinker"]: thought for thought in newest}.values())[:COMPONENT_LIMIT]


def merge_monologue(left: list[MonologueEntry], right: list[MonologueEntry]) -> list[MonologueEntry]:
    """Keep the monologue that reaches the newer turn, and drop its oldest passages past the bound."""
    check_value("monologue", right)
    left, right = trim(left, MONOLOGUE_LIMIT, entry_tokens), trim(right, MONOLOGUE_LIMIT, entry_tokens)
    older, newer = sorted((left, right), key=_reach)
    return newer if _reach(older) < _reach(newer) else max(older, newer, key=str)


def _reach(stream: list[MonologueEntry]) -> tuple[int, int]:
    return (stream[-1]["turn"] if stream else 0), len(stream)


def merge_failures(left: dict[str, Failure], right: dict[str, Failure]) -> dict[str, Failure]:
    """Keep the higher count of each component: a failure that is written twice is one failure."""
    check_value("failures", right)
    return _join(left, right, _more_failures)


def merge_usage(left: dict[str, ComponentUsage], right: dict[str, ComponentUsage]) -> dict[str, ComponentUsage]:
    """Keep the higher totals of each component: usage only grows, and usage that is written twice counts once."""
    check_value("usage", right)
    return _join(left, right, _more_usage)


def merge_messages(left: list[AnyMessage], right: Any) -> list[AnyMessage]:
    """Merge messages into the conversation: each once, in the order of the conversation, cleaned and bounded.

    What comes in is aligned with what is held (`align_messages`). A single message is cut to 32,000 tokens; one with
    media that do not fit, and what is no message, is marked as refused. The oldest messages are dropped only past
    256,000 tokens: the talker trims the window, after its messages have been thought about. The next write removes what
    the provider noted about the call from our earlier replies, because the caller has read it by then.
    """
    try:
        written = convert_to_messages(right if isinstance(right, list) else [right])
    except Exception:
        # LangGraph keeps a pending write that a reducer refuses, and the thread could not be read any more.
        written = [refused_message(f"the input's messages are no messages but {type(right).__name__}")]
    earlier = list(map(_without_call, left))
    bounded = [cast(AnyMessage, bounded_message(_whole(message), MESSAGE_LIMIT)) for message in written]
    merged = list(map(_with_id, align_messages(earlier, bounded)))
    return trim(merged, MESSAGES_LIMIT, message_tokens)


def _whole(message: BaseMessage) -> BaseMessage:
    """Return a message, which a stream may have left as a chunk."""
    return message_chunk_to_message(message) if isinstance(message, BaseMessageChunk) else message


def merge_read(left: AnsweredTurn, right: AnsweredTurn) -> AnsweredTurn:
    """Keep the later of two turns up to which a mind has read."""
    check_value("read", right)
    return max(left or NOTHING_READ, right or NOTHING_READ, key=lambda answered: (answered["turn"], answered["reply"]))


def replace_branch(left: list[AnsweredTurn], right: list[AnsweredTurn]) -> list[AnsweredTurn]:
    """Replace the branch: only the talker writes it, whole, with each reply."""
    check_value("branch", right)
    return right[-BRANCH_LIMIT:]


def trim(items: list[_Value], limit: int, size: Callable[[_Value], int]) -> list[_Value]:
    """Return `items` without the oldest, once they pass `limit` together: down to 80 % of it.

    It trims in steps, because a prompt whose beginning moves every turn is never found in a provider's cache.
    The newest item always stays.
    """
    sizes = [size(item) for item in items]
    total = sum(sizes)
    if total <= limit:
        return items
    first = 0
    while total > limit * TRIM_TO and first < len(items) - 1:
        total -= sizes[first]
        first += 1
    return items[first:]


def message_tokens(message: BaseMessage) -> int:
    """Count the tokens of a message's content."""
    return sum(map(block_tokens, blocks_of(message)))


def entry_tokens(passage: MonologueEntry) -> int:
    """Count the tokens of the exchanges and the thoughts of a passage."""
    tokens = 0
    for exchange in passage["exchanges"]:
        tokens += count_tokens(exchange["user"]) + count_tokens(exchange["reply"])
    for thought in passage["thoughts"]:
        tokens += count_tokens(thought["text"])
    return tokens


def _bounded_narrative(narrative: Narrative) -> Narrative:
    text = truncate_at_sentence(sanitize(narrative.get("text", "")), NARRATIVE_LIMIT)
    return {**narrative, "turn": narrative.get("turn", 0), "text": text}


def _bounded_thought(thought: Thought) -> Thought:
    return {**thought, "text": truncate_middle(sanitize(thought["text"]), THOUGHT_LIMIT)}


def _with_id(message: AnyMessage) -> AnyMessage:
    return message if message.id else message.model_copy(update={"id": str(uuid4())})


def _without_call(message: AnyMessage) -> AnyMessage:
    noted = message.response_metadata
    if not isinstance(message, AIMessage) or "mirror" not in noted or (len(noted) == 1 and not message.usage_metadata):
        return message
    return message.model_copy(update={"response_metadata": {"mirror": noted["mirror"]}, "usage_metadata": None})


def _join(
    left: dict[str, _Value], right: dict[str, _Value], more: Callable[[_Value, _Value], _Value]
) -> dict[str, _Value]:
    joined: dict[str, _Value] = {}
    for name in sorted({*left, *right})[:COMPONENT_LIMIT]:
        if name in left and name in right:
            joined[name] = more(left[name], right[name])
        else:
            joined[name] = left[name] if name in left else right[name]
    return joined


def _more_failures(left: Failure, right: Failure) -> Failure:
    return max(left, right, key=lambda failure: (failure["count"], failure["turn"], failure["error"]))


def _more_usage(left: ComponentUsage, right: ComponentUsage) -> ComponentUsage:
    older, newer = sorted((left, right), key=lambda usage: usage["turn"])
    latest = newer["latest"] if older["turn"] < newer["turn"] else _most(older["latest"], newer["latest"])
    return {"total": _most(left["total"], right["total"]), "turn": newer["turn"], "latest": latest}


def _most(left: Tokens, right: Tokens) -> Tokens:
    return {
        "calls": max(left["calls"], right["calls"]),
        "input": max(left["input"], right["input"]),
        "output": max(left["output"], right["output"]),
        "cached": max(left["cached"], right["cached"]),
    }
