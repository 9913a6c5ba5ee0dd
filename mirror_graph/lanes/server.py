"""The thinking lane on a LangGraph server: a background run on the thread's own mind thread."""

from dataclasses import asdict
from math import ceil
from typing import Any, cast

from langgraph_sdk import get_client
from langgraph_sdk.errors import NotFoundError
from langgraph_sdk.schema import MultitaskStrategy

from mirror_graph.lanes.base import Pass, mind_thread
from mirror_graph.state import MindState, empty_mind

GRAPH = "thinker"


class ServerLane:
    """Schedules passes through the server's in-process client, as the signed-in user.

    The server keeps one run a thread, so a newer pass rolls back a waiting or running one, which leaves no
    trace of it; once the mind is `max_lag` turns behind, it queues behind it instead. Chat runs never wait:
    they are on another thread.
    """

    async def recall(self, thread_id: str) -> MindState:
        """Read the mind thread's latest state."""
        try:
            state = await get_client().threads.get_state(mind_thread(thread_id))
        except NotFoundError:
            return empty_mind()
        values = cast("dict[str, Any]", state["values"] or {})
        return cast(
            MindState, {**empty_mind(), **{key: values[key] for key in MindState.__annotations__ if key in values}}
        )

    async def schedule(self, work: Pass) -> None:
        """Create a background run that starts `think_after` seconds from now."""
        strategy: MultitaskStrategy = "enqueue" if work.behind >= work.context.max_lag else "rollback"
        await get_client().runs.create(
            mind_thread(work.thread_id),
            GRAPH,
            input=cast("dict[str, Any]", {"messages": work.messages}),
            context=asdict(work.context),
            metadata={"conversation": work.thread_id, "turn": work.turn, "component": GRAPH},
            after_seconds=ceil(work.context.think_after),  # whole seconds are all the server takes
            multitask_strategy=strategy,
            if_not_exists="create",
            durability="exit",
        )
