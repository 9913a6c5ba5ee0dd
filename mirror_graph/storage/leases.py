"""The leases of a host: rows in the database that prevent two hosts from using one thread."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

from mirror_graph.errors import StorageError
from mirror_graph.storage.records import LEASE_SECONDS, LeaseTable, Renewal
from mirror_graph.storage.renewing import RenewalThread

log = logging.getLogger(__name__)

LONGEST_PAUSE = 0.25
"""Seconds between two attempts at a lease that another host holds."""


@dataclass(eq=False)
class _Lease:
    """A lease that is being taken or is held. `confirmed` is when the database last said that it is ours."""

    thread_id: str
    worker: "asyncio.Task[Any] | None"
    confirmed: float = 0.0
    is_held: bool = False
    is_lost: bool = False


class ThreadLocks:
    """One task at a time on each thread: of this host and, with `leases`, of all hosts of the database.

    Tasks of one host are served in the order they came.
    """

    def __init__(self, leases: "Leases | None") -> None:
        self._leases = leases
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def hold(self, thread_id: str) -> AsyncIterator[None]:
        """Be the only one to work on a thread for the length of the block."""
        lock = self._locks.setdefault(thread_id, asyncio.Lock())
        async with lock:
            if self._leases is None:
                yield
                return
            async with self._leases.hold(thread_id):
                yield


class Leases:
    """All leases of one host.

    A task takes a lease, a thread of the host renews all of them with one statement, and the task gives it back.
    A lease is lost only if another host has taken the thread. One that was renewed too late is still held if no
    other host wanted it: an overloaded host gets slower, and its turns do not fail.
    """

    def __init__(self, table: LeaseTable) -> None:
        self._table = table
        self._holder = secrets.token_hex(8)
        self._leases: dict[str, _Lease] = {}
        self._releasing: dict[str, asyncio.Task[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._renewing = RenewalThread(table.open_renewal, self._renew_all, lambda: LEASE_SECONDS / 5)

    @asynccontextmanager
    async def hold(self, thread_id: str) -> AsyncIterator[None]:
        """Hold a thread's lease for the length of the block, waiting for it as long as it takes.

        At most one task of the host may be in the block of a thread: see `ThreadLocks`.
        Raises `StorageError` in the block if another host takes the thread.
        """
        worker = asyncio.current_task()
        lease = self._leases[thread_id] = _Lease(thread_id, worker)
        try:
            await self._acquire(lease)
            yield
        except asyncio.CancelledError:
            if worker is None or not lease.is_lost or worker.uncancel() > 0:
                raise
            raise _lost(thread_id) from None
        finally:
            del self._leases[thread_id]
            # Also after an acquisition that was cut off, since the database may have granted it. If the task is
            # cancelled meanwhile, the release goes on in the background.
            releasing = self._releasing[thread_id] = asyncio.create_task(self._release(thread_id))
            await asyncio.shield(releasing)

    async def check(self, thread_id: str) -> None:
        """Make sure, before a write, that a lease of this host is still its own.

        That takes no time unless the last renewal is too old to go by: the host was stopped for a while, or the
        database was away. Raises `StorageError` if another host has taken the thread.
        """
        lease = self._leases.get(thread_id)
        if lease is None:
            return
        asked = _now()
        if not lease.is_lost and asked - lease.confirmed > LEASE_SECONDS:
            lease.is_lost = thread_id not in await self._table.renew_leases(self._holder, [thread_id])
            lease.confirmed = asked
        if lease.is_lost:
            raise _lost(thread_id)

    async def close(self) -> None:
        """Stop renewing. What is still held ends by itself after `LEASE_SECONDS`."""
        await asyncio.gather(*self._releasing.values())
        await asyncio.to_thread(self._renewing.stop, LEASE_SECONDS)

    async def _acquire(self, lease: _Lease) -> None:
        self._renewing.start()
        if earlier := self._releasing.get(lease.thread_id):
            await asyncio.wait({earlier})  # or it would give back what is taken here
        started, pause, is_logged = _now(), 0.01, False
        while not lease.is_held:
            asked = _now()
            if await self._table.acquire_lease(lease.thread_id, self._holder):
                lease.confirmed, lease.is_held = asked, True
                return
            waited = asked - started
            if waited > LEASE_SECONDS and not is_logged:
                is_logged = True
                log.warning("thread %s: another host has held its lease for %.0f s", lease.thread_id, waited)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, LONGEST_PAUSE)

    async def _release(self, thread_id: str) -> None:
        """Give a lease back. If that fails the work is done all the same, and the lease ends by itself."""
        try:
            async with asyncio.timeout(LEASE_SECONDS):
                await self._table.release_lease(thread_id, self._holder)
        except Exception as error:
            log.warning("could not release the lease of thread %s; it ends by itself: %r", thread_id, error)
        finally:
            if self._releasing.get(thread_id) is asyncio.current_task():
                del self._releasing[thread_id]

    def _renew_all(self, renewal: Renewal) -> None:
        """Renew every lease of the host; runs in the thread that renews."""
        leases = list(self._leases.values())
        if not leases:
            return
        held = [lease for lease in leases if lease.is_held]
        asked = _now()
        # Leases that are being taken are renewed too: a busy event loop may learn late that one was granted.
        ours = renewal(self._holder, [lease.thread_id for lease in leases])
        for lease in held:
            if lease.thread_id in ours:
                lease.confirmed = asked
            else:
                self._loop.call_soon_threadsafe(self._lose, lease)

    def _lose(self, lease: _Lease) -> None:
        """End the work on a thread that another host has taken; not if the work has just ended by itself."""
        if self._leases.get(lease.thread_id) is lease and not lease.is_lost:
            lease.is_lost = True
            if lease.worker is not None:
                lease.worker.cancel()


def _now() -> float:
    """Return seconds that, where the system can tell, go on while the machine is suspended."""
    clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


def _lost(thread_id: str) -> StorageError:
    return StorageError(
        f"lost the lease on thread {thread_id}: another host has taken the thread. Send the message again"
    )
