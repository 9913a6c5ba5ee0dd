"""The scheduler on a LangGraph server: a background run on the mind's own thread."""

import sys
from contextlib import suppress
from math import ceil
from typing import Any, cast

from langchain_core.messages import RemoveMessage
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError

from mirror_graph.scheduling.base import ThinkingPass, mind_from, mind_thread
from mirror_graph.scheduling.labels import about_run
from mirror_graph.state import MindState, Narrative, empty_mind
from mirror_graph.state.context import context_as_json

GRAPH = "thinker"

HISTORY = 40
"""Checkpoints of a mind thread that are searched for an earlier narrative."""


class ServerScheduler:
    """Schedules passes through the server's in-process client, as the signed-in user.

    The server keeps one run a thread, so a newer pass rolls back a waiting or running one; the mind stays as it
    was before it. Once the mind is `max_lag` turns behind, a running pass is left to finish, and the newer one
    follows it at once, in place of any that still waits. Chat runs never wait: they are on another thread. What the
    calls of a pass took that was rolled back does not count for `thread_tokens`.
    """

    async def recall(self, thread_id: str) -> MindState:
        """Read the mind thread's latest state."""
        try:
            state = await get_client().threads.get_state(mind_thread(thread_id))
        except NotFoundError:
            return empty_mind()
        return mind_from(cast("dict[str, Any]", state["values"] or {}))

    async def narratives(self, thread_id: str) -> list[Narrative]:
        """Read the narratives of the mind thread's last checkpoints."""
        try:
            states = await get_client().threads.get_history(mind_thread(thread_id), limit=HISTORY)
        except NotFoundError:
            return []
        minds = [mind_from(cast("dict[str, Any]", state["values"] or {})) for state in reversed(states)]
        return [mind["narrative"] for mind in minds if mind["narrative"].get("text")]

    async def schedule(self, work: ThinkingPass) -> None:
        """Create a background run that starts `think_after` seconds from now."""
        server = get_client()
        overdue = work.behind >= work.context.max_lag
        if overdue:
            await _drop_waiting(server, mind_thread(work.thread_id))
        await server.runs.create(
            mind_thread(work.thread_id),
            GRAPH,
            input=_input(work),
            context=context_as_json(work.context),
            # `thread_id` is the mind thread's, and reserved; `graph` replaces it in the runs that LangSmith gets.
            metadata={
                "conversation_id": work.thread_id,
                "turn": work.turn,
                "component": "thinking",
                **about_run(work.context.user_id),
            },
            after_seconds=0 if overdue else ceil(work.context.think_after),  # a server cuts 0.5 to 0
            multitask_strategy="enqueue" if overdue else "rollback",
            if_not_exists="create",
            durability="exit",
            headers=work.trace,
        )


def is_in_server() -> bool:
    """Say whether this process is a LangGraph server's: the SDK's client would reach no server from any other."""
    return "langgraph_api" in sys.modules


def _input(work: ThinkingPass) -> dict[str, Any]:
    """Return what a pass is about, in the place of what an earlier one that failed may have left on the thread."""
    messages = [RemoveMessage(id=REMOVE_ALL_MESSAGES), *work.messages]
    return {"messages": messages, "constraints": work.unread, "branch": work.branch}


async def _drop_waiting(server: LangGraphClient, thread_id: str) -> None:
    """Cancel the passes that have not started; a newer one takes over what they were about."""
    with suppress(NotFoundError):
        waiting = await server.runs.list(thread_id, status="pending", limit=100)
        for run in waiting:
            await server.runs.cancel(thread_id, run["run_id"], action="rollback")
