"""What a host needs of a database: checkpoints by thread, a lock on a thread, and the versions of a mind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore

from mirror_graph.state import Narrative
from mirror_graph.storage.leases import leased
from mirror_graph.storage.records import Records, Written
from mirror_graph.storage.turns import TurnSaver

VERSIONS = 20
"""How many narratives of a thread are kept for its history."""


class Storage:
    """Checkpoints by thread (`saver`) and facts by user (`store`), kept apart between hosts and bounded over time.

    `turns` is the saver for the runs of a talker, which stores of them what is ever read.
    """

    def __init__(self, saver: BaseCheckpointSaver[str], store: BaseStore, records: Records) -> None:
        self.saver = saver
        self.turns = TurnSaver(saver)
        self.store = store
        self._records = records
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def lock(self, thread_id: str) -> AsyncIterator[None]:
        """Be the only one to work on a thread, among this host's tasks and all hosts of the database.

        Tasks of one host are served in the order they came.
        """
        lock = self._locks.setdefault(thread_id, asyncio.Lock())
        async with lock, leased(self._records, thread_id):
            yield

    async def keep(self, thread_id: str, narrative: Narrative) -> None:
        """Keep a narrative in the thread's history, the newest `VERSIONS` of them. The thread is to be locked.

        They are written as one value: an account repeats most of the last one, and compresses to little beside it.
        """
        earlier = [it for it in await self.history(thread_id) if it["turn"] != narrative["turn"]]
        told = [it for it in (*earlier, narrative) if it["text"]]
        versions = sorted(told, key=lambda it: it["turn"])[-VERSIONS:]
        await self._records.keep(thread_id, Written(*self.saver.serde.dumps_typed(versions)))

    async def history(self, thread_id: str) -> list[Narrative]:
        """Return the kept narratives of a thread, oldest first."""
        written = await self._records.versions(thread_id)
        versions: list[Narrative] = self.saver.serde.loads_typed((written.kind, written.value)) if written else []
        return versions

    async def prune(self, thread_id: str) -> None:
        """Delete every checkpoint of a thread but the newest, which alone is ever read."""
        await self._records.prune(thread_id)

    async def threads(self) -> list[str]:
        """Return the ids of all threads of the database."""
        return await self._records.threads()

    async def forget(self, thread_id: str) -> None:
        """Delete everything that is stored of a thread."""
        await self.saver.adelete_thread(thread_id)
        await self._records.forget(thread_id)
