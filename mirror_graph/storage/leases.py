"""A thread's lease: the mark in the database that keeps two hosts off one thread."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mirror_graph.errors import StorageError
from mirror_graph.storage.records import LEASE_SECONDS, Records

log = logging.getLogger(__name__)

LONGEST_WAIT = 0.25


@asynccontextmanager
async def leased(records: Records, thread_id: str) -> AsyncIterator[None]:
    """Hold a thread's lease for the length of the block, waiting for it as long as it takes.

    Raises `StorageError` in the block where the lease is lost: another host has it, or it could not be renewed in
    time. By then another host may be writing.
    """
    holder = secrets.token_hex(8)
    pause = 0.01
    while not await records.take(thread_id, holder):
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_WAIT)
    worker = asyncio.current_task()
    keeper = asyncio.create_task(_keep(records, thread_id, holder))
    keeper.add_done_callback(lambda done: None if done.cancelled() or worker is None else worker.cancel())
    try:
        yield
    except asyncio.CancelledError:
        if keeper.done() and not keeper.cancelled() and worker is not None and worker.uncancel() == 0:
            raise StorageError(f"the lease of thread {thread_id} was lost: say it again") from None
        raise
    finally:
        keeper.cancel()
        await asyncio.shield(records.drop(thread_id, holder))


async def _keep(records: Records, thread_id: str, holder: str) -> None:
    """Renew a lease until it is lost: taken by another, or run out while the database was away or silent."""
    loop = asyncio.get_running_loop()
    held = loop.time()
    while loop.time() - held < LEASE_SECONDS:
        await asyncio.sleep(LEASE_SECONDS / 5)
        asked = loop.time()
        try:
            async with asyncio.timeout_at(held + LEASE_SECONDS):
                if not await records.take(thread_id, holder):
                    return
            held = asked
        except Exception:
            log.exception("the lease of thread %s could not be renewed", thread_id)
