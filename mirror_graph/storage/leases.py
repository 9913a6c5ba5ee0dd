"""A thread's lease: the mark in the database that keeps two hosts off one thread."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

LEASE_SECONDS = 5.0
"""How long a thread stays closed after its host was killed in the middle of a turn."""

LONGEST_WAIT = 0.25


class Leases(Protocol):
    """Where leases are written. A row outlives a killed host, so it carries a time at which it ends."""

    async def take(self, thread_id: str, holder: str) -> bool:
        """Take or renew a thread's lease for `LEASE_SECONDS`; False while another holds it."""
        ...

    async def drop(self, thread_id: str, holder: str) -> None:
        """Give the lease back."""
        ...


@asynccontextmanager
async def leased(leases: Leases, thread_id: str) -> AsyncIterator[None]:
    """Hold a thread's lease for the length of the block, waiting for it as long as it takes.

    Should the lease be lost (a host that was stopped for longer than it lasts), the block is cancelled: by
    then another host may be writing.
    """
    holder = secrets.token_hex(8)
    pause = 0.01
    while not await leases.take(thread_id, holder):
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, LONGEST_WAIT)
    keeper = asyncio.create_task(_keep(leases, thread_id, holder, asyncio.current_task()))
    try:
        yield
    finally:
        keeper.cancel()
        await asyncio.shield(leases.drop(thread_id, holder))


async def _keep(leases: Leases, thread_id: str, holder: str, worker: "asyncio.Task[object] | None") -> None:
    while True:
        await asyncio.sleep(LEASE_SECONDS / 3)
        if not await leases.take(thread_id, holder) and worker is not None:
            worker.cancel(f"the lease of thread {thread_id} was lost")
            return
