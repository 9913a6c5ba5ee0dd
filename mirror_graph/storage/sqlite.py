"""Threads in one SQLite file, shared by processes of one machine."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from sqlite3 import Error as SqliteError
from typing import Any

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.store.sqlite.aio import AsyncSqliteStore

from mirror_graph.errors import ConfigurationError
from mirror_graph.storage.base import Storage
from mirror_graph.storage.records import LEASE_SECONDS, Written
from mirror_graph.storage.serde import CompressedSerializer

SETUP = """
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS mirror_leases (
    thread_id TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS mirror_versions (
    thread_id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    value BLOB NOT NULL
);
"""

NOW = "(julianday('now') * 86400.0)"

TAKE = f"""
INSERT INTO mirror_leases VALUES (:thread, :holder, {NOW} + :seconds)
ON CONFLICT (thread_id) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE holder = excluded.holder OR until < {NOW}
"""

DROP = "DELETE FROM mirror_leases WHERE thread_id = :thread AND holder = :holder"

KEEP = "INSERT OR REPLACE INTO mirror_versions VALUES (:thread, :kind, :value)"

VERSIONS = "SELECT kind, value FROM mirror_versions WHERE thread_id = :thread"

PRUNE_WRITES = """
DELETE FROM writes WHERE thread_id = :thread AND checkpoint_id < (
    SELECT max(checkpoint_id) FROM checkpoints AS newest
    WHERE newest.thread_id = writes.thread_id AND newest.checkpoint_ns = writes.checkpoint_ns)
"""

PRUNE_CHECKPOINTS = """
DELETE FROM checkpoints WHERE thread_id = :thread AND checkpoint_id < (
    SELECT max(checkpoint_id) FROM checkpoints AS newest
    WHERE newest.thread_id = checkpoints.thread_id AND newest.checkpoint_ns = checkpoints.checkpoint_ns)
"""


@asynccontextmanager
async def open_sqlite(path: str) -> AsyncIterator[Storage]:
    """Keep threads in the file `path`, made where it is missing, in WAL mode.

    Raises `ConfigurationError` where the file cannot be opened or is no database.
    """
    try:
        connection = await aiosqlite.connect(_placed(path))
    except (SqliteError, OSError) as error:
        raise ConfigurationError(f"cannot open the database {path!r}: {error}") from error
    async with AsyncExitStack() as stack:
        stack.push_async_callback(connection.close)
        saver = AsyncSqliteSaver(connection, serde=CompressedSerializer())
        try:
            await connection.execute("PRAGMA busy_timeout = 10000")
            await saver.setup()
            await connection.executescript(SETUP)
        except SqliteError as error:
            raise ConfigurationError(f"cannot keep threads in {path!r}: {error}") from error
        store = AsyncSqliteStore(connection)
        store.lock = saver.lock  # one connection, one writer: two of them would find the file locked
        await store.setup()
        await connection.commit()  # the store leaves its own set-up open, and would find itself in the way
        yield Storage(saver, store, SqliteRecords(saver))


def _placed(path: str) -> Path:
    """Return the file's whole path, its folder made where it is missing."""
    file = Path(path).expanduser()
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


class SqliteRecords:
    """Records as tables of the same file, written between the saver's own statements."""

    def __init__(self, saver: AsyncSqliteSaver) -> None:
        self._saver = saver

    async def take(self, thread_id: str, holder: str) -> bool:
        """Take or renew a thread's lease; False while another holds it."""
        return await self._write((TAKE, {"thread": thread_id, "holder": holder, "seconds": LEASE_SECONDS})) == 1

    async def drop(self, thread_id: str, holder: str) -> None:
        """Give a lease back."""
        await self._write((DROP, {"thread": thread_id, "holder": holder}))

    async def keep(self, thread_id: str, versions: Written) -> None:
        """Keep the versions of a mind in the place of the earlier ones."""
        await self._write((KEEP, {"thread": thread_id, **versions._asdict()}))

    async def versions(self, thread_id: str) -> Written | None:
        """Return the kept versions of a mind."""
        rows = await self._read(VERSIONS, {"thread": thread_id})
        return Written(*rows[0]) if rows else None

    async def prune(self, thread_id: str) -> None:
        """Delete every checkpoint but the newest, and the writes that belong to them."""
        given = {"thread": thread_id}
        await self._write((PRUNE_WRITES, given), (PRUNE_CHECKPOINTS, given))

    async def forget(self, thread_id: str) -> None:
        """Delete the versions of a thread."""
        await self._write(("DELETE FROM mirror_versions WHERE thread_id = :thread", {"thread": thread_id}))

    async def threads(self) -> list[str]:
        """Return the ids of all threads that have a checkpoint."""
        return [thread_id for (thread_id,) in await self._read("SELECT DISTINCT thread_id FROM checkpoints", {})]

    async def _write(self, *statements: tuple[str, dict[str, Any]]) -> int:
        """Run statements as one transaction; return how many rows the last one touched."""
        touched = 0
        async with self._saver.lock:
            try:
                for statement, given in statements:
                    async with self._saver.conn.execute(statement, given) as cursor:
                        touched = cursor.rowcount
            except BaseException:
                await self._saver.conn.rollback()
                raise
            await self._saver.conn.commit()
        return touched

    async def _read(self, statement: str, given: dict[str, Any]) -> list[Any]:
        async with self._saver.lock, self._saver.conn.execute(statement, given) as cursor:
            return list(await cursor.fetchall())
