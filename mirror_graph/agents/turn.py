"""A turn of an agent: what it starts from, and what it leaves to be thought about."""

import json
import secrets
import time
from collections.abc import Sequence
from typing import NamedTuple, cast

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langgraph.runtime import Runtime

from mirror_graph.agents.record import (
    AgentRecord,
    Answered,
    as_messages,
    conversation_in,
    ends_at,
    still_pending,
    utterances_of,
)
from mirror_graph.guard.memory import request_in
from mirror_graph.guard.talker import failure_of_guard
from mirror_graph.ledger.access import ledger_for_reply, publish_found, publish_stated, user_of
from mirror_graph.ledger.repeats import with_provisional
from mirror_graph.ledger.user_messages import scan_messages, user_messages
from mirror_graph.nodes.failures import with_failure
from mirror_graph.nodes.schedule import is_exhausted
from mirror_graph.relevance.choose import Relevant
from mirror_graph.scheduling import Scheduler, ThinkingPass
from mirror_graph.state import MindState, MirrorContext, MirrorState, Tokens
from mirror_graph.state.alignment import is_outside_conversation
from mirror_graph.state.branch import (
    current_branch,
    extend_branch,
    is_on_branch,
    lag_of,
    last_turn,
    read_turn,
    reply_ids,
    rewind,
)
from mirror_graph.state.constraints import merge_constraints, unconfirmed
from mirror_graph.state.content import readable
from mirror_graph.state.reducers import MESSAGE_LIMIT, merge_failures, merge_usage
from mirror_graph.state.tokens import count_tokens, truncate_middle
from mirror_graph.state.usage import NO_TOKENS, add_tokens, usage_of, usage_of_turn
from mirror_graph.state.values import Failure
from mirror_graph.state.window import HARD_WINDOW, pending_messages


async def begin_turn(
    record: AgentRecord,
    messages: Sequence[AnyMessage],
    thread_id: str,
    scheduler: Scheduler,
    runtime: Runtime[MirrorContext],
) -> AgentRecord:
    """Return the record of the turn that `messages` ask for: the newest mind, and the constraints that hold in it.

    A mind that cannot be read costs no reply: the turn starts from the one that the thread saw last.
    """
    branch, owner = current_branch(messages, record["branch"]), user_of(runtime)
    away = ""
    try:
        mind = await scheduler.recall(thread_id, owner, branch)
        if not is_on_branch(mind, branch):
            earlier = [*conversation_in(record["pending"]), *messages]
            mind = rewind(mind, branch, earlier, await scheduler.narratives(thread_id, owner))
    except Exception as error:
        mind, away = record["mind"], type(error).__name__
    pending = still_pending(record["pending"], mind, branch)
    words = utterances_of(pending_messages(messages, branch))
    turn = max(record["turns"], mind["turn"], last_turn(branch)) + 1
    behind = read_turn(mind)["turn"]
    left = [constraint for constraint in record["unread"] if constraint["source"]["turn"] > behind]
    known = cast(
        MirrorState,
        {**mind, "branch": branch, "constraints": merge_constraints(mind["constraints"], unconfirmed(left))},
    )
    unread_words = [*conversation_in(pending), *as_messages(words)]
    constraints, facts_away = await ledger_for_reply(known, unread_words, turn, runtime)
    failures = record["failures"]
    problem = away or facts_away
    if problem:
        counted = _counted({**record, "mind": mind})
        failures = merge_failures(failures, with_failure(counted, "recall", turn, problem))
    return {
        **record,
        "turn": turn,
        "branch": branch,
        "mind": {**mind, "monologue": []},
        "constraints": constraints,
        "words": words,
        "request": request_in([message for message in messages if not is_outside_conversation(message)]),
        "mark": secrets.token_hex(4),
        "pending": pending,
        "unread": left,
        "failures": failures,
    }


def end_turn(
    record: AgentRecord,
    messages: Sequence[AnyMessage],
    context: MirrorContext,
    user_id: str | None,
    found: Relevant | None = None,
) -> AgentRecord:
    """Return the record after the reply to its turn; the same one if the run gave none.

    `found` is what the request was found to touch, whose tokens and failures are counted.

    What thinking cannot take over, because it is off or far behind, leaves its constraints behind.
    """
    reply = reply_to(record, messages)
    if reply is None or not record["mark"]:
        return record
    turn = record["turn"]
    answered: Answered = {
        "turn": turn,
        "reply": reply.message.id or "",
        "words": record["words"],
        "text": truncate_middle(reply.text, MESSAGE_LIMIT),
    }
    pending = [*record["pending"], answered]
    room = 0 if context.thinking == "off" else HARD_WINDOW * context.window_tokens
    staying = _newest(pending, room)
    leaving = conversation_in(pending[: len(pending) - len(staying)])
    branch = extend_branch(record["branch"], turn, answered["reply"])
    caught = scan_messages(user_messages(leaving, branch, turn, user_id), time.time())
    check = found.tokens if found else None
    usage = usage_of_turn(_counted(record), turn, reply.tokens, check, reply.additions)
    return {
        **record,
        "turns": turn,
        "branch": branch,
        "words": [],
        "mark": "",
        "pending": staying,
        "unread": merge_constraints(record["unread"], caught),
        "failures": _failures_after(record, reply, found),
        "usage": merge_usage(record["usage"], usage),
    }


def _failures_after(record: AgentRecord, reply: "AgentReply", found: Relevant | None) -> dict[str, Failure]:
    """Return the record's failures with those of its turn."""
    failed = {**(found.failures if found else {}), "guard": failure_of_guard(reply.message)}
    failures = record["failures"]
    for name, error in failed.items():
        if error:
            failures = merge_failures(failures, with_failure(_counted(record), name, record["turn"], error))
    return failures


class AgentReply(NamedTuple):
    """The message of the agent's that ends a turn, what the user reads of it, and what the turn's calls took.

    `additions` counts the replies that the guard has added to, and the calls that it has held.
    """

    message: AIMessage
    text: str
    tokens: Tokens
    additions: int


def reply_to(record: AgentRecord, messages: Sequence[AnyMessage]) -> AgentReply | None:
    """Return the reply that ends the record's turn, or None if the agent has not answered.

    An agent may end with a call: to the tool of a structured answer, or to one whose result is the answer.
    """
    run = messages[_start_of_run(record, messages) :]
    replies = [message for message in run if isinstance(message, AIMessage)]
    if not replies:
        return None
    tokens = NO_TOKENS
    for message in replies:
        tokens = add_tokens(tokens, usage_of(message))
    return AgentReply(replies[-1], _shown_text(replies[-1], run), tokens, sum(map(_is_guarded, run)))


def _start_of_run(record: AgentRecord, messages: Sequence[AnyMessage]) -> int:
    """Return where the run of the turn begins: behind the user's words or, if they are gone, the last reply."""
    begun = ends_at(record["words"], messages)
    if begun is not None:
        return begun + 1
    ours = reply_ids(record["branch"])
    answered = [place for place, message in enumerate(messages) if message.id in ours]
    return answered[-1] + 1 if answered else 0


def _shown_text(reply: AIMessage, run: Sequence[AnyMessage]) -> str:
    """Return what the user reads of a reply: its words or, without any, the last tool's result, or what it calls."""
    text = readable(reply).strip()
    if text:
        return text
    results = [message for message in run if isinstance(message, ToolMessage)]
    if results:
        return readable(results[-1]).strip()
    return json.dumps([call["args"] for call in reply.tool_calls])


def next_pass(
    record: AgentRecord, mind: MindState, thread_id: str, context: MirrorContext, trace: dict[str, str]
) -> ThinkingPass | None:
    """Return the pass that is due, or None if there is nothing to think about, or thinking is off or used up."""
    pending = still_pending(record["pending"], mind, record["branch"])
    if context.thinking == "off" or not pending or is_exhausted(mind, context):
        return None
    branch = record["branch"]
    left = unconfirmed(record["unread"])
    return ThinkingPass(
        thread_id, last_turn(branch), conversation_in(pending), context, lag_of(mind, branch), trace, left, branch
    )


async def share_unread(record: AgentRecord, runtime: Runtime[MirrorContext]) -> None:
    """Let the user's other conversations know of constraints that no pass has read yet, or that none will read."""
    left = unconfirmed(record["unread"])
    if not record["pending"]:
        await publish_stated(left, runtime)
        return
    pending = conversation_in(record["pending"])
    unread = user_messages(pending, record["branch"], record["turns"], user_of(runtime))
    await publish_found(with_provisional(left, scan_messages(unread)), runtime)


def _is_guarded(message: AnyMessage) -> bool:
    mirror = message.response_metadata.get("mirror", {})
    return bool(mirror.get("guarded") or mirror.get("action"))


def _counted(record: AgentRecord) -> MindState:
    """Return the mind with all that is counted of the thread so far."""
    mind = record["mind"]
    return {
        **mind,
        "failures": merge_failures(mind["failures"], record["failures"]),
        "usage": merge_usage(mind["usage"], record["usage"]),
    }


def _newest(pending: list[Answered], room: int) -> list[Answered]:
    """Return the newest of `pending` that fit `room` tokens."""
    staying: list[Answered] = []
    for answered in reversed(pending):
        room -= count_tokens(answered["text"]) + sum(count_tokens(utterance["text"]) for utterance in answered["words"])
        if room < 0:
            break
        staying.insert(0, answered)
    return staying
