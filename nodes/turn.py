"""What every node that answers the user does before its reply and after it."""

import time
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple, cast

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage
from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from mirror_graph.calls.model_call import context_of
from mirror_graph.ledger.access import user_of
from mirror_graph.ledger.user_messages import scan_messages, user_messages
from mirror_graph.models import FinishReason
from mirror_graph.nodes.failures import with_failures
from mirror_graph.state import MindState, MirrorContext, MirrorState, MirrorUpdate, SafetyConstraint
from mirror_graph.state.branch import current_branch, extend_branch, lag_of, last_turn, on_branch, read_turn
from mirror_graph.state.constraints import merge_constraints
from mirror_graph.state.content import check_answerable, is_refused
from mirror_graph.state.values import AnsweredTurn, ComponentUsage
from mirror_graph.state.window import messages_after, messages_of_other_agents, messages_to_drop, pending_messages


class Turn(NamedTuple):
    """A turn under way.

    `thread` is the thread with its mind on the conversation's branch. `messages` are those of the conversation without
    `repeats`, and `window` is what of them a prompt has room for. `unread` are the ids of the messages that have not
    been thought about, or None if nothing thinks.
    """

    thread: MirrorState
    branch: list[AnsweredTurn]
    number: int
    messages: list[AnyMessage]
    repeats: list[RemoveMessage]
    window: list[AnyMessage]
    early: list[RemoveMessage]
    unread: set[str | None] | None


def begin_turn(state: MirrorState, context: MirrorContext) -> Turn:
    """Return the turn that the user's last words ask for.

    Raises `MessageRefusedError` if there is nothing to answer or a picture is too large.
    """
    branch = current_branch(state["messages"], state["branch"])
    pending = pending_messages(state["messages"], branch)
    check_answerable([*messages_of_other_agents(state["messages"], branch), *pending])
    thread = on_branch(cast(MirrorState, {**state, "branch": branch}), branch)
    # An abandoned branch had numbers too. No number is used twice, or a mind could take one turn for another.
    number = max(state["turns"], state["turn"], last_turn(branch)) + 1
    repeats = _repeats(pending)
    messages = _without(state["messages"], repeats)
    # A client may have handed over more than a window holds, so what does not fit leaves before the prompt is made.
    unread = _unread_ids(messages, thread, context)
    early = messages_to_drop(messages, budget=context.window_tokens, waiting=unread)
    return Turn(thread, branch, number, messages, repeats, _without(messages, early), early, unread)


def end_turn(
    state: MirrorState,
    turn: Turn,
    reply: AIMessage,
    usage: dict[str, ComponentUsage],
    failed: Mapping[str, str],
    runtime: Runtime[MirrorContext],
) -> MirrorUpdate:
    """Return what a turn leaves on its thread: the reply, the window without what has no room, usage and failures.

    `failed` holds the class of each component's failure, or `""`.
    """
    thread, number = turn.thread, turn.number
    # The reply has not been thought about either, so it must not leave the window before its pass.
    unread = None if turn.unread is None else turn.unread | {reply.id}
    budget = context_of(runtime).window_tokens
    gone = [*turn.early, *messages_to_drop([*turn.window, reply], budget=budget, waiting=unread)]
    update: MirrorUpdate = {
        "messages": [*turn.repeats, reply, *gone],
        "branch": extend_branch(turn.branch, number, reply.id or "", _asked(turn)),
        "turns": number,
        "usage": usage,
        "constraints": _constraints_of_departed(turn, gone, runtime),
        "failures": with_failures(state, number, failed),
    }
    if "nameable" in state:
        update["departed"] = [*state.get("departed", []), *_departed(turn, gone, state["nameable"])]
    # The mind in the thread's state is of an abandoned branch. It is replaced, or the next reply would start from it.
    return update if thread["read"] == read_turn(state) else {**update, **_taken_back(thread, update)}


def _asked(turn: Turn) -> list[str]:
    """Return the ids of the messages that a turn answers."""
    return [message.id for message in pending_messages(turn.messages, turn.branch) if message.id]


def mark_of(turn: Turn, finish_reason: FinishReason) -> dict[str, Any]:
    """Return what a reply notes about itself: its turn, its narrative's, how far the mind is behind, how it ended."""
    return {
        "turn": turn.number,
        "narrative_turn": narrative_turn(turn.thread),
        "lag": lag_of(turn.thread, turn.branch),
        "finish_reason": finish_reason,
    }


def narrative_turn(state: MindState) -> int:
    """Return the turn up to which a reply knows the conversation: the narrative's, or the thoughts' without one."""
    return state["narrative"].get("turn") or state["turn"]


def _unread_ids(messages: Sequence[AnyMessage], thread: MirrorState, context: MirrorContext) -> set[str | None] | None:
    # Nothing thinks, so no message has to wait in the window for it.
    if context.thinking == "off":
        return None
    return _ids_of(messages_after(messages, read_turn(thread), thread["branch"]))


def _without(messages: Sequence[AnyMessage], gone: Sequence[RemoveMessage]) -> list[AnyMessage]:
    ids = _ids_of(gone)
    return [message for message in messages if message.id not in ids]


def _ids_of(messages: Iterable[AnyMessage | RemoveMessage]) -> set[str | None]:
    return {message.id for message in messages}


def _constraints_of_departed(
    turn: Turn, gone: Sequence[RemoveMessage], runtime: Runtime[MirrorContext]
) -> list[SafetyConstraint]:
    """Return the constraints in messages that leave the window unread: no pass will read them any more."""
    thread, branch = turn.thread, turn.branch
    departed = _ids_of(gone)
    after = messages_after(turn.messages, read_turn(thread), branch)
    unread = user_messages(after, branch, turn.number, user_of(runtime))
    return scan_messages([message for message in unread if message.message in departed], time.time())


def _departed(turn: Turn, gone: Sequence[RemoveMessage], nameable: Sequence[str]) -> list[AnyMessage]:
    """Return what leaves the window and stays on the thread: the stored monologue names it, or soon may.

    A pass that commits meanwhile names what stands in the window and is in the monologue, or has not been read yet.
    """
    unread = messages_after(turn.messages, read_turn(turn.thread), turn.branch)
    needed = {message.id for message in unread} | set(nameable)
    left = {message.id for message in gone}
    return [message for message in turn.messages if message.id in left & needed]


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


def _repeats(waiting: Sequence[HumanMessage]) -> list[RemoveMessage]:
    """Return removals of the messages that the user sent again after a reply failed, and of refused ones.

    The talker would read a repeated message twice, and a refused one cannot be answered.
    """
    removed: list[RemoveMessage] = []
    for earlier, again in pairwise(waiting):
        if earlier.content == again.content or is_refused(earlier):
            removed.append(RemoveMessage(id=earlier.id or ""))
    return removed
