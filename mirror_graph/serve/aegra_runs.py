"""One run at a time on a thread of Aegra, which would make all at once and keep the slowest one's turn alone."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore
from langgraph_sdk.runtime import ServerRuntime

from mirror_graph.errors import ConfigurationError
from mirror_graph.storage.leases import Leases, ThreadLocks

Graph = CompiledStateGraph[Any, Any, Any, Any]
GraphFactory = Callable[[RunnableConfig, ServerRuntime[Any]], AbstractAsyncContextManager[Graph]]

_locks: dict[BaseStore, ThreadLocks] = {}
"""The locks on the threads of each store's database. A process of Aegra has one store."""


def one_run_per_thread(graph: Graph) -> GraphFactory:
    """Return a factory of `graph` for aegra.json. A run waits until no other run is under way on its thread.

    Aegra opens the factory before a run loads its thread, and closes it after the last write. So each run begins with
    the turn of the one before it, in whichever process of the database that ran.
    """

    @asynccontextmanager
    async def serialized(config: RunnableConfig, runtime: ServerRuntime[Any]) -> AsyncIterator[Graph]:
        if runtime.access_context != "threads.create_run":
            yield graph
            return
        locks = await _locks_of(runtime.store)
        async with locks.hold(config.get("configurable", {})["thread_id"]):
            yield graph

    return serialized


async def _locks_of(store: BaseStore) -> ThreadLocks:
    """Return the locks on the threads of the database that a store is in, as leases that its processes share."""
    if store not in _locks:
        # It needs the extra `postgres`, which a process without Aegra may lack.
        from langgraph.store.postgres.aio import AsyncPostgresStore
        from psycopg_pool import AsyncConnectionPool

        from mirror_graph.storage.postgres import PostgresLeaseTable

        if not isinstance(store, AsyncPostgresStore) or not isinstance(store.conn, AsyncConnectionPool):
            raise ConfigurationError(
                f"runs of one thread cannot be kept apart in a {type(store).__name__}: expected a store in PostgreSQL "
                "with a pool of connections"
            )
        conninfo = store.conn.conninfo
        table = PostgresLeaseTable(store.conn, str(conninfo() if callable(conninfo) else conninfo))
        await table.setup()
        _locks.setdefault(store, ThreadLocks(Leases(table)))
    return _locks[store]
