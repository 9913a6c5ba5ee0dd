"""What a host needs of a database: checkpoints per thread, a lock per thread, and the versions of a mind."""

import base64
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from datetime import datetime
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.store.base import BaseStore

from mirror_graph.encryption import NO_KEYS, ROOT, Keyring, SealedStore, is_sealed
from mirror_graph.state import Narrative
from mirror_graph.storage.guarding import Guard, GuardedSaver, GuardedStore
from mirror_graph.storage.leases import Leases, ThreadLocks
from mirror_graph.storage.records import HostTables, Serialized
from mirror_graph.storage.sealing import CheckpointSeal
from mirror_graph.storage.signals import News, NoSignals, Signals, Watched
from mirror_graph.storage.turns import TurnSaver

log = logging.getLogger(__name__)

KEY_CHECK = (ROOT, "encryption"), "key"
"""Where the item is stored that tells whether a host has the right key."""

VERSIONS = 20
"""How many narratives of a thread are kept for its history."""


class Storage:
    """Checkpoints by thread and facts by user (`store`), kept apart between hosts and bounded over time.

    `keyring` encrypts all of it. `items` is the store under `store`, before encryption.

    `turns` is the saver for the runs of a talker, which stores of them what is ever read; `minds` is the saver for
    minds; `saver` is the saver of LangGraph's under both. `leases` is None if no other host can have the database.
    Every error of the database, `errors`, becomes a `StorageError`.
    """

    def __init__(
        self,
        saver: BaseCheckpointSaver[str],
        store: BaseStore,
        tables: HostTables,
        leases: Leases | None = None,
        errors: tuple[type[Exception], ...] = (),
        keyring: Keyring = NO_KEYS,
        signals: Signals | None = None,
    ) -> None:
        self._signals = signals or NoSignals()
        self.guard = Guard(errors)
        self.seal = CheckpointSeal(keyring)
        self.keyring = keyring
        self.saver = saver
        self.turns = TurnSaver(saver, self.guard, leases, self.seal)
        self.minds = GuardedSaver(saver, self.guard, leases, self.seal)
        self.items = GuardedStore(store, self.guard)
        self.store = self.sealed(self.items)
        self.tables = tables
        self._locks = ThreadLocks(leases)

    @asynccontextmanager
    async def lock(self, thread_id: str) -> AsyncIterator[None]:
        """Be the only one to work on a thread, among this host's tasks and all hosts of the database.

        Tasks of one host are served in the order they came.
        """
        async with AsyncExitStack() as stack:
            with self.guard(f"thread {thread_id} cannot be locked"):
                await stack.enter_async_context(self._locks.hold(thread_id))
            yield

    async def values(self, thread_id: str, name: str = "") -> dict[str, Any]:
        """Return the stored state of a thread, empty before its first checkpoint. Errors call it `name`."""
        config: RunnableConfig = {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
        with self.guard(f"{name or f'thread {thread_id}'} cannot be read"):
            found = await self.saver.aget_tuple(config)
            return self.seal.open(found).checkpoint["channel_values"] if found else {}

    async def save_version(self, thread_id: str, narrative: Narrative) -> None:
        """Keep a narrative in the thread's history, the newest `VERSIONS` of them. The thread is to be locked.

        They are written as one value: a narrative repeats most of the previous one, so together they compress well.
        """
        # The narrative replaces one of the same turn: a pass that ran twice leaves one version.
        versions = [version for version in await self.history(thread_id) if version["turn"] != narrative["turn"]]
        if narrative["text"]:
            versions.append(narrative)
        versions = sorted(versions, key=lambda version: version["turn"])[-VERSIONS:]
        with self.guard(f"the history of thread {thread_id} cannot be written"):
            await self.tables.save_versions(thread_id, self.serialized(thread_id, versions))

    async def history(self, thread_id: str) -> list[Narrative]:
        """Return the stored narratives of a thread, oldest first."""
        with self.guard(f"the history of thread {thread_id} cannot be read"):
            written = await self.tables.versions(thread_id)
            if written is None:
                return []
            if is_sealed(written.value):
                return cast("list[Narrative]", self.seal.open_value(written.value, _versions_place(thread_id)))
            return cast("list[Narrative]", self.saver.serde.loads_typed((written.kind, written.value)))

    async def prune(self, thread_id: str) -> None:
        """Delete every checkpoint of a thread but the newest, which alone is ever read."""
        with self.guard(f"thread {thread_id} cannot be pruned"):
            await self.tables.prune(thread_id)

    async def threads(self) -> list[str]:
        """Return the ids of all threads of the database."""
        with self.guard("the threads cannot be listed"):
            return await self.tables.threads()

    async def last_used(self, thread_id: str) -> datetime | None:
        """Return when a thread of ours was last written to; None for one that is unknown, or another program's."""
        found = await self.newest(thread_id)
        return datetime.fromisoformat(found.checkpoint["ts"]) if found and is_ours(found) else None

    async def forget(self, thread_id: str) -> None:
        """Delete everything that is stored of a thread. Call `scrub` after it."""
        with self.guard(f"thread {thread_id} cannot be deleted"):
            await self.saver.adelete_thread(thread_id)
            await self.tables.forget(thread_id)

    async def send(self, news: News) -> None:
        """Tell the other hosts of the database what changed."""
        with self.guard("the other hosts cannot be told of a change"):
            text = news.text
            if text and self.keyring:
                text = base64.b64encode(self.seal.seal_value(text, _signal_place(news.thread_id))).decode()
            await self._signals.send(news._replace(text=text))

    async def receive(self, watched: Watched) -> AsyncGenerator[News]:
        """Yield what other hosts changed of what is `watched`, for as long as it is iterated over."""
        with self.guard("changes by other hosts cannot be read"):
            async with aclosing(self._signals.receive(watched)) as received:
                async for news in received:
                    text = news.text
                    if text and self.keyring:
                        text = str(self.seal.open_value(base64.b64decode(text), _signal_place(news.thread_id)))
                    yield news._replace(text=text)

    async def scrub(self) -> None:
        """Remove what was deleted from the database's files, as far as a host can."""
        with self.guard("what was deleted cannot be removed from the files"):
            if not await self.tables.scrub():
                log.warning("the database is busy: its log may hold what was erased until the next erasure")

    async def compact(self) -> None:
        """Remove from the files what was deleted by a release that did not scrub, as far as a host can."""
        with self.guard("the database cannot be compacted"):
            await self.tables.compact()
            await self.tables.scrub()

    def sealed(self, store: BaseStore) -> SealedStore:
        """Return `store` as one that encrypts with the keys of this storage."""
        return SealedStore(store, self.keyring)

    async def check_key(self) -> None:
        """Make sure that the database can be read with the keys at hand, before anything is read or written.

        The first host with a key leaves an encrypted item, which every later host has to be able to read.
        Raises `MissingKeyError`.
        """
        with self.guard("the database cannot be opened"):
            found = await self.store.aget(*KEY_CHECK)
            if found is None and self.keyring:
                await self.store.aput(*KEY_CHECK, {"check": "key"}, index=False)

    async def newest(self, thread_id: str) -> CheckpointTuple | None:
        """Return the newest checkpoint of a thread as it is stored."""
        with self.guard(f"thread {thread_id} cannot be read"):
            return await self.saver.aget_tuple({"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}})

    def serialized(self, thread_id: str, versions: list[Narrative]) -> Serialized:
        """Return the versions of a mind as they are stored."""
        if self.keyring:
            return Serialized("sealed", self.seal.seal_value(versions, _versions_place(thread_id)))
        return Serialized(*self.saver.serde.dumps_typed(versions))


def is_ours(found: CheckpointTuple) -> bool:
    """Say whether a checkpoint is of a graph of ours. A program's own database holds its other threads too."""
    return {"narrative", "schema_version"} <= found.checkpoint["channel_values"].keys()


def _versions_place(thread_id: str) -> tuple[str, ...]:
    return "versions", thread_id


def _signal_place(thread_id: str) -> tuple[str, ...]:
    return "signals", thread_id
