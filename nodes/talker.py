"""`talker`: the node that answers the user."""

import secrets
import time
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    HumanMessage,
    RemoveMessage,
)
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from mirror_graph.calls.context_block import context_block
from mirror_graph.calls.model_call import context_of
from mirror_graph.calls.reply_prompt import reply_prompt
from mirror_graph.calls.reply_stream import REPLY_TOKENS, stream_reply
from mirror_graph.errors import ReplyError
from mirror_graph.guard import Rule
from mirror_graph.guard.talker import ONE_ADDITION, added_by_guard, failure_of_guard, guarded_talker
from mirror_graph.ledger.access import ledger_for_reply, user_of
from mirror_graph.ledger.user_messages import scan_messages, user_messages
from mirror_graph.models import ending, visible_model
from mirror_graph.nodes.failures import with_failure
from mirror_graph.prompts import is_all_tags, render, strip_leading_tags
from mirror_graph.relevance.choose import find_relevant
from mirror_graph.state import MindState, MirrorContext, MirrorState, MirrorUpdate, SafetyConstraint
from mirror_graph.state.branch import (
    current_branch,
    extend_branch,
    lag_of,
    last_turn,
    on_branch,
    read_turn,
)
from mirror_graph.state.constraints import merge_constraints
from mirror_graph.state.content import check_answerable, is_refused
from mirror_graph.state.usage import add_usage, usage_of
from mirror_graph.state.values import AnsweredTurn, Guarded
from mirror_graph.state.window import (
    messages_after,
    messages_to_drop,
    pending_messages,
    words_of_others,
)


async def talk(state: MirrorState, runtime: Runtime[MirrorContext], guard: Rule | None = None) -> MirrorUpdate:
    """Answer the user's words from the window and the mind, streaming from the first token.

    `guard` is a host's own rule for what is added to a reply.
    Raises `MessageRefusedError` if there is nothing to answer or a picture is too large, and `ReplyError` if no whole
    reply came; nothing is then saved but the user's own message.
    """
    context = context_of(runtime)
    branch = current_branch(state["messages"], state["branch"])
    check_answerable([*words_of_others(state["messages"], branch), *pending_messages(state["messages"], branch)])
    standing: MirrorState = {**state, "branch": branch}
    thread = on_branch(standing, branch)
    turn = max(state["turns"], state["turn"], last_turn(branch)) + 1
    repeats = _repeats(pending_messages(state["messages"], branch))
    repeated = {repeat.id for repeat in repeats}
    messages = [message for message in state["messages"] if message.id not in repeated]
    entries, away = await ledger_for_reply(thread, messages, turn, runtime)
    seen = await find_relevant(entries, messages, context, turn, branch)
    directive = context.directive or render("directive")
    mark = secrets.token_hex(4)
    inner = context_block(
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
    early = messages_to_drop(messages, budget=context.window_tokens, waiting=unthought)
    prompt = reply_prompt(_without(messages, early), branch, inner, context)
    model = visible_model(context.talker_model, temperature=context.temperature, max_tokens=REPLY_TOKENS)
    talker = guarded_talker(model, entries, seen, messages, branch, context, guard)
    whole = await stream_reply(talker, prompt, context, turn)
    added = added_by_guard(whole)
    if is_all_tags(whole.text) and mark in whole.text.lower():
        raise ReplyError("the reply contained nothing but MIRROR's own tag", transient=True)
    reply = AIMessage(
        strip_leading_tags(whole.text),
        id=whole.id,
        usage_metadata=whole.usage_metadata,
        response_metadata={**whole.response_metadata, "mirror": _mark_of(thread, branch, turn, whole, added)},
    )
    if unthought is not None:
        unthought |= {reply.id}
    late = messages_to_drop([*_without(messages, early), reply], budget=context.window_tokens, waiting=unthought)
    gone = [*early, *late]
    usage = add_usage(state, "talker", turn, usage_of(reply))
    if seen.tokens:
        usage |= add_usage(state, "check", turn, seen.tokens)
    if added:
        usage |= add_usage(state, "guard", turn, ONE_ADDITION)
    failed = {**seen.failures, "recall": away, "guard": failure_of_guard(whole)}
    update: MirrorUpdate = {
        "messages": [*repeats, reply, *gone],
        "branch": extend_branch(branch, turn, reply.id or ""),
        "turns": turn,
        "usage": usage,
        "constraints": _constraints_of_departed(messages, gone, thread, turn, runtime),
        "failures": {name: with_failure(state, name, turn, error)[name] for name, error in failed.items() if error},
    }
    return update if thread["read"] == read_turn(state) else {**update, **_taken_back(thread, update)}


def _mark_of(
    thread: MirrorState, branch: list[AnsweredTurn], turn: int, whole: AIMessageChunk, added: list[Guarded]
) -> dict[str, Any]:
    """Return what a reply notes about itself: its turn, its narrative's, how far the mind is behind, how it ended.

    If the guard has added something, that is noted too.
    """
    mark: dict[str, Any] = {
        "turn": turn,
        "narrative_turn": narrative_turn(thread),
        "lag": lag_of(thread, branch),
        "finish_reason": ending(whole),
    }
    return {**mark, "guarded": added} if added else mark


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
    unread = user_messages(
        messages_after(messages, read_turn(thread), thread["branch"]), thread["branch"], turn, user_of(runtime)
    )
    return scan_messages([message for message in unread if message.message in departed], time.time())


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


def _repeats(waiting: Sequence[HumanMessage]) -> list[RemoveMessage]:
    """Name the messages that the user repeated word for word after a reply to them failed, and the refused ones."""
    return [
        RemoveMessage(id=earlier.id or "")
        for earlier, again in pairwise(waiting)
        if earlier.content == again.content or is_refused(earlier)
    ]
