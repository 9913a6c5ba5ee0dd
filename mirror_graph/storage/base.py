"""What a host needs of a database: checkpoints by thread, and a lock on a thread."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from langgraph.checkpoint.base import BaseCheckpointSaver

from mirror_graph.storage.leases import Leases, leased


class Storage:
    """Checkpoints by thread (`saver`), and `lock`."""

    def __init__(self, saver: BaseCheckpointSaver[str], leases: Leases | None = None) -> None:
        self.saver = saver
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
            else:
                async with leased(self._leases, thread_id):
                    yield

    async def forget(self, thread_id: str) -> None:
        """Delete everything that is stored of a thread."""
        await self.saver.adelete_thread(thread_id)
