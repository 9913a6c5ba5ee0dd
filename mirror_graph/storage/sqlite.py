"""Threads in one SQLite file, shared by processes of one machine."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from sqlite3 import Error as SqliteError

import aiosqlite
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from mirror_graph.errors import ConfigurationError
from mirror_graph.storage.base import Storage
from mirror_graph.storage.leases import LEASE_SECONDS
from mirror_graph.storage.serde import CompressedSerializer

SETUP = """
PRAGMA synchronous = NORMAL;
CREATE TABLE IF NOT EXISTS mirror_leases (
    thread_id TEXT PRIMARY KEY,
    holder TEXT NOT NULL,
    until REAL NOT NULL
) WITHOUT ROWID;
"""

NOW = "(julianday('now') * 86400.0)"

TAKE = f"""
INSERT INTO mirror_leases VALUES (:thread, :holder, {NOW} + :seconds)
ON CONFLICT (thread_id) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE holder = excluded.holder OR until < {NOW}
"""

DROP = "DELETE FROM mirror_leases WHERE thread_id = :thread AND holder = :holder"


@asynccontextmanager
async def open_sqlite(path: str) -> AsyncIterator[Storage]:
    """Keep threads in the file `path`, made where it is missing, in WAL mode.

    Raises `ConfigurationError` where the file cannot be opened or is no database.
    """
    file = Path(path).expanduser()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        connection = await aiosqlite.connect(file)
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
        yield Storage(saver, SqliteLeases(saver))


class SqliteLeases:
    """Leases as rows of the same file, written between the saver's own statements."""

    def __init__(self, saver: AsyncSqliteSaver) -> None:
        self._saver = saver

    async def take(self, thread_id: str, holder: str) -> bool:
        """Take or renew a thread's lease; False while another holds it."""
        given = {"thread": thread_id, "holder": holder, "seconds": LEASE_SECONDS}
        return await self._write(TAKE, given) == 1

    async def drop(self, thread_id: str, holder: str) -> None:
        """Give the lease back."""
        await self._write(DROP, {"thread": thread_id, "holder": holder})

    async def _write(self, statement: str, given: dict[str, object]) -> int:
        async with self._saver.lock, self._saver.conn.execute(statement, given) as cursor:
            await self._saver.conn.commit()
            return cursor.rowcount
