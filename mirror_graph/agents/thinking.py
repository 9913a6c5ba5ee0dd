"""The thinking of an agent's threads: passes in the event loop that the agent runs in, and a view of each mind."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TypeVar
from weakref import WeakKeyDictionary

from mirror_graph.agents.home import Home
from mirror_graph.agents.record import AgentRecord
from mirror_graph.agents.turn import next_pass
from mirror_graph.errors import ConfigurationError
from mirror_graph.graphs.thinker import thinker
from mirror_graph.host.mind import Mind, Paused
from mirror_graph.ledger.repeats import with_provisional
from mirror_graph.ledger.user_constraints import apply_edits, is_erased, load_lists
from mirror_graph.nodes.schedule import is_exhausted
from mirror_graph.scheduling.item_store import ItemMindStore
from mirror_graph.scheduling.local import LocalScheduler
from mirror_graph.state import MindState, MirrorContext
from mirror_graph.state.branch import lag_of
from mirror_graph.state.constraints import merge_constraints
from mirror_graph.state.reducers import merge_failures, merge_usage

_Result = TypeVar("_Result")

THREADS = 10_000
"""How many threads of a process are remembered for `settle` and `mind`, the latest."""


@dataclass(frozen=True)
class AgentThread:
    """A thread as its last turn left it. `context` is None if no model is known to think with."""

    thread_id: str
    home: Home
    record: AgentRecord
    context: MirrorContext | None
    loop: asyncio.AbstractEventLoop

    @property
    def owner(self) -> str | None:
        """The user whose thread it is, or None."""
        return self.context.user_id if self.context else None

    @classmethod
    def here(cls, thread_id: str, home: Home, record: AgentRecord, context: MirrorContext | None) -> "AgentThread":
        """Return a thread whose passes run in the running loop."""
        return cls(thread_id, home, record, context, asyncio.get_running_loop())


class Thinking:
    """The schedulers of an agent, one for each event loop that it runs in, and its threads."""

    def __init__(self) -> None:
        self._schedulers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[int, int, bool], LocalScheduler]]
        self._schedulers = WeakKeyDictionary()
        self._threads: OrderedDict[str, AgentThread] = OrderedDict()

    def scheduler(self, home: Home) -> LocalScheduler:
        """Return the scheduler of the running loop over the minds of `home`."""
        schedulers = self._schedulers.setdefault(asyncio.get_running_loop(), {})
        if home.key not in schedulers:
            schedulers[home.key] = LocalScheduler(home.minds(thinker))
        return schedulers[home.key]

    async def schedule(self, thread: AgentThread, trace: dict[str, str]) -> None:
        """Hand over what was answered on a thread and has not been thought about. Returns at once."""
        self._remember(thread)
        if thread.context is None:
            return
        work = next_pass(thread.record, thread.record["mind"], thread.thread_id, thread.context, trace)
        if work is not None:
            await self.scheduler(thread.home).schedule(work)

    async def settle(self, thread_id: str) -> bool:
        """Wait until thinking has caught up with a thread, and say whether it has."""
        return await self._where_it_thinks(thread_id, self._settle)

    async def mind(self, thread_id: str) -> Mind:
        """Return what is thought about a thread."""
        return await self._where_it_thinks(thread_id, self._mind)

    async def forget(self, thread_id: str) -> None:
        """Erase the mind of a thread from the store."""
        await self._where_it_thinks(thread_id, self._forget)
        self._threads.pop(thread_id, None)

    async def close(self, drain: float) -> None:
        """Let the passes of the running loop finish for `drain` seconds, and cancel the rest."""
        schedulers = self._schedulers.pop(asyncio.get_running_loop(), {})
        await asyncio.gather(*(scheduler.close(drain) for scheduler in schedulers.values()))

    async def _settle(self, thread: AgentThread) -> bool:
        scheduler = self.scheduler(thread.home)
        await scheduler.settle(thread.thread_id)
        mind = await scheduler.recall(thread.thread_id, thread.owner, thread.record["branch"])
        if thread.context is not None and (
            work := next_pass(thread.record, mind, thread.thread_id, thread.context, {})
        ):
            # The pass that was due failed, or its process or its event loop has ended.
            await scheduler.schedule(work)
            await scheduler.settle(thread.thread_id)
            mind = await scheduler.recall(thread.thread_id, thread.owner, thread.record["branch"])
        return lag_of(mind, thread.record["branch"]) == 0

    async def _mind(self, thread: AgentThread) -> Mind:
        record, user_id = thread.record, thread.owner
        mind = await self.scheduler(thread.home).recall(thread.thread_id, user_id, record["branch"])
        ledger = merge_constraints(mind["constraints"], record["unread"])
        store = thread.home.usable_store
        if user_id is not None and store is not None:
            lists = await load_lists(store, user_id)
            ledger = apply_edits(ledger, lists.stated, lists.edited)
            ledger = with_provisional(ledger, lists.provisional_beyond(thread.thread_id))
        return Mind(
            narrative=mind["narrative"]["text"],
            thoughts={thought["thinker"]: thought["text"] for thought in mind["thoughts"]},
            constraints=tuple(constraint for constraint in ledger if not is_erased(constraint)),
            turn=mind["turn"],
            lag=lag_of(mind, record["branch"]),
            failures=merge_failures(mind["failures"], record["failures"]),
            usage=merge_usage(mind["usage"], record["usage"]),
            paused=_why_paused(mind, thread.context),
        )

    async def _forget(self, thread: AgentThread) -> None:
        store = thread.home.usable_store
        if store is None:
            raise ConfigurationError(
                f"the mind of thread {thread.thread_id!r} is in the agent's checkpointer: "
                "delete the thread there (delete_thread), and the mind goes with it"
            )
        await self.scheduler(thread.home).stop(thread.thread_id)
        await ItemMindStore(store, thinker).forget(thread.thread_id, thread.owner)

    async def _where_it_thinks(self, thread_id: str, act: Callable[[AgentThread], Awaitable[_Result]]) -> _Result:
        """Do something in the loop that a thread's passes run in, or in this one if that loop has ended."""
        thread = await self._thread(thread_id)
        if thread.loop is asyncio.get_running_loop() or not thread.loop.is_running():
            return await act(replace(thread, loop=asyncio.get_running_loop()))

        async def in_its_loop() -> _Result:
            return await act(thread)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(in_its_loop(), thread.loop))

    async def _thread(self, thread_id: str) -> AgentThread:
        """Return a thread; one of an earlier process as its checkpoint holds it."""
        if thread_id in self._threads:
            return self._threads[thread_id]
        if not self._threads:
            raise ConfigurationError(
                f"nothing is known of thread {thread_id!r} yet: in a new process, run the agent once before this"
            )
        latest = next(reversed(self._threads.values()))
        record = await latest.home.record(thread_id)
        return replace(latest, thread_id=thread_id, record=record, loop=asyncio.get_running_loop())

    def _remember(self, thread: AgentThread) -> None:
        self._threads[thread.thread_id] = thread
        self._threads.move_to_end(thread.thread_id)
        while len(self._threads) > THREADS:
            self._threads.popitem(last=False)


def _why_paused(mind: MindState, context: MirrorContext | None) -> Paused:
    if context is not None and context.thinking == "off":
        return "off"
    return "thread budget" if context is not None and is_exhausted(mind, context) else ""
