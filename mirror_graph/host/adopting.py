"""Making a history that comes from elsewhere the beginning of a thread."""

import time
from collections.abc import Sequence

from langchain_core.messages import RemoveMessage
from langgraph.graph.message import REMOVE_ALL_MESSAGES

from mirror_graph.errors import ThreadInUseError
from mirror_graph.host.history import History
from mirror_graph.host.thread import Thread
from mirror_graph.host.thread_mind import find_left_over
from mirror_graph.ledger.user_constraints import apply_edits, publish, publish_provisional
from mirror_graph.ledger.user_messages import UserMessage, scan_ahead, scan_messages, user_messages
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.constraints import severe
from mirror_graph.state.window import messages_to_drop


async def adopt_history(thread: Thread, history: History) -> None:
    """Write a history to a thread, and hand it over to the thinkers.

    Raises `ThreadInUseError` if the thread has a turn already.
    """
    own_messages = user_messages(history.messages, history.branch, history.turns + 1, thread.user_id)
    async with thread.lock():
        caught = await _write(thread, history, own_messages)
    thread.engine.watchers.note_change(thread.thread_id)
    work = await find_left_over(thread)
    if work is None:
        await _share_caught(thread, caught)
        return
    await _share_until_the_pass(thread, own_messages)
    await thread.engine.scheduler.schedule(work)


async def _write(thread: Thread, history: History, own_messages: Sequence[UserMessage]) -> list[SafetyConstraint]:
    """Write what the window has room for; return the constraints of the messages that it has no room for."""
    values = await thread.values()
    if values.get("turns") or (await thread.engine.minds.load(thread.thread_id))["turn"]:
        raise ThreadInUseError(values.get("turns", 0))
    departed = _without_room(thread, history)
    await scan_ahead(own_messages)
    caught = scan_messages([message for message in own_messages if message.message in departed], time.time())
    window = [message for message in history.messages if message.id not in departed]
    # A message whose turn failed stays behind the history, and is answered by the next turn.
    unanswered = values.get("messages", [])
    whole = [RemoveMessage(id=REMOVE_ALL_MESSAGES), *window, *unanswered]
    await thread.write({"messages": whole, "branch": history.branch, "turns": history.turns, "constraints": caught})
    await thread.record([*history.messages, *unanswered])
    return caught


def _without_room(thread: Thread, history: History) -> set[str | None]:
    """Return the ids of the messages that leave the window at once."""
    waiting = None if thread.context.thinking == "off" else {message.id for message in history.messages}
    gone = messages_to_drop(history.messages, budget=thread.context.window_tokens, waiting=waiting)
    return {message.id for message in gone}


async def _share_until_the_pass(thread: Thread, own_messages: Sequence[UserMessage]) -> None:
    """Let the user's other conversations know of the severe constraints of a history before its pass."""
    urgent = severe(scan_messages(own_messages, time.time()))
    if thread.user_id is not None and urgent:
        await publish_provisional(thread.engine.storage.store, thread.user_id, thread.thread_id, urgent)


async def _share_caught(thread: Thread, caught: Sequence[SafetyConstraint]) -> None:
    """Let the user's other conversations know of constraints that no pass will share with them."""
    if thread.user_id is None or not caught:
        return
    stated: list[SafetyConstraint] = [{**constraint, "status": "active"} for constraint in caught]
    store = thread.engine.storage.store
    await publish(store, thread.user_id, lambda lists: apply_edits(stated, lists.stated, lists.edited))
