"""A history that was made elsewhere, as the beginning of a thread."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from uuid import uuid4

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, convert_to_messages

from mirror_graph.errors import MessageRefusedError
from mirror_graph.state.branch import extend_branch
from mirror_graph.state.content import bounded_message, has_content
from mirror_graph.state.reducers import MESSAGE_LIMIT, MESSAGES_LIMIT, message_tokens
from mirror_graph.state.text import is_unicode, sanitize
from mirror_graph.state.values import AnsweredTurn

HistoryMessage = HumanMessage | AIMessage | Mapping[str, Any]
"""A message of the user's or a reply, or a mapping with the `role` `"user"` or `"assistant"` and the `content`."""


class History(NamedTuple):
    """The messages of a history, its replies marked as turns of ours; and those turns, the last 32 of them."""

    messages: list[AnyMessage]
    branch: list[AnsweredTurn]
    turns: int


def adopted_history(given: Sequence[HistoryMessage]) -> History:
    """Return a history as a thread holds it, with ids and turns of our own.

    Raises `MessageRefusedError` for what is no such list, and for one that is too large to be read.
    """
    messages: list[AnyMessage] = []
    branch: list[AnsweredTurn] = []
    turns, asked = 0, list[str]()
    for message in _converted(given):
        if isinstance(message, HumanMessage):
            bounded = bounded_message(message, MESSAGE_LIMIT)
            adopted: AnyMessage = HumanMessage(
                bounded.content, id=str(uuid4()), name=sanitize(message.name or "") or None
            )
            asked.append(adopted.id or "")
        else:
            turns += 1
            adopted = _as_reply(message, turns)
            branch = extend_branch(branch, turns, adopted.id or "", asked)
            asked = []
        messages.append(adopted)
    return History(messages, branch, turns)


def _converted(given: Sequence[HistoryMessage]) -> list[HumanMessage | AIMessage]:
    """Return the messages of a history that hold anything, checked."""
    if isinstance(given, str | bytes) or not isinstance(given, Sequence):
        raise _refused(f"the history is of type {type(given).__name__}")
    likes: list[Any] = list(given)
    try:
        messages = convert_to_messages(likes)
    except Exception as error:
        raise _refused(f"the history holds what is no message ({type(error).__name__})") from error
    checked: list[HumanMessage | AIMessage] = []
    for message in messages:
        if not isinstance(message, HumanMessage | AIMessage):
            raise _refused(f"the history holds a message of the role {message.type!r}")
        if not is_unicode(message.text):
            raise _refused("the history contains half a character (a lone surrogate)")
        if has_content(message):
            checked.append(message)
    _check_size(checked)
    return checked


def _check_size(messages: Sequence[HumanMessage | AIMessage]) -> None:
    """Refuse what is too large to be read whole: whatever was cut off might name a danger."""
    sizes = [message_tokens(message) for message in messages]
    if sum(sizes) > MESSAGES_LIMIT:
        problem = f"the history has {sum(sizes):,} tokens: expected at most {MESSAGES_LIMIT:,}. Leave out its beginning"
        raise MessageRefusedError(problem, tokens=sum(sizes), limit=MESSAGES_LIMIT)
    largest = max(sizes, default=0)
    if largest > MESSAGE_LIMIT:
        problem = f"a message of the history has {largest:,} tokens: expected at most {MESSAGE_LIMIT:,}. Shorten it"
        raise MessageRefusedError(problem, tokens=largest, limit=MESSAGE_LIMIT)


def _as_reply(message: AIMessage, turn: int) -> AIMessage:
    """Return a reply that was given elsewhere as one of ours: it stood on no narrative."""
    mark = {"turn": turn, "narrative_turn": 0, "lag": turn - 1, "finish_reason": "unknown"}
    bounded = bounded_message(AIMessage(message.text), MESSAGE_LIMIT)
    return AIMessage(bounded.text, id=str(uuid4()), response_metadata={"mirror": mark})


def _refused(problem: str) -> MessageRefusedError:
    expected = "expected a list of HumanMessage and AIMessage, or of mappings with the role 'user' or 'assistant'"
    return MessageRefusedError(f"{problem}: {expected}", tokens=0, limit=0)
