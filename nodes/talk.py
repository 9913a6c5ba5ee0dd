"""The talker: the one voice the person hears."""

import asyncio
import re
import secrets
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    BaseMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
)
from langchain_core.messages.ai import add_ai_message_chunks
from langgraph.runtime import Runtime

from mirror_graph.errors import MirrorError, ReplyError
from mirror_graph.ledger.hearing import listen, scanned
from mirror_graph.models import chat_model, is_transient, is_whole
from mirror_graph.nodes.asking import call_config, choices, described
from mirror_graph.nodes.failing import counted
from mirror_graph.nodes.inner import mind_block
from mirror_graph.nodes.known import to_heed
from mirror_graph.nodes.looking import look
from mirror_graph.prompts import is_all_tags, render, unechoed
from mirror_graph.state import MindState, MirrorContext, MirrorState, MirrorUpdate
from mirror_graph.state.tokens import cut
from mirror_graph.state.usage import spent, used
from mirror_graph.state.window import last_turn, leaving, unanswered

Content = str | list[str | dict[str, Any]]

REPLY_TOKENS = 4_096
"""The longest reply (paper, output limit of the talker)."""


async def talk(state: MirrorState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
    """Answer the user's words from the window and the mind, streaming from the first token.

    Raises `ReplyError` where no whole reply came; nothing is then saved but the user's own message.
    """
    context = choices(runtime)
    turn = last_turn(state["messages"]) + 1
    stood_on = narrative_turn(state)
    repeats = _repeats(state["messages"])
    messages = [message for message in state["messages"] if message.id not in {repeat.id for repeat in repeats}]
    entries, away = await to_heed(state, messages, runtime)
    seen = await look(entries, messages, context, turn)
    directive = context.directive or render("directive")
    mark = secrets.token_hex(4)
    inner = mind_block(
        state,
        entries,
        seen.touched,
        directive,
        mark,
        seen.told,
        seen.introduced,
        seen.in_domain,
        seen.unknown,
    )
    whole = await _stream(reply_prompt(messages, inner, context), context, turn)
    if is_all_tags(whole.text) and mark in whole.text.lower():
        raise ReplyError("the model gave nothing but the tag around the mind", transient=True)
    mirror = {"turn": turn, "narrative_turn": stood_on, "lag": turn - 1 - state["turn"]}
    reply = AIMessage(
        unechoed(whole.text),
        id=whole.id,
        usage_metadata=whole.usage_metadata,
        response_metadata={**whole.response_metadata, "mirror": mirror},
    )
    thought_turn = None if context.thinking == "off" else state["turn"]
    gone = leaving([*messages, reply], budget=context.window_tokens, thought_turn=thought_turn)
    usage = spent(state, "talker", turn, used(reply)) | (
        spent(state, "check", turn, seen.tokens) if seen.tokens else {}
    )
    forgotten = {message.id for message in gone}
    # No pass will read what leaves unthought, so what was heard in it is written down now.
    unread = scanned([it for it in listen(messages, state["turn"]) if it.message in forgotten], time.time())
    update: MirrorUpdate = {"messages": [*repeats, reply, *gone], "usage": usage, "constraints": unread}
    failed = {**seen.failures, "recall": away}
    update["failures"] = {name: counted(state, name, turn, error)[name] for name, error in failed.items() if error}
    return update


def narrative_turn(state: MindState) -> int:
    """Return the turn of the account a reply stands on: the narrative's, or the thoughts' where there is none."""
    return state["narrative"].get("turn") or state["turn"]


def reply_prompt(messages: Sequence[AnyMessage], inner: str, context: MirrorContext) -> list[BaseMessage]:
    """Lay out the talker's prompt: what never changes, then the window, then what is new this turn.

    The mind (`inner`) stands in front of the user's last words and is never stored with them, so that the
    prompt up to the window's end is the same next turn, byte for byte, and a provider's prompt cache finds it.
    """
    words = unanswered(messages)
    ids = {message.id for message in words}
    instructions = f"\n{context.instructions}" if context.instructions else ""
    return [
        SystemMessage(render("talker", instructions=instructions)),
        *(_spoken(message) for message in messages if message.id not in ids),
        _last_words(words, inner, context.window_tokens),
    ]


async def _stream(prompt: list[BaseMessage], context: MirrorContext, turn: int) -> AIMessageChunk:
    """Stream one reply to its end.

    Raises `ReplyError`. It is transient only before the first piece of text: what has been read cannot be unread.
    """
    model = chat_model(context.talker_model, temperature=context.temperature, max_tokens=REPLY_TOKENS)
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
        problem = f"no text for {context.talker_timeout} s" if silent else described(error)
        partial = _joined(pieces).text
        raise ReplyError(
            problem, transient=is_transient(error) and not partial, cause=error, partial=partial
        ) from error
    whole = _joined(pieces)
    if not whole.text.strip():
        raise ReplyError("the model gave an empty reply", transient=True)
    if not is_whole(whole):
        raise ReplyError("the stream ended before the reply did", partial=whole.text)
    return whole


def _joined(pieces: list[AIMessageChunk]) -> AIMessageChunk:
    return add_ai_message_chunks(AIMessageChunk(content=""), *pieces)


def _spoken(message: AnyMessage) -> AnyMessage:
    """Return a message of the window as the provider gets it: its words, and nothing we noted about it."""
    if isinstance(message, AIMessage):
        return AIMessage(message.content)
    if isinstance(message, HumanMessage):
        return HumanMessage(_unfenced(message.content))
    return message


def _last_words(said: Sequence[HumanMessage], inner: str, tokens: int) -> HumanMessage:
    """Put the mind in front of the user's last words, and say where those begin."""
    inner = inner and f"{inner}\n\n{render('latest_words')}\n"
    words = [message.content for message in said]
    if all(isinstance(content, str) for content in words):
        text = unfenced(cut("\n\n".join(map(str, words)), tokens))
        return HumanMessage(f"{inner}{text}")
    blocks: list[str | dict[str, Any]] = [{"type": "text", "text": inner.rstrip()}] if inner else []
    for content in words:
        blocks.extend([{"type": "text", "text": unfenced(content)}] if isinstance(content, str) else _unfenced(content))
    return HumanMessage(blocks)


def _unfenced(content: Content) -> Content:
    if isinstance(content, str):
        return unfenced(content)
    return [
        {**block, "text": unfenced(str(block["text"]))} if isinstance(block, dict) and "text" in block else block
        for block in content
    ]


def unfenced(text: str) -> str:
    """Take the point off what looks like a tag of ours in the user's words."""
    return re.sub(r"<(?=\s*/?\s*mirror-)", "\u2039", text, flags=re.IGNORECASE)


def _repeats(messages: Sequence[AnyMessage]) -> list[RemoveMessage]:
    """Name the messages that the user said again word for word, after a reply to them failed."""
    said = unanswered(messages)
    return [RemoveMessage(id=earlier.id or "") for earlier, again in pairwise(said) if earlier.content == again.content]
