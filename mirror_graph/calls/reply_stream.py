"""One reply, streamed to its end."""

import asyncio

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import (
    AIMessageChunk,
    BaseMessage,
)
from langchain_core.messages.ai import add_ai_message_chunks

from mirror_graph.calls.model_call import call_config, describe_error
from mirror_graph.errors import MirrorError, ReplyError
from mirror_graph.models import REASONED_ABOVE, ending, is_complete, is_transient
from mirror_graph.state import MirrorContext
from mirror_graph.state.content import keep_newest_media

REPLY_TOKENS = 4_096
"""The longest reply (paper, output limit of the talker)."""


async def stream_reply(
    model: BaseChatModel, prompt: list[BaseMessage], context: MirrorContext, turn: int
) -> AIMessageChunk:
    """Stream one reply of a model to its end.

    Raises `ReplyError`. It is transient only before the first piece of text: what has been read cannot be unread.
    A reply that is nothing but reasoning is an empty one.
    """
    prompt = keep_newest_media(prompt)
    pieces: list[AIMessageChunk] = []
    try:
        async with asyncio.timeout(context.talker_timeout) as patience:
            async for piece in model.astream(prompt, call_config("talker", turn)):
                patience.reschedule(asyncio.get_running_loop().time() + context.talker_timeout)
                pieces.append(piece)
                await asyncio.sleep(0)  # what is in the socket already would otherwise come to the user in one go
    except MirrorError:
        raise
    except Exception as error:
        silent = isinstance(error, TimeoutError)
        problem = f"no text for {context.talker_timeout} s" if silent else describe_error(error)
        partial = _join_without_reasoning(pieces).text
        raise ReplyError(
            problem, transient=is_transient(error) and not partial, cause=error, partial=partial
        ) from error
    whole = _join_without_reasoning(pieces)
    if not whole.text.strip():
        raise _empty_reply(whole)
    if not is_complete(whole):
        raise ReplyError("the stream ended before the reply was complete", partial=whole.text)
    return whole


def _join_without_reasoning(pieces: list[AIMessageChunk]) -> AIMessageChunk:
    """Join the pieces of a reply, without those that turned out to be reasoning."""
    whole = add_ai_message_chunks(AIMessageChunk(content=""), *pieces)
    marked = [place for place, piece in enumerate(pieces) if REASONED_ABOVE in piece.additional_kwargs]
    if not marked:
        return whole
    reply = add_ai_message_chunks(AIMessageChunk(content=""), *pieces[marked[-1] :])
    return whole.model_copy(update={"content": reply.content})


def _empty_reply(whole: AIMessageChunk) -> ReplyError:
    """Say why there is no reply. Only a model that ended of itself may do better at once."""
    end = ending(whole)
    if end == "content_filter":
        return ReplyError("the provider's content filter blocked the reply")
    if end == "length":
        return ReplyError(f"the model used up its {REPLY_TOKENS:,} tokens before the reply began")
    return ReplyError("the model gave an empty reply", transient=True)
