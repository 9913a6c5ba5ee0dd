"""Threads in one SQLite file, shared by processes on one machine."""

import asyncio
import json
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from typing import Any

import aiosqlite
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.store.sqlite.aio import AsyncSqliteStore

from mirror_graph.encryption import Keyring
from mirror_graph.errors import ConfigurationError
from mirror_graph.storage.base import Storage
from mirror_graph.storage.guarding import end_background_task
from mirror_graph.storage.leases import Leases
from mirror_graph.storage.records import LEASE_SECONDS, Renewal, Serialized
from mirror_graph.storage.serde import CompressedSerializer
from mirror_graph.storage.signals import Place, PollingSignals

SETUP = """
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

NEWEST_CHECKPOINT = """
SELECT checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints
WHERE thread_id = ? AND checkpoint_ns = ? ORDER BY checkpoint_id DESC LIMIT 1
"""

PUT_CHECKPOINT = """
INSERT OR REPLACE INTO checkpoints
(thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata)
VALUES (?, ?, ?, ?, ?, ?, ?)
"""

NOW = "(julianday('now') * 86400.0)"

ACQUIRE = f"""
INSERT INTO mirror_leases VALUES (:thread, :holder, {NOW} + :seconds)
ON CONFLICT (thread_id) DO UPDATE SET holder = excluded.holder, until = excluded.until
WHERE holder = excluded.holder OR until NOT BETWEEN {NOW} AND {NOW} + 2 * :seconds
"""

RENEW = f"""
UPDATE mirror_leases SET until = {NOW} + :seconds
WHERE holder = :holder AND thread_id IN (SELECT value FROM json_each(:threads))
"""

HELD = "SELECT thread_id FROM mirror_leases WHERE holder = :holder"

RELEASE = "DELETE FROM mirror_leases WHERE thread_id = :thread AND holder = :holder"

KEEP = "INSERT OR REPLACE INTO mirror_versions VALUES (:thread, :kind, :value)"

VERSIONS = "SELECT kind, value FROM mirror_versions WHERE thread_id = :thread"

REPLACE = "UPDATE store SET value = :after WHERE prefix = :prefix AND key = :key AND value = :before"

SCRUB_SECONDS = 5.0
"""How long emptying the log waits for readers."""

NEWEST = """
SELECT thread_id, max(checkpoint_id) FROM checkpoints
WHERE thread_id IN (SELECT value FROM json_each(:threads)) GROUP BY thread_id
"""

FACTS = """
SELECT prefix, count(*), max(rowid) FROM store
WHERE prefix IN (SELECT value FROM json_each(:prefixes)) GROUP BY prefix
"""
"""The store replaces a row whose value changes, so that it gets a new number."""

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
async def open_sqlite(path: str, keyring: Keyring) -> AsyncIterator[Storage]:
    """Keep threads in the file `path`, made where it is missing, in WAL mode.

    Raises `ConfigurationError` where the file cannot be opened or is no database.
    """
    try:
        # In a thread: a LangGraph server, which a host may share a process with, refuses calls that block.
        file = await asyncio.to_thread(_placed, path)
    except (sqlite3.Error, OSError) as error:
        raise ConfigurationError(
            f"cannot open the database {path!r}: {error}. Name a file in a folder that you can write to"
        ) from error
    async with AsyncExitStack() as stack:
        connection, other = [await stack.enter_async_context(_connected(file)) for _ in range(2)]
        saver = OneStepSaver(connection, serde=CompressedSerializer())
        store = AsyncSqliteStore(connection)
        stack.push_async_callback(end_background_task, store)
        store.lock = saver.lock  # its transactions must not take in the saver's statements
        try:
            for each in (connection, other):
                await each.execute("PRAGMA busy_timeout = 10000")
                await each.execute("PRAGMA synchronous = NORMAL")
                await each.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten with zeros
            await saver.setup()
            await store.setup()
            await connection.executescript(SETUP)
        except sqlite3.Error as error:
            raise ConfigurationError(
                f"cannot store threads in {path!r}: {error}. Expected a database of MIRROR's, or a path without a file"
            ) from error
        tables = SqliteTables(other, file)
        signals = PollingSignals(tables.version, tables.stamps)
        leases = Leases(tables)
        stack.push_async_callback(leases.close)
        storage = Storage(saver, store, tables, leases, errors=(sqlite3.Error,), keyring=keyring, signals=signals)
        stack.push_async_callback(storage.items.finish)
        yield storage


def _placed(path: str) -> Path:
    """Return the file's whole path, its folder made where it is missing."""
    file = Path(path).expanduser()
    file.parent.mkdir(parents=True, exist_ok=True)
    # A new file is its owner's alone, and SQLite gives `-wal` and `-shm` the mode of their database.
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    # If aiosqlite cannot open a file, its thread outlives the event loop and complains about that.
    sqlite3.connect(file).close()
    return file


def _connected(file: Path) -> aiosqlite.Connection:
    """Connect so that each statement is a transaction by itself.

    A longer one would stay open while the event loop is busy, and until it ends nothing else can write to the file.
    """
    return aiosqlite.connect(file, isolation_level=None)


class OneStepSaver(AsyncSqliteSaver):
    """Reads the newest checkpoint of a thread in one step, and writes one in one step.

    Each step wakes the connection's thread and then the event loop. LangGraph's own methods take six and three. They
    also read the writes of a step that is under way, which no host stores.
    """

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the newest checkpoint of a thread, or the one that `config` names."""
        if get_checkpoint_id(config):
            return await super().aget_tuple(config)
        thread, namespace = _place(config)
        async with self.lock:
            rows = list(await self.conn.execute_fetchall(NEWEST_CHECKPOINT, (thread, namespace)))
        if not rows:
            return None
        checkpoint_id, parent_id, kind, written, metadata = rows[0]
        return CheckpointTuple(
            _checkpoint_config(thread, namespace, checkpoint_id),
            self.serde.loads_typed((kind, written)),
            json.loads(metadata) if metadata is not None else {},
            _checkpoint_config(thread, namespace, parent_id) if parent_id else None,
            [],
        )

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint."""
        thread, namespace = _place(config)
        parent_id = config.get("configurable", {}).get("checkpoint_id")
        kind, written = self.serde.dumps_typed(checkpoint)
        noted = json.dumps(get_checkpoint_metadata(config, metadata), ensure_ascii=False).encode("utf-8", "ignore")
        row = (thread, namespace, checkpoint["id"], parent_id, kind, written, noted)
        async with self.lock:
            await self.conn.execute_fetchall(PUT_CHECKPOINT, row)
        return _checkpoint_config(thread, namespace, checkpoint["id"])


def _place(config: RunnableConfig) -> tuple[str, str]:
    """Return the thread and the namespace of a config."""
    configurable = config.get("configurable", {})
    return str(configurable["thread_id"]), str(configurable.get("checkpoint_ns", ""))


def _checkpoint_config(thread: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}}


class SqliteTables:
    """Records as tables of the same file, over a connection apart from the saver's, where each statement waits."""

    def __init__(self, connection: aiosqlite.Connection, file: Path) -> None:
        self._connection = connection
        self._file = file

    async def acquire_lease(self, thread_id: str, holder: str) -> bool:
        """Take a thread's lease; False while another host holds it."""
        return await self._count(ACQUIRE, {"thread": thread_id, "holder": holder, "seconds": LEASE_SECONDS}) == 1

    async def release_lease(self, thread_id: str, holder: str) -> None:
        """Give a lease back."""
        await self._write(RELEASE, {"thread": thread_id, "holder": holder})

    async def renew_leases(self, holder: str, thread_ids: Sequence[str]) -> set[str]:
        """Extend leases over the connection of the turns."""
        await self._write(RENEW, _renewed(holder, thread_ids))
        return {thread_id for (thread_id,) in await self._read(HELD, {"holder": holder})}

    @contextmanager
    def open_renewal(self) -> Iterator[Renewal]:
        """Connect apart from the turns, whose statements would stand in front."""
        with closing(sqlite3.connect(self._file, timeout=LEASE_SECONDS, isolation_level=None)) as connection:

            def renew(holder: str, thread_ids: Sequence[str]) -> set[str]:
                connection.execute(RENEW, _renewed(holder, thread_ids))
                return {thread_id for (thread_id,) in connection.execute(HELD, {"holder": holder})}

            yield renew

    async def save_versions(self, thread_id: str, versions: Serialized) -> None:
        """Keep the versions of a mind in the place of the earlier ones."""
        await self._write(KEEP, {"thread": thread_id, **versions._asdict()})

    async def versions(self, thread_id: str) -> Serialized | None:
        """Return the stored versions of a mind."""
        rows = await self._read(VERSIONS, {"thread": thread_id})
        return Serialized(*rows[0]) if rows else None

    async def prune(self, thread_id: str) -> None:
        """Delete every checkpoint but the newest, and the writes that belong to them."""
        await self._write(PRUNE_WRITES, {"thread": thread_id})
        await self._write(PRUNE_CHECKPOINTS, {"thread": thread_id})

    async def forget(self, thread_id: str) -> None:
        """Delete the versions of a thread."""
        await self._write("DELETE FROM mirror_versions WHERE thread_id = :thread", {"thread": thread_id})

    async def threads(self) -> list[str]:
        """Return the ids of all threads that have a checkpoint."""
        return [thread_id for (thread_id,) in await self._read("SELECT DISTINCT thread_id FROM checkpoints", {})]

    async def replace_item(
        self, namespace: tuple[str, ...], key: str, before: dict[str, Any], after: dict[str, Any]
    ) -> bool:
        """Give an item another value unless it has changed."""
        place = {"prefix": ".".join(namespace), "key": key}
        rows = await self._read("SELECT value FROM store WHERE prefix = :prefix AND key = :key", place)
        if not rows or json.loads(rows[0][0]) != before:
            return False
        return await self._count(REPLACE, {**place, "before": rows[0][0], "after": json.dumps(after)}) == 1

    async def scrub(self) -> bool:
        """Write the pages of the log into the file and empty the log, where earlier versions of pages stand.

        False if a reader of another connection still needs the log.
        """
        return await asyncio.to_thread(self._maintain, "PRAGMA wal_checkpoint(TRUNCATE)")

    async def compact(self) -> None:
        """Rewrite the file. Free pages of an earlier release may hold what was deleted."""
        await asyncio.to_thread(self._maintain, "VACUUM")

    def _maintain(self, statement: str) -> bool:
        # A connection of its own: on those of the turns, everything would wait for it.
        with closing(sqlite3.connect(self._file, timeout=SCRUB_SECONDS, isolation_level=None)) as connection:
            is_busy, *_ = connection.execute(statement).fetchone() or (0,)
            return not is_busy

    async def version(self) -> int:
        """Return a number that changes whenever another connection has written to the file."""
        [(version,)] = await self._read("PRAGMA data_version", {})
        return int(version)

    async def stamps(self, places: Sequence[Place]) -> dict[str, str]:
        """Return a mark for each watched thread, which changes with its mind, its messages or its owner's facts."""
        threads = [thread_id for place in places for thread_id in place[:2]]
        newest = dict(await self._read(NEWEST, {"threads": json.dumps(threads)}))
        prefixes = [prefix for place in places for prefix in _prefixes(place.owner)]
        facts = {prefix: mark for prefix, *mark in await self._read(FACTS, {"prefixes": json.dumps(prefixes)})}
        return {
            place.thread_id: str(
                [
                    *(newest.get(thread_id) for thread_id in place[:2]),
                    *(facts.get(prefix) for prefix in _prefixes(place.owner)),
                ]
            )
            for place in places
        }

    async def _write(self, statement: str, given: dict[str, Any]) -> None:
        """Run a statement, a transaction by itself."""
        await self._connection.execute_fetchall(statement, given)

    async def _count(self, statement: str, given: dict[str, Any]) -> int:
        """Run a statement, a transaction by itself; return how many rows it touched."""
        async with self._connection.execute(statement, given) as cursor:
            return cursor.rowcount

    async def _read(self, statement: str, given: dict[str, Any]) -> list[Any]:
        # In one step: an open cursor would keep every write on the connection from waiting for the file.
        return list(await self._connection.execute_fetchall(statement, given))


def _prefixes(owner: str) -> list[str]:
    """Return the names under which the store of LangGraph has an owner's facts."""
    return [f"mirror.{owner}.{kind}" for kind in ("told", "edited")] if owner else []


def _renewed(holder: str, thread_ids: Sequence[str]) -> dict[str, Any]:
    return {"holder": holder, "threads": json.dumps(list(thread_ids)), "seconds": LEASE_SECONDS}
