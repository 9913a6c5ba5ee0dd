"""Threads in PostgreSQL, shared by hosts of any number."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from mirror_graph.errors import ConfigurationError
from mirror_graph.storage.base import Storage
from mirror_graph.storage.leases import LEASE_SECONDS
from mirror_graph.storage.serde import CompressedSerializer

if TYPE_CHECKING:
    from psycopg import AsyncConnection
    from psycopg_pool import AsyncConnectionPool

SETUP = """
CREATE TABLE IF NOT EXISTS mirror_leases (
    thread_id text PRIMARY KEY,
    holder text NOT NULL,
    until timestamptz NOT NULL
)
"""

TAKE = """
INSERT INTO mirror_leases AS lease VALUES (%(thread)s, %(holder)s, clock_timestamp() + %(seconds)s * interval '1 second')
ON CONFLICT (thread_id) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE lease.holder = excluded.holder OR lease.until < clock_timestamp()
"""

DROP = "DELETE FROM mirror_leases WHERE thread_id = %(thread)s AND holder = %(holder)s"

POOL_SIZE = 10


@asynccontextmanager
async def open_postgres(url: str) -> AsyncIterator[Storage]:
    """Keep threads in the database at `url`, whose tables are made where they are missing.

    Raises `ConfigurationError` where the extra is not installed or the database cannot be reached.
    """
    try:
        from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
        from psycopg import OperationalError
        from psycopg.rows import dict_row
        from psycopg_pool import AsyncConnectionPool, PoolTimeout
    except ImportError as error:
        raise ConfigurationError("PostgreSQL needs the extra: pip install 'mirror-graph[postgres]'") from error
    settings: dict[str, Any] = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool: AsyncConnectionPool[AsyncConnection[dict[str, Any]]] = AsyncConnectionPool(
        url, min_size=1, max_size=POOL_SIZE, kwargs=settings, open=False, timeout=30
    )
    try:
        await pool.open(wait=True, timeout=10)
    except (OperationalError, PoolTimeout) as error:
        await pool.close()
        raise ConfigurationError(f"cannot reach the database: {error}") from error
    async with pool:
        saver = AsyncPostgresSaver(pool, serde=CompressedSerializer())
        await saver.setup()
        async with pool.connection() as connection:
            await connection.execute(SETUP)
        yield Storage(saver, PostgresLeases(pool))


class PostgresLeases:
    """Leases as rows; their time is the server's, so hosts need no common clock."""

    def __init__(self, pool: "AsyncConnectionPool[AsyncConnection[dict[str, Any]]]") -> None:
        self._pool = pool

    async def take(self, thread_id: str, holder: str) -> bool:
        """Take or renew a thread's lease; False while another holds it."""
        async with self._pool.connection() as connection:
            cursor = await connection.execute(TAKE, {"thread": thread_id, "holder": holder, "seconds": LEASE_SECONDS})
            return cursor.rowcount == 1

    async def drop(self, thread_id: str, holder: str) -> None:
        """Give the lease back."""
        async with self._pool.connection() as connection:
            await connection.execute(DROP, {"thread": thread_id, "holder": holder})
