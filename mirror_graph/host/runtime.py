"""What the conversations of a host share: the database, the scheduler and the talker's graph."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from datetime import datetime
from typing import Any

from langchain_core.messages import HumanMessage
from langgraph.graph.state import CompiledStateGraph

from mirror_graph.errors import ConfigurationError, HostClosedError
from mirror_graph.graphs import build_recommend, build_talker
from mirror_graph.guard import Rule
from mirror_graph.host.mind_store import CheckpointMindStore
from mirror_graph.host.transcripts import Transcripts
from mirror_graph.host.watching import Watchers
from mirror_graph.scheduling import mind_thread
from mirror_graph.scheduling.budget import DailyBudget
from mirror_graph.scheduling.labels import Labels
from mirror_graph.scheduling.local import LocalScheduler
from mirror_graph.state import MirrorContext, MirrorState
from mirror_graph.state.offers import ItemSource
from mirror_graph.state.recommendation import RecommendInput, RecommendOutput, RecommendState
from mirror_graph.state.schema import MirrorInput
from mirror_graph.storage import Storage
from mirror_graph.storage.audit import log_erased

log = logging.getLogger(__name__)

MAX_TURNS = 512
"""How many turns run at once; further ones wait in the order they came.

Two cores serve about 30 turns per second whether 64 or 1,000 run at once. 512 keep them busy even if a model takes 15
seconds per reply, and bound what an overloaded host holds in memory.
"""


Recommender = CompiledStateGraph[RecommendState, MirrorContext, RecommendInput, RecommendOutput]

NO_LABELS = Labels()


class HostRuntime:
    """The talker and the scheduler over one database."""

    def __init__(
        self,
        storage: Storage,
        *,
        max_thinking: int,
        daily_tokens: int | None,
        labels: Labels = NO_LABELS,
        guard: Rule | None = None,
        transcripts: bool = False,
    ) -> None:
        self.storage = storage
        self.labels = labels
        self.watchers = Watchers(storage)
        self.transcripts = Transcripts(storage.store) if transcripts else None
        self.minds = CheckpointMindStore(storage, labels, self.watchers)
        self.scheduler = LocalScheduler(self.minds, max_thinking=max_thinking, budget=DailyBudget(daily_tokens))
        self.talker: CompiledStateGraph[MirrorState, MirrorContext, MirrorInput, MirrorState] = build_talker(
            self.scheduler, guard=guard
        ).compile(checkpointer=storage.turns, store=storage.store, name="talker")
        # A reply is passed on while it is being stored, so that it is given even if the database then reports an error.
        self.talker.stream_eager = True
        self._recommender: Recommender | None = None
        self.turn_slots = asyncio.Semaphore(MAX_TURNS)
        self.unconfirmed: dict[str, HumanMessage] = {}
        """By thread, the message whose turn failed in the database: its reply may be stored all the same."""
        self._turns: set[asyncio.Task[None]] = set()
        self._chores: set[asyncio.Task[None]] = set()
        self._is_closed = False

    def recommender(self, source: ItemSource | None) -> Recommender:
        """Return the graph `recommend` with a source of items. Without one it is compiled once."""
        if source is None and self._recommender is not None:
            return self._recommender
        graph = build_recommend(self.scheduler, source).compile(
            checkpointer=self.storage.turns, store=self.storage.store, name="recommend"
        )
        if source is None:
            self._recommender = graph
        return graph

    def transcripts_kept(self) -> Transcripts:
        """Return the transcripts. Raises `ConfigurationError` if the host keeps none."""
        if self.transcripts is None:
            raise ConfigurationError("this host keeps no transcripts: open it with open_mirror(..., transcripts=True)")
        return self.transcripts

    async def run_turn(self, turn: Coroutine[Any, Any, None]) -> None:
        """Run a turn to its end. Raises `HostClosedError` if the host is left before."""
        task = self.start_turn(turn)
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
            await asyncio.wait({task})
        if task.cancelled():
            raise HostClosedError
        task.result()

    def start_turn(self, turn: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Run a turn as a task that ends before the host does. Raises `HostClosedError` once the host is left."""
        if self._is_closed:
            turn.close()
            raise HostClosedError
        return _start(turn, self._turns)

    def tidy(self, thread_id: str) -> None:
        """Prune a thread in the background, so that no reply waits for it."""
        _start(self._prune(thread_id), self._chores)

    async def forget(self, thread_id: str, unused_since: datetime | None = None) -> bool:
        """Erase a thread and its mind, after the turn that is under way; not if it was used after `unused_since`."""
        mind_id = mind_thread(thread_id)
        async with self.storage.lock(thread_id):
            if unused_since is not None and not await self._is_unused([thread_id, mind_id], unused_since):
                return False
            await self.scheduler.stop(thread_id)
            async with self.storage.lock(mind_id):
                await self.storage.forget(thread_id)
                await self.storage.forget(mind_id)
                await Transcripts(self.storage.store).forget(thread_id)  # also what an earlier host stored
        self.watchers.note_change(thread_id)
        log_erased("thread", id=thread_id, reason="request" if unused_since is None else "retention")
        return True

    async def forget_unused(self, since: datetime) -> int:
        """Erase every thread that was not used after `since`, with its mind; return how many there were."""
        threads = await self.storage.threads()
        minds = {mind_thread(thread_id) for thread_id in threads}
        chats = [thread_id for thread_id in threads if thread_id not in minds]
        count = sum([await self.forget(thread_id, unused_since=since) for thread_id in chats])
        if count:
            await self.storage.scrub()
        return count

    async def _is_unused(self, threads: Sequence[str], since: datetime) -> bool:
        """Say whether threads of ours were last used before `since`. One that holds nothing of ours is not ours."""
        used = [await self.storage.last_used(thread_id) for thread_id in threads]
        times = [time for time in used if time is not None]
        return bool(times) and max(times) < since

    async def close(self, drain: float = 0.0) -> None:
        """End the turns, then the passes, after `drain` seconds together at most, and finish the background tasks."""
        self._is_closed = True
        loop = asyncio.get_running_loop()
        left = loop.time() + drain
        if self._turns:
            _, late = await asyncio.wait(self._turns, timeout=drain)
            for turn in late:
                turn.cancel()
            if late:
                await asyncio.wait(late)
        await self.scheduler.close(max(0.0, left - loop.time()))
        await asyncio.gather(*self._chores, return_exceptions=True)
        await self.watchers.close()

    async def _prune(self, thread_id: str) -> None:
        try:
            await self.storage.prune(thread_id)
        except Exception:
            log.exception("could not prune thread %s; its next turn tries again", thread_id)


def _start(work: Coroutine[Any, Any, None], tasks: "set[asyncio.Task[None]]") -> "asyncio.Task[None]":
    """Run `work` as a task that is in `tasks` until it is done."""
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return task
