"""The talker: the one voice the person hears."""

import asyncio
import re
import secrets
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

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
from langgraph.types import Overwrite

from mirror_graph.errors import MirrorError, ReplyError
from mirror_graph.ledger.hearing import listen, scanned
from mirror_graph.models import REASONED_ABOVE, ending, is_transient, is_whole, visible_model
from mirror_graph.nodes.asking import call_config, choices, described
from mirror_graph.nodes.failing import counted
from mirror_graph.nodes.inner import mind_block
from mirror_graph.nodes.known import to_heed, whose
from mirror_graph.nodes.looking import look
from mirror_graph.prompts import is_all_tags, quoted, render, unechoed
from mirror_graph.state import MindState, MirrorContext, MirrorState, MirrorUpdate, SafetyConstraint
from mirror_graph.state.alignment import is_outside_conversation
from mirror_graph.state.branch import (
    current_branch,
    extend_branch,
    lag_of,
    last_turn,
    on_branch,
    read_turn,
    reply_ids,
)
from mirror_graph.state.constraints import merge_constraints
from mirror_graph.state.content import check_answerable, is_refused, keep_newest_media
from mirror_graph.state.tokens import cut
from mirror_graph.state.usage import spent, used
from mirror_graph.state.values import AnsweredTurn
from mirror_graph.state.window import (
    is_users,
    leaving,
    messages_after,
    named_text,
    unanswered,
    words_of_others,
)

Content = str | list[str | dict[str, Any]]

TOOL_BLOCKS = ("tool_use", "tool_call", "function_call", "server_tool_call", "server_tool_result")

REPLY_TOKENS = 4_096
"""The longest reply (paper, output limit of the talker)."""


async def talk(state: MirrorState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
    """Answer the user's words from the window and the mind, streaming from the first token.

    Raises `MessageRefusedError` if there is nothing to answer or a picture is too large, and `ReplyError` if no whole
    reply came; nothing is then saved but the user's own message.
    """
    context = choices(runtime)
    branch = current_branch(state["messages"], state["branch"])
    check_answerable([*words_of_others(state["messages"], branch), *unanswered(state["messages"], branch)])
    standing: MirrorState = {**state, "branch": branch}
    thread = on_branch(standing, branch)
    turn = max(state["turns"], state["turn"], last_turn(branch)) + 1
    repeats = _repeats(unanswered(state["messages"], branch))
    repeated = {repeat.id for repeat in repeats}
    messages = [message for message in state["messages"] if message.id not in repeated]
    entries, away = await to_heed(thread, messages, turn, runtime)
    seen = await look(entries, messages, context, turn, branch)
    directive = context.directive or render("directive")
    mark = secrets.token_hex(4)
    inner = mind_block(
        thread,
        entries,
        seen.touched,
        directive,
        mark,
        seen.told,
        seen.introduced,
        seen.in_domain,
        seen.unknown,
    )
    # A client may have handed over more than a window holds, so what does not fit leaves before the prompt is made.
    unthought = _unthought_ids(messages, thread, context)
    early = leaving(messages, budget=context.window_tokens, waiting=unthought)
    prompt = reply_prompt(_without(messages, early), branch, inner, context)
    whole = await _stream(prompt, context, turn)
    if is_all_tags(whole.text) and mark in whole.text.lower():
        raise ReplyError("the model gave nothing but the tag around the mind", transient=True)
    reply = AIMessage(
        unechoed(whole.text),
        id=whole.id,
        usage_metadata=whole.usage_metadata,
        response_metadata={**whole.response_metadata, "mirror": _mark_of(thread, branch, turn, whole)},
    )
    if unthought is not None:
        unthought |= {reply.id}
    late = leaving([*_without(messages, early), reply], budget=context.window_tokens, waiting=unthought)
    gone = [*early, *late]
    usage = spent(state, "talker", turn, used(reply)) | (
        spent(state, "check", turn, seen.tokens) if seen.tokens else {}
    )
    failed = {**seen.failures, "recall": away}
    update: MirrorUpdate = {
        "messages": [*repeats, reply, *gone],
        "branch": extend_branch(branch, turn, reply.id or ""),
        "turns": turn,
        "usage": usage,
        "constraints": _constraints_of_departed(messages, gone, thread, turn, runtime),
        "failures": {name: counted(state, name, turn, error)[name] for name, error in failed.items() if error},
    }
    return update if thread["read"] == read_turn(state) else {**update, **_taken_back(thread, update)}


def _mark_of(thread: MirrorState, branch: list[AnsweredTurn], turn: int, whole: AIMessageChunk) -> dict[str, int | str]:
    """Return what a reply notes about itself: its turn, its narrative's, how far the mind is behind, how it ended."""
    return {
        "turn": turn,
        "narrative_turn": narrative_turn(thread),
        "lag": lag_of(thread, branch),
        "finish_reason": ending(whole),
    }


def _unthought_ids(
    messages: Sequence[AnyMessage], thread: MirrorState, context: MirrorContext
) -> set[str | None] | None:
    """Return the ids of the messages that have not been thought about; None if nothing thinks."""
    if context.thinking == "off":
        return None
    return {message.id for message in messages_after(messages, read_turn(thread), thread["branch"])}


def _without(messages: Sequence[AnyMessage], gone: Sequence[RemoveMessage]) -> list[AnyMessage]:
    ids = {message.id for message in gone}
    return [message for message in messages if message.id not in ids]


def _constraints_of_departed(
    messages: Sequence[AnyMessage],
    gone: Sequence[RemoveMessage],
    thread: MirrorState,
    turn: int,
    runtime: Runtime[MirrorContext],
) -> list[SafetyConstraint]:
    """Scan what leaves the window before it was thought about: no pass will read it, so this writes it down."""
    departed = {message.id for message in gone}
    unread = listen(
        messages_after(messages, read_turn(thread), thread["branch"]), thread["branch"], turn, whose(runtime)
    )
    return scanned([message for message in unread if message.message in departed], time.time())


def _taken_back(thread: MirrorState, update: MirrorUpdate) -> MirrorUpdate:
    """Return the mind as it was before the abandoned branch, to be written in the place of what the thread holds."""
    constraints = merge_constraints(thread["constraints"], update["constraints"])
    replaced = {
        "narrative": thread["narrative"],
        "thoughts": thread["thoughts"],
        "monologue": thread["monologue"],
        "constraints": constraints,
        "turn": thread["turn"],
        "read": thread["read"],
    }
    return cast(MirrorUpdate, {channel: Overwrite(value) for channel, value in replaced.items()})


def narrative_turn(state: MindState) -> int:
    """Return the turn of the account a reply stands on: the narrative's, or the thoughts' where there is none."""
    return state["narrative"].get("turn") or state["turn"]


def reply_prompt(
    messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn], inner: str, context: MirrorContext
) -> list[BaseMessage]:
    """Lay out the talker's prompt: what never changes, then the window, then what is new this turn.

    The mind (`inner`) stands in front of the user's last words and is never stored with them, so that the
    prompt up to the window's end is the same next turn, byte for byte, and a provider's prompt cache finds it.
    Instructions of the conversation (system messages) join the one system message. Tool calls and their results stay
    out together: the talker has no tools, and some providers refuse calls to tools that they are not told of.
    """
    instructions = [context.instructions, *(message.text for message in messages if is_outside_conversation(message))]
    instructions = [f"\n{text}" for text in instructions if text.strip()]
    spoken = [message for message in messages if not is_outside_conversation(message)]
    latest = _latest_part(spoken, branch)
    history = [_spoken(message) for message in spoken[: len(spoken) - len(latest)] if _has_words(message)]
    return [
        SystemMessage(render("talker", instructions="".join(instructions))),
        *history,
        _last_words(latest, inner, context.window_tokens),
    ]


def _latest_part(messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn]) -> list[AnyMessage]:
    """Return the users' words that wait for a reply, with what other agents wrote behind them."""
    latest: list[AnyMessage] = []
    ours = reply_ids(branch)
    for message in reversed(messages):
        if message.id in ours or (not is_users(message) and any(map(is_users, latest))):
            break
        latest.insert(0, message)
    return latest


async def _stream(prompt: list[BaseMessage], context: MirrorContext, turn: int) -> AIMessageChunk:
    """Stream one reply to its end.

    Raises `ReplyError`. It is transient only before the first piece of text: what has been read cannot be unread.
    A reply that is nothing but reasoning is an empty one.
    """
    prompt = keep_newest_media(prompt)
    model = visible_model(context.talker_model, temperature=context.temperature, max_tokens=REPLY_TOKENS)
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
        raise _empty_reply(whole)
    if not is_whole(whole):
        raise ReplyError("the stream ended before the reply did", partial=whole.text)
    return whole


def _joined(pieces: list[AIMessageChunk]) -> AIMessageChunk:
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
        return ReplyError("the provider's content filter held the reply back")
    if end == "length":
        return ReplyError(f"the model used up its {REPLY_TOKENS:,} tokens before the reply began")
    return ReplyError("the model gave an empty reply", transient=True)


def _has_words(message: AnyMessage) -> bool:
    """Say whether a message has something for the talker: neither a tool's result nor a bare call to a tool."""
    return isinstance(message, HumanMessage) or (isinstance(message, AIMessage) and bool(message.content))


def _spoken(message: AnyMessage) -> AnyMessage:
    """Return a message of the window as the provider gets it: its words, and nothing we noted about it."""
    if isinstance(message, AIMessage):
        return AIMessage(_without_tool_calls(message.content))
    return HumanMessage(_unfenced(_named(message)))


def _without_tool_calls(content: Content) -> Content:
    if isinstance(content, str):
        return content
    return [block for block in content if isinstance(block, str) or block.get("type") not in TOOL_BLOCKS]


def _named(message: AnyMessage) -> Content:
    """Return the content of a message, with the speaker's name in front if it has one, as in a group."""
    if not message.name:
        return message.content
    if isinstance(message.content, str):
        return named_text(message)
    return [{"type": "text", "text": f"{message.name}:"}, *message.content]


def _last_words(latest: Sequence[AnyMessage], inner: str, tokens: int) -> HumanMessage:
    """Put the mind in front of the users' last words, and say where those begin; then quote what others wrote since."""
    inner = inner and f"{inner}\n\n{render('latest_words')}\n"
    words = [_named(message) for message in latest if is_users(message)]
    others = [message.text for message in latest if isinstance(message, AIMessage) and message.text.strip()]
    words += [render("other_agent", words=quoted(text)) for text in others]
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


def _repeats(waiting: Sequence[HumanMessage]) -> list[RemoveMessage]:
    """Name the messages that the user repeated word for word after a reply to them failed, and the refused ones."""
    return [
        RemoveMessage(id=earlier.id or "")
        for earlier, again in pairwise(waiting)
        if earlier.content == again.content or is_refused(earlier)
    ]
