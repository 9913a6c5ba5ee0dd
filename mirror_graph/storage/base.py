"""What a host needs of a database: checkpoints per thread, a lock per thread, and the versions of a mind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from weakref import WeakValueDictionary

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore

from mirror_graph.state import Narrative
from mirror_graph.storage.guarding import Guard, GuardedSaver, GuardedStore
from mirror_graph.storage.leases import Leases
from mirror_graph.storage.records import HostTables, Serialized
from mirror_graph.storage.turns import TurnSaver

VERSIONS = 20
"""How many narratives of a thread are kept for its history."""


class Storage:
    """Checkpoints by thread and facts by user (`store`), kept apart between hosts and bounded over time.

    `turns` is the saver for the runs of a talker, which stores of them what is ever read; `minds` is the saver for
    minds; `saver` is the saver of LangGraph's under both. `leases` is None if no other host can have the database.
    Every error of the database, `errors`, becomes a `StorageError`.
    """

    def __init__(
        self,
        saver: BaseCheckpointSaver[str],
        store: BaseStore,
        tables: HostTables,
        leases: Leases | None = None,
        errors: tuple[type[Exception], ...] = (),
    ) -> None:
        self._guard = Guard(errors)
        self.saver = saver
        self.turns = TurnSaver(saver, self._guard, leases)
        self.minds = GuardedSaver(saver, self._guard, leases)
        self.store = GuardedStore(store, self._guard)
        self._tables = tables
        self._leases = leases
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def lock(self, thread_id: str) -> AsyncIterator[None]:
        """Be the only one to work on a thread, among this host's tasks and all hosts of the database.

        Tasks of one host are served in the order they came.
        """
        lock = self._locks.setdefault(thread_id, asyncio.Lock())
        async with lock:
            if self._leases is None:
                yield
                return
            async with AsyncExitStack() as stack:
                with self._guard(f"thread {thread_id} cannot be locked"):
                    await stack.enter_async_context(self._leases.hold(thread_id))
                yield

    async def values(self, thread_id: str, name: str = "") -> dict[str, Any]:
        """Return the stored state of a thread, empty before its first checkpoint. Errors call it `name`."""
        config: RunnableConfig = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
        with self._guard(f"{name or f'thread {thread_id}'} cannot be read"):
            found = await self.saver.aget_tuple(config)
        return found.checkpoint["channel_values"] if found else {}

    async def save_version(self, thread_id: str, narrative: Narrative) -> None:
        """Keep a narrative in the thread's history, the newest `VERSIONS` of them. The thread is to be locked.

        They are written as one value: a narrative repeats most of the previous one, so together they compress well.
        """
        # The narrative replaces one of the same turn: a pass that ran twice leaves one version.
        versions = [version for version in await self.history(thread_id) if version["turn"] != narrative["turn"]]
        if narrative["text"]:
            versions.append(narrative)
        versions = sorted(versions, key=lambda version: version["turn"])[-VERSIONS:]
        with self._guard(f"the history of thread {thread_id} cannot be written"):
            await self._tables.save_versions(thread_id, Serialized(*self.saver.serde.dumps_typed(versions)))

    async def history(self, thread_id: str) -> list[Narrative]:
        """Return the kept narratives of a thread, oldest first."""
        with self._guard(f"the history of thread {thread_id} cannot be read"):
            written = await self._tables.versions(thread_id)
            versions: list[Narrative] = self.saver.serde.loads_typed((written.kind, written.value)) if written else []
        return versions

    async def prune(self, thread_id: str) -> None:
        """Delete every checkpoint of a thread but the newest, which alone is ever read."""
        with self._guard(f"thread {thread_id} cannot be pruned"):
            await self._tables.prune(thread_id)

    async def threads(self) -> list[str]:
        """Return the ids of all threads of the database."""
        with self._guard("the threads cannot be listed"):
            return await self._tables.threads()

    async def forget(self, thread_id: str) -> None:
        """Delete everything that is stored of a thread."""
        with self._guard(f"thread {thread_id} cannot be deleted"):
            await self.saver.adelete_thread(thread_id)
            await self._tables.forget(thread_id)
