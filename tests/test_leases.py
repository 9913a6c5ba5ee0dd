"""A lease that is lost stops its holder before another host can write beside it."""

import asyncio
from typing import Any

import pytest

from mirror_graph.errors import StorageError
from mirror_graph.storage import leases
from mirror_graph.storage.leases import leased


class Database:
    """Leases of a database that answers the first request, and then as `later` says."""

    def __init__(self, later: str) -> None:
        self._later = later
        self.asked = 0
        self.renewed = asyncio.Event()
        self.dropped = 0

    async def take(self, thread_id: str, holder: str) -> bool:
        self.asked += 1
        if self.asked == 1:
            return True
        if self._later == "silent":
            await asyncio.Event().wait()
        if self._later == "away":
            raise ConnectionError("the database is away")
        if self.asked > 7:  # by then for longer than one lease
            self.renewed.set()
        return self._later == "renews"

    async def drop(self, thread_id: str, holder: str) -> None:
        self.dropped += 1


@pytest.fixture(autouse=True)
def short_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.5)


@pytest.mark.parametrize("later", ["taken by another", "away", "silent"])
async def test_a_lost_lease_stops_its_holder(later: str) -> None:
    database: Any = Database(later)
    async with asyncio.timeout(30):
        with pytest.raises(StorageError, match="the lease of thread t was lost"):
            async with leased(database, "t"):
                await asyncio.Event().wait()
    assert database.dropped == 1


async def test_a_renewed_lease_lets_its_holder_work_on() -> None:
    database: Any = Database("renews")
    async with leased(database, "t"):
        await database.renewed.wait()
    assert database.dropped == 1
