"""What threads weigh in a database: the bytes and rows of every table that knows them."""

import sqlite3
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import closing
from typing import Any, NamedTuple
from uuid import uuid4

from bench.lib.settling import settle
from mirror_graph import MirrorContext, open_mirror
from mirror_graph.scheduling import mind_thread
from mirror_graph.storage import open_storage

CYCLE = 20
"""Turns over which a thread is weighed: a window shrinks in steps, so that one turn alone says little."""

SQLITE_COLUMNS = """
SELECT m.name, c.name FROM sqlite_master AS m JOIN pragma_table_info(m.name) AS c WHERE m.type = 'table'
"""
POSTGRES_COLUMNS = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"


class Weight(NamedTuple):
    """Bytes and rows of all that is stored, and the bytes of the newest state alone."""

    bytes: int
    rows: int
    state: int

    def figures(self) -> dict[str, float]:
        """Return the weight as figures of a report."""
        return {"rows": self.rows, "KiB in all": self.bytes / 1024, "KiB of its state": self.state / 1024}


async def weigh_mirror(
    database: str, context: MirrorContext, words: Callable[[], str], turns: Sequence[int]
) -> list[Weight]:
    """Hold a conversation and weigh it, its mind included, after each number of `turns`."""
    async with open_mirror(database, context=context) as mirror:
        conversation = mirror.conversation(f"bench-{uuid4()}")

        async def say() -> None:
            await conversation.say(words())
            await settle(conversation)

        threads = [conversation.thread_id, mind_thread(conversation.thread_id)]
        return await weigh_as_it_grows(database, threads, say, turns)


async def weigh_as_it_grows(
    database: str, threads: Sequence[str], say: Callable[[], Awaitable[None]], turns: Sequence[int]
) -> list[Weight]:
    """Weigh `threads` after each number of `turns`: the most they weigh in the `CYCLE` turns up to it."""
    weights: list[Weight] = []
    recent: list[Weight] = []
    for turn in range(1, max(turns) + 1):
        await say()
        if any(mark - CYCLE < turn <= mark for mark in turns):
            recent.append(await weigh(database, threads))
        if turn in turns:
            weights.append(max(recent[-CYCLE:]))
    return weights


async def weigh(database: str, threads: Sequence[str]) -> Weight:
    """Weigh `threads` in a SQLite file or a PostgreSQL database."""
    if database.startswith("postgresql://"):
        import psycopg

        with psycopg.connect(database) as connection:
            found = _sum(connection.execute, POSTGRES_COLUMNS, "pg_column_size({})", "%s", threads)
    else:
        with closing(sqlite3.connect(database)) as file:
            found = _sum(file.execute, SQLITE_COLUMNS, "length(CAST({} AS BLOB))", "?", threads)
    return Weight(*found, await _state(database, threads))


def _sum(execute: Callable[..., Any], columns: str, size: str, mark: str, threads: Sequence[str]) -> tuple[int, int]:
    tables: defaultdict[str, list[str]] = defaultdict(list)
    for table, column in execute(columns).fetchall():
        tables[table].append(column)
    total = rows = 0
    for table, names in tables.items():
        if "thread_id" not in names:
            continue
        each = " + ".join(f"coalesce({size.format(name)}, 0)" for name in names)
        where = f"thread_id IN ({', '.join([mark] * len(threads))})"
        (found,) = execute(f"SELECT coalesce(sum({each}), 0), count(*) FROM {table} WHERE {where}", threads).fetchall()
        total, rows = total + int(found[0]), rows + found[1]
    return total, rows


async def _state(database: str, threads: Iterable[str]) -> int:
    total = 0
    async with open_storage(database) as storage:
        for thread_id in threads:
            found = await storage.saver.aget_tuple({"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}})
            if found:
                total += len(storage.saver.serde.dumps_typed(found.checkpoint)[1])
    return total
