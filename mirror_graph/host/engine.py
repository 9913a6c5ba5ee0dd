"""What the conversations of a host share: a database, the thinking lane, and the talker's graph."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph

from mirror_graph.graphs import build_talker
from mirror_graph.host.minds import StoredMinds
from mirror_graph.lanes.budget import DailyBudget
from mirror_graph.lanes.local import LocalLane
from mirror_graph.state import MirrorContext, MirrorState
from mirror_graph.state.mind import MirrorInput
from mirror_graph.storage import Storage

log = logging.getLogger(__name__)


class Engine:
    """The two lanes over one database."""

    def __init__(self, storage: Storage, *, max_thinking: int, daily_tokens: int | None) -> None:
        self.storage = storage
        self.minds = StoredMinds(storage)
        self.lane = LocalLane(self.minds, max_thinking=max_thinking, budget=DailyBudget(daily_tokens))
        self.talker: CompiledStateGraph[MirrorState, MirrorContext, MirrorInput, MirrorState] = build_talker(
            self.lane
        ).compile(checkpointer=storage.turns, store=storage.store, name="talker")
        self._chores: set[asyncio.Task[None]] = set()

    async def values(self, thread_id: str) -> dict[str, Any]:
        """Return the stored state of a chat thread, empty before its first turn."""
        config: RunnableConfig = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
        found = await self.storage.saver.aget_tuple(config)
        return found.checkpoint["channel_values"] if found else {}

    def tidy(self, thread_id: str) -> None:
        """Prune a thread in the background, so that no reply waits for it."""
        self._start(self._prune(thread_id))

    async def close(self, drain: float = 0.0) -> None:
        """End the passes, after `drain` seconds at most, and finish the chores."""
        await self.lane.close(drain)
        await asyncio.gather(*self._chores, return_exceptions=True)

    async def _prune(self, thread_id: str) -> None:
        try:
            await self.storage.prune(thread_id)
        except Exception:
            log.exception("thread %s could not be pruned; its next turn tries again", thread_id)

    def _start(self, chore: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._chores.discard)
