"""What a user may say: a text, content blocks or a message, checked before anything of it is stored."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from langchain_core.messages import HumanMessage

from mirror_graph.errors import MessageRefusedError
from mirror_graph.state.content import REFUSED, blocks_of, bounded_message, has_content
from mirror_graph.state.reducers import MESSAGE_LIMIT, message_tokens
from mirror_graph.state.text import is_unicode, sanitize

Message = str | Sequence[str | Mapping[str, Any]] | HumanMessage
"""A text, a list of content blocks in any provider's format or LangChain's, or a `HumanMessage`."""


def accepted_message(given: object, window: int) -> HumanMessage:
    """Return a message that fits half of a window of `window` tokens, cleaned, with an id.

    Raises `MessageRefusedError` for anything else.
    """
    message = _message_of(given)
    _check_characters(message)
    bounded = bounded_message(message, MESSAGE_LIMIT)
    if not has_content(bounded):
        raise MessageRefusedError("the message is empty: expected at least one word", tokens=0, limit=window // 2)
    _check_size(message, window // 2)
    if problem := bounded.additional_kwargs.get(REFUSED):
        raise MessageRefusedError(**problem)
    return HumanMessage(
        bounded.content,
        id=sanitize(message.id or "") or str(uuid4()),
        name=sanitize(message.name or "") or None,
        additional_kwargs=bounded.additional_kwargs,
    )


def _check_characters(message: HumanMessage) -> None:
    for block in blocks_of(message):
        text = block if isinstance(block, str) else block.get("text")
        if isinstance(text, str) and not is_unicode(text):
            raise MessageRefusedError(
                "the message contains half a character (a lone surrogate): decode it again from its original bytes",
                tokens=0,
                limit=0,
            )


def _check_size(message: HumanMessage, limit: int) -> None:
    tokens = message_tokens(message)
    if tokens > limit:
        raise MessageRefusedError(
            f"the message has {tokens:,} tokens: expected at most {limit:,}, half of the window. "
            "Shorten it or raise window_tokens",
            tokens=tokens,
            limit=limit,
        )


def _message_of(given: object) -> HumanMessage:
    """Return what was given as a message, its text in blocks, which every provider takes, rather than bare strings."""
    content = given.content if isinstance(given, HumanMessage) else given
    if isinstance(content, str):
        return given if isinstance(given, HumanMessage) else HumanMessage(content)
    if isinstance(content, Sequence) and not isinstance(content, bytes | bytearray):
        blocks: list[str | dict[str, Any]] = [_block_of(block) for block in content]
        if isinstance(given, HumanMessage):
            return given.model_copy(update={"content": blocks})
        return HumanMessage(blocks)
    raise _not_a_message(given)


def _block_of(block: object) -> dict[str, Any]:
    if isinstance(block, str):
        return {"type": "text", "text": block}
    if isinstance(block, Mapping):
        return dict(block)
    raise _not_a_message(block)


def _not_a_message(given: object) -> MessageRefusedError:
    expected = "expected a string, a list of content blocks or a HumanMessage"
    return MessageRefusedError(f"the message is of type {type(given).__name__}: {expected}", tokens=0, limit=0)
