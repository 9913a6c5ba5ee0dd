"""The scheduler of a host: asyncio tasks, at most one per thread."""

import asyncio
import logging
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass, field

from mirror_graph.scheduling.base import ThinkingPass
from mirror_graph.scheduling.budget import DailyBudget
from mirror_graph.scheduling.semaphore import FairSemaphore
from mirror_graph.scheduling.thinking_pass import MindStore, run_pass
from mirror_graph.state import MindState, Narrative
from mirror_graph.state.values import AnsweredTurn

log = logging.getLogger(__name__)


@dataclass
class _Slot:
    """The one task of a thread: waiting for the user to pause, then thinking."""

    work: ThinkingPass
    skip_delay: asyncio.Event = field(default_factory=asyncio.Event)
    task: "asyncio.Task[None] | None" = None
    error: Exception | None = None


class LocalScheduler:
    """Schedules passes as tasks of this process.

    A new turn restarts the pause before thinking. It cancels a running pass, and the next one takes over its exchanges.
    Once the mind is `max_lag` turns behind, a running pass is left to finish.
    """

    def __init__(self, minds: MindStore, *, max_thinking: int = 8, budget: DailyBudget | None = None) -> None:
        self._minds = minds
        self.budget = budget or DailyBudget(None)
        self._slots: dict[str, _Slot] = {}
        self._thinking = FairSemaphore(max_thinking)

    async def recall(self, thread_id: str, owner: str | None = None, branch: Sequence[AnsweredTurn] = ()) -> MindState:
        """Read the newest mind from the database."""
        return await self._minds.load(thread_id, owner, branch)

    async def narratives(self, thread_id: str, owner: str | None = None) -> list[Narrative]:
        """Read the stored narratives from the database."""
        return await self._minds.narratives(thread_id, owner)

    async def schedule(self, work: ThinkingPass) -> None:
        """Take over a pass; returns at once. With the day's budget spent, nothing is thought."""
        if self.budget.is_spent:
            return
        slot = self._slots.get(work.thread_id)
        if slot is not None and work.behind >= work.context.max_lag:
            slot.work = work  # a waiting pass takes it in; a thinking one is followed by another
            return
        earlier = slot.task if slot is not None else None
        if earlier is not None:
            earlier.cancel()
        slot = self._slots[work.thread_id] = _Slot(work)
        # A context of its own: a task that inherits the turn's would stream its tokens to the user.
        slot.task = asyncio.create_task(self._work(slot, earlier), name="mirror-thinking", context=Context())

    async def settle(self, thread_id: str) -> Exception | None:
        """Wait until the thread's passes are done, the pause before them left out.

        Return the error that the last of them ended with, if it could not be made or committed. What a pass could
        count as a failure, it has counted.
        """
        error: Exception | None = None
        while slot := self._slots.get(thread_id):
            slot.skip_delay.set()
            if slot.task is not None:
                await asyncio.wait({slot.task})
            error = slot.error
        return error

    async def stop(self, thread_id: str) -> None:
        """Cancel the thread's pass; what it was about is handed over again by the next turn."""
        slot = self._slots.pop(thread_id, None)
        if slot is not None and slot.task is not None:
            slot.task.cancel()
            await asyncio.wait({slot.task})

    async def close(self, drain: float = 0.0) -> None:
        """Let passes finish for `drain` seconds, without the pause before them, and cancel the rest."""
        if drain and self._slots:
            settling = [asyncio.create_task(self.settle(thread_id)) for thread_id in self._slots]
            _, late = await asyncio.wait(settling, timeout=drain)
            for task in late:
                task.cancel()
        await asyncio.gather(*(self.stop(thread_id) for thread_id in list(self._slots)))

    async def _work(self, slot: _Slot, earlier: "asyncio.Task[None] | None") -> None:
        try:
            if earlier is not None:
                await asyncio.wait({earlier})
            await self._pause(slot)
            while True:
                work = slot.work
                await self._think(slot, work)
                if slot.work is work:
                    return
        finally:
            if earlier is not None and not earlier.done():
                await asyncio.wait({earlier})  # it may be committing
            if self._slots.get(slot.work.thread_id) is slot:
                del self._slots[slot.work.thread_id]

    async def _pause(self, slot: _Slot) -> None:
        try:
            async with asyncio.timeout(slot.work.context.think_after):
                await slot.skip_delay.wait()
        except TimeoutError:
            return

    async def _think(self, slot: _Slot, work: ThinkingPass) -> None:
        async with self._thinking.slot(work.context.user_id or work.thread_id):
            slot.error = None
            try:
                await run_pass(work, self._minds, self.budget.spend)
            except Exception as error:
                slot.error = error
                # The nodes count their own failures; what arrives here is the host's (a database, a wrong
                # setting). Thinking is not worth a crash, and the next turn hands everything over again.
                log.exception("a thinking pass failed on thread %s, turn %s", work.thread_id, work.turn)
