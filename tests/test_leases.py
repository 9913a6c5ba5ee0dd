"""Leases keep two hosts off one thread, and cost no turn of a host that is merely slow."""

import asyncio
import logging
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mirror_graph import MirrorContext, open_mirror
from mirror_graph.errors import StorageError
from mirror_graph.storage import Storage, leases, open_storage
from mirror_graph.storage.leases import Leases
from mirror_graph.storage.renewing import RenewalThread
from tests.server import until

CONTEXT = MirrorContext(talker_model="scripted:echo", think_after=0)


@pytest.fixture(params=["sqlite", "postgres"])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database that two hosts can share."""
    return str(request.getfixturevalue("postgres")) if request.param == "postgres" else str(tmp_path / "mirror.db")


def run_sql(database: str, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement over a connection of its own. `NOW` stands for the database's time as leases count it."""
    if database.startswith("postgres"):
        with psycopg.connect(database, autocommit=True) as connection:
            cursor = connection.execute(sql.replace("NOW", "extract(epoch FROM clock_timestamp())"))  # type: ignore[arg-type]  # not from outside
            return cursor.fetchall() if cursor.description else []
    with closing(sqlite3.connect(database, isolation_level=None, timeout=30)) as connection:
        return connection.execute(sql.replace("NOW", "(julianday('now') * 86400.0)")).fetchall()


def until_in(database: str, seconds: int) -> str:
    """Return the end of a lease that many seconds from now, as the database writes it."""
    return f"to_timestamp(NOW + {seconds})" if database.startswith("postgres") else f"NOW + {seconds}"


def seconds_left(database: str) -> float:
    """Return how long the only lease there is still lasts."""
    end = "extract(epoch FROM until)" if database.startswith("postgres") else "until"
    return float(run_sql(database, f"SELECT {end} - NOW FROM mirror_leases")[0][0])


def take_over(database: str) -> None:
    """Let another host take every thread."""
    run_sql(database, f"UPDATE mirror_leases SET holder = 'another', until = {until_in(database, 5)}")


@pytest.fixture
async def storage(shared: str) -> AsyncIterator[Storage]:
    async with open_storage(shared) as storage:
        yield storage


@asynccontextmanager
async def without_renewal(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Leases]:
    """Leases of a host that was stopped (a suspended machine): its thread that renews does not run."""
    monkeypatch.setattr(RenewalThread, "start", lambda thread: None)
    held = storage._locks._leases
    assert held is not None
    yield held


async def test_a_thread_that_another_host_has_taken_stops_its_holder(shared: str, storage: Storage) -> None:
    async def work() -> None:
        async with asyncio.timeout(30), storage.lock("t"):
            take_over(shared)
            await asyncio.Event().wait()

    with pytest.raises(StorageError, match="lost the lease on thread t"):
        await work()
    assert run_sql(shared, "SELECT holder FROM mirror_leases") == [("another",)]


async def test_a_lease_that_ran_out_is_renewed_if_no_other_host_has_taken_it(shared: str, storage: Storage) -> None:
    async with storage.lock("t"):
        run_sql(shared, f"UPDATE mirror_leases SET until = {until_in(shared, -60)}")
        await until(lambda: seconds_left(shared) > 0)
    assert run_sql(shared, "SELECT * FROM mirror_leases") == []


async def test_a_busy_event_loop_does_not_keep_leases_from_being_renewed(shared: str, storage: Storage) -> None:
    async with storage.lock("t"):
        run_sql(shared, f"UPDATE mirror_leases SET until = {until_in(shared, -60)}")
        give_up = time.monotonic() + 60
        while seconds_left(shared) < 0 and time.monotonic() < give_up:  # on purpose
            sum(range(10_000))
        assert seconds_left(shared) > 0


async def test_one_statement_renews_all_leases_of_a_host_and_no_other(shared: str, storage: Storage) -> None:
    async with AsyncExitStack() as stack:
        for number in range(20):
            await stack.enter_async_context(storage.lock(f"t{number}"))
        run_sql(shared, f"UPDATE mirror_leases SET until = {until_in(shared, -60)}")
        run_sql(shared, f"INSERT INTO mirror_leases VALUES ('other', 'another', {until_in(shared, -60)})")
        late = f"SELECT thread_id FROM mirror_leases WHERE until < {until_in(shared, 0)}"
        await until(lambda: run_sql(shared, late) == [("other",)])


async def test_a_database_that_cannot_be_written_for_a_while_costs_no_lease(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.2)
    monkeypatch.setattr("mirror_graph.storage.sqlite.LEASE_SECONDS", 0.2)
    file = str(tmp_path / "mirror.db")
    async with open_storage(file) as storage, storage.lock("t"):
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await until(lambda: "could not renew the leases" in caplog.text)
            other.execute("COMMIT")
        run_sql(file, "UPDATE mirror_leases SET until = NOW - 60")
        await until(lambda: seconds_left(file) > 0)


async def test_a_host_that_was_stopped_writes_nothing_to_a_thread_that_another_has_taken(
    shared: str, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.0)
    async with without_renewal(storage, monkeypatch) as held:
        async with storage.lock("t"):
            await held.check("t")
            take_over(shared)
            with pytest.raises(StorageError, match="lost the lease on thread t"):
                await held.check("t")
        async with storage.lock("given back"):
            run_sql(shared, "DELETE FROM mirror_leases WHERE thread_id = 'given back'")  # taken and given back since
            with pytest.raises(StorageError, match="lost the lease on thread given back"):
                await held.check("given back")


async def test_a_lease_from_the_future_is_none(shared: str) -> None:
    async with open_mirror(shared, context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        run_sql(
            shared,
            f"INSERT INTO mirror_leases VALUES ('{conversation.thread_id}', 'another', {until_in(shared, 3600)})",
        )
        async with asyncio.timeout(30):
            assert (await conversation.say("hello")).turn == 1


async def test_a_long_wait_for_another_host_is_logged(
    shared: str, storage: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.1)
    run_sql(shared, f"INSERT INTO mirror_leases VALUES ('t', 'another', {until_in(shared, 1)})")
    with caplog.at_level(logging.WARNING):
        async with storage.lock("t"):
            pass
    assert caplog.text.count("thread t: another host has held its lease") == 1


async def test_a_turn_cancelled_at_any_step_leaves_no_lease(shared: str) -> None:
    async with open_mirror(shared, context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        for steps in range(60):
            saying = asyncio.create_task(conversation.say("hello"))
            for _ in range(steps):
                await asyncio.sleep(0)
            saying.cancel()
            await asyncio.wait({saying})
            async with mirror._engine.storage.lock(conversation.thread_id):  # behind what the turn gives back
                pass
            held = run_sql(shared, f"SELECT * FROM mirror_leases WHERE thread_id = '{conversation.thread_id}'")
            assert held == [], steps


async def test_a_host_that_is_left_holds_no_lease(shared: str) -> None:
    async with open_mirror(shared, context=CONTEXT) as mirror:
        for number in range(5):
            await mirror.conversation(str(number)).say("hello")
    assert run_sql(shared, "SELECT * FROM mirror_leases") == []
