"""Threads in PostgreSQL, shared by any number of hosts."""

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Any, LiteralString

from mirror_graph.encryption import Keyring
from mirror_graph.errors import ConfigurationError
from mirror_graph.storage.base import Storage
from mirror_graph.storage.guarding import end_background_task
from mirror_graph.storage.leases import Leases
from mirror_graph.storage.records import LEASE_SECONDS, Renewal, Serialized
from mirror_graph.storage.serde import CompressedSerializer
from mirror_graph.storage.signals import LOOK_SECONDS, News, Watched

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool

    Pool = AsyncConnectionPool[AsyncConnection[dict[str, Any]]]

LEASES = """
CREATE TABLE IF NOT EXISTS mirror_leases (
    thread_id text PRIMARY KEY,
    holder text NOT NULL,
    until timestamptz NOT NULL
)
"""

SETUP = """
CREATE TABLE IF NOT EXISTS mirror_versions (
    thread_id text PRIMARY KEY,
    kind text NOT NULL,
    value bytea NOT NULL
)
"""

ACQUIRE = """
INSERT INTO mirror_leases AS lease
VALUES (%(thread)s, %(holder)s, clock_timestamp() + %(seconds)s * interval '1 second')
ON CONFLICT (thread_id) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE lease.holder = excluded.holder
    OR lease.until NOT BETWEEN clock_timestamp() AND clock_timestamp() + 2 * %(seconds)s * interval '1 second'
"""

RENEW = """
UPDATE mirror_leases SET until = clock_timestamp() + %(seconds)s * interval '1 second'
WHERE holder = %(holder)s AND thread_id = ANY(%(threads)s)
RETURNING thread_id
"""

RELEASE = "DELETE FROM mirror_leases WHERE thread_id = %(thread)s AND holder = %(holder)s"

KEEP = """
INSERT INTO mirror_versions VALUES (%(thread)s, %(kind)s, %(value)s)
ON CONFLICT (thread_id) DO UPDATE SET kind = excluded.kind, value = excluded.value
"""

VERSIONS = "SELECT kind, value FROM mirror_versions WHERE thread_id = %(thread)s"

REPLACE = "UPDATE store SET value = %(after)s WHERE prefix = %(prefix)s AND key = %(key)s AND value = %(before)s"

FORGET = "DELETE FROM mirror_versions WHERE thread_id = %(thread)s"

POOL_SIZE = 10

CHANNEL = "mirror_changes"

PAYLOAD_BYTES = 8_000
"""A notification has fewer bytes than these: the server's own limit."""

CONNECT_SECONDS = 5
"""How long the thread that renews leases waits for a server that does not answer."""

SETUP_LOCK = 7_230_917_455_210
"""The advisory lock under which tables are made: two hosts that start at once would both try."""


@asynccontextmanager
async def open_postgres(url: str, keyring: Keyring) -> AsyncIterator[Storage]:
    """Keep threads in the database at `url`, whose tables are made where they are missing.

    Raises `ConfigurationError` where the extra is not installed or the database cannot be reached.
    """
    try:
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
        from langgraph.store.postgres.aio import AsyncPostgresStore
        from psycopg import Error as PostgresError
        from psycopg import OperationalError
        from psycopg.rows import dict_row
        from psycopg_pool import AsyncConnectionPool, PoolTimeout
    except ImportError as error:
        raise ConfigurationError("PostgreSQL needs the extra: pip install 'mirror-graph[postgres]'") from error
    settings: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool: Pool = AsyncConnectionPool(url, min_size=1, max_size=POOL_SIZE, kwargs=settings, open=False, timeout=30)
    try:
        await pool.open(wait=True, timeout=10)
    except (OperationalError, PoolTimeout) as error:
        await pool.close()
        raise ConfigurationError(
            f"cannot reach the database: {await _reason(url) or error}. Check that PostgreSQL runs there, and the "
            "address, name, user and password in the URL"
        ) from error
    async with pool:
        saver = AsyncPostgresSaver(pool, serde=CompressedSerializer())
        # The saver's own lock is for a single connection; with a pool it would make all turns wait for each other.
        saver.lock = asyncio.Semaphore(POOL_SIZE)  # type: ignore[assignment]  # entered and left like a lock
        async with pool.connection() as connection:
            await connection.execute("SELECT pg_advisory_lock(%s)", [SETUP_LOCK])
            await saver.setup()
            store = AsyncPostgresStore(pool)
            await store.setup()
            await connection.execute(LEASES)
            await connection.execute(SETUP)
            await connection.execute("SELECT pg_advisory_unlock(%s)", [SETUP_LOCK])
        tables = PostgresTables(pool, saver, url)
        leases = Leases(tables)
        signals = PostgresSignals(pool, url)
        storage = Storage(saver, store, tables, leases, errors=(PostgresError,), keyring=keyring, signals=signals)
        try:
            yield storage
        finally:
            await storage.items.finish()
            await leases.close()
            await end_background_task(store)


async def _reason(url: str) -> str:
    """Return why one connection to a server fails, or `""` if it does not fail. A pool knows that it waited, only."""
    from psycopg import AsyncConnection, OperationalError

    try:
        await (await AsyncConnection.connect(url, connect_timeout=CONNECT_SECONDS)).close()
    except OperationalError as error:
        return str(error).splitlines()[0]
    return ""


class PostgresLeaseTable:
    """Leases as rows; their time is the server's, so hosts need no common clock."""

    def __init__(self, pool: "Pool", url: str) -> None:
        self._pool = pool
        self._url = url

    async def setup(self) -> None:
        """Make the table if it is missing, in a database that other programs made."""
        async with self._pool.connection() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [SETUP_LOCK])
            await connection.execute(LEASES)

    async def acquire_lease(self, thread_id: str, holder: str) -> bool:
        """Take a thread's lease; False while another host holds it."""
        return await self._write(ACQUIRE, {"thread": thread_id, "holder": holder, "seconds": LEASE_SECONDS}) == 1

    async def release_lease(self, thread_id: str, holder: str) -> None:
        """Give a lease back."""
        await self._write(RELEASE, {"thread": thread_id, "holder": holder})

    async def renew_leases(self, holder: str, thread_ids: Sequence[str]) -> set[str]:
        """Extend leases over a connection of the pool."""
        rows = await self._read(RENEW, {"holder": holder, "threads": list(thread_ids), "seconds": LEASE_SECONDS})
        return {row["thread_id"] for row in rows}

    @contextmanager
    def open_renewal(self) -> Iterator[Renewal]:
        """Connect apart from the pool, which the turns may use up."""
        import psycopg

        silence = CONNECT_SECONDS * 1_000
        with psycopg.connect(
            self._url, autocommit=True, connect_timeout=CONNECT_SECONDS, tcp_user_timeout=silence
        ) as connection:

            def renew(holder: str, thread_ids: Sequence[str]) -> set[str]:
                given = {"holder": holder, "threads": list(thread_ids), "seconds": LEASE_SECONDS}
                return {thread_id for (thread_id,) in connection.execute(RENEW, given)}

            yield renew

    async def _write(self, statement: LiteralString, given: dict[str, Any]) -> int:
        """Run a statement, a transaction by itself; return how many rows it touched."""
        async with self._pool.connection() as connection:
            return (await connection.execute(statement, given)).rowcount

    async def _read(self, statement: LiteralString, given: dict[str, Any]) -> list[dict[str, Any]]:
        async with self._pool.connection() as connection:
            return await (await connection.execute(statement, given)).fetchall()


class PostgresTables(PostgresLeaseTable):
    """Records as tables, and leases."""

    def __init__(self, pool: "Pool", saver: "AsyncPostgresSaver", url: str) -> None:
        super().__init__(pool, url)
        self._saver = saver

    async def save_versions(self, thread_id: str, versions: Serialized) -> None:
        """Keep the versions of a mind in the place of the earlier ones."""
        await self._write(KEEP, {"thread": thread_id, **versions._asdict()})

    async def versions(self, thread_id: str) -> Serialized | None:
        """Return the stored versions of a mind."""
        rows = await self._read(VERSIONS, {"thread": thread_id})
        return Serialized(**rows[0]) if rows else None

    async def prune(self, thread_id: str) -> None:
        """Delete every checkpoint but the newest, by the saver's own statement.

        Where a run or another prune is at the same rows, they are left to the next one.
        """
        from psycopg.errors import DeadlockDetected, SerializationFailure

        with suppress(DeadlockDetected, SerializationFailure):
            await self._saver.aprune([thread_id], strategy="keep_latest")

    async def forget(self, thread_id: str) -> None:
        """Delete the versions of a thread."""
        await self._write(FORGET, {"thread": thread_id})

    async def threads(self) -> list[str]:
        """Return the ids of all threads that have a checkpoint."""
        return [row["thread_id"] for row in await self._read("SELECT DISTINCT thread_id FROM checkpoints", {})]

    async def replace_item(
        self, namespace: tuple[str, ...], key: str, before: dict[str, Any], after: dict[str, Any]
    ) -> bool:
        """Give an item another value unless it has changed."""
        from psycopg.types.json import Jsonb

        place = {"prefix": ".".join(namespace), "key": key}
        return await self._write(REPLACE, {**place, "before": Jsonb(before), "after": Jsonb(after)}) == 1

    async def scrub(self) -> bool:
        """Leave it to the operator: only `VACUUM (FULL)` removes a deleted row, and it locks the whole table."""
        return True

    async def compact(self) -> None:
        """Leave it to the operator, too."""


class PostgresSignals:
    """Signals by LISTEN and NOTIFY, on one connection of a host that watches."""

    def __init__(self, pool: "Pool", url: str) -> None:
        self._pool = pool
        self._url = url
        self._host = secrets.token_hex(8)

    async def send(self, news: News) -> None:
        """Tell the other hosts. A thought that is too long for a notification is not seen by them before its mind."""
        payload = json.dumps([self._host, *news], ensure_ascii=False)
        if len(payload.encode()) < PAYLOAD_BYTES:
            async with self._pool.connection() as connection:
                await connection.execute("SELECT pg_notify(%s, %s)", [CHANNEL, payload])

    async def receive(self, watched: Watched) -> AsyncGenerator[News]:
        """Yield what other hosts send; anything may have changed while there was no connection."""
        import psycopg

        while True:
            try:
                async with await psycopg.AsyncConnection.connect(
                    self._url, autocommit=True, connect_timeout=CONNECT_SECONDS
                ) as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    yield News()
                    while True:
                        async for notice in connection.notifies(timeout=LOOK_SECONDS):
                            if (news := self._news_in(notice.payload)) is not None:
                                yield news
                        yield News()
            except psycopg.OperationalError as error:
                log.warning("no changes by other hosts are seen for now: %s", error)
                await asyncio.sleep(1.0)

    def _news_in(self, payload: str) -> News | None:
        """Return what another host sent, or None for what this host or another program did."""
        try:
            host, *values = json.loads(payload)
        except ValueError:
            return None
        is_others = host != self._host and len(values) == len(News._fields)
        return News(*map(str, values)) if is_others else None
