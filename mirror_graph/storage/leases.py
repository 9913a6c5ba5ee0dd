"""A thread's lease: the mark in the database that keeps two hosts off one thread."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mirror_graph.storage.records import LEASE_SECONDS, Records

log = logging.getLogger(__name__)

LONGEST_WAIT = 0.25


@asynccontextmanager
async def leased(records: Records, thread_id: str) -> AsyncIterator[None]:
    """Hold a thread's lease for the length of the block, waiting for it as long as it takes.

    Should the lease be lost (a host that was stopped for longer than it lasts), the block is cancelled: by
    then another host may be writing.
    """
    holder = secrets.token_hex(8)
    pause = 0.01
    while not await records.take(thread_id, holder):
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_WAIT)
    keeper = asyncio.create_task(_keep(records, thread_id, holder, asyncio.current_task()))
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.shield(records.drop(thread_id, holder))


async def _keep(records: Records, thread_id: str, holder: str, worker: "asyncio.Task[object] | None") -> None:
    while True:
        await asyncio.sleep(LEASE_SECONDS / 3)
        if not await _held(records, thread_id, holder) and worker is not None:
            worker.cancel(f"the lease of thread {thread_id} was lost")
            return


async def _held(records: Records, thread_id: str, holder: str) -> bool:
    try:
        return await records.take(thread_id, holder)
    except Exception:
        log.exception("the lease of thread %s could not be renewed", thread_id)
        return False
