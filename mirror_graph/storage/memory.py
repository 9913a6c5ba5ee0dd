"""Threads in memory, lost when the process ends."""

from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from mirror_graph.encryption import Keyring
from mirror_graph.storage.base import Storage
from mirror_graph.storage.records import Serialized
from mirror_graph.storage.serde import CompressedSerializer


@asynccontextmanager
async def open_memory(keyring: Keyring) -> AsyncIterator[Storage]:
    """Keep threads in memory."""
    saver = InMemorySaver(serde=CompressedSerializer())
    store = InMemoryStore()
    yield Storage(saver, store, MemoryTables(saver, store), keyring=keyring)


class MemoryTables:
    """Records in dictionaries. No other host can reach them, so there are no leases."""

    def __init__(self, saver: InMemorySaver, store: InMemoryStore) -> None:
        self._saver = saver
        self._store = store
        self._versions: dict[str, Serialized] = {}

    async def save_versions(self, thread_id: str, versions: Serialized) -> None:
        """Keep the versions of a mind."""
        self._versions[thread_id] = versions

    async def versions(self, thread_id: str) -> Serialized | None:
        """Return the stored versions of a mind."""
        return self._versions.get(thread_id)

    async def prune(self, thread_id: str) -> None:
        """Delete every checkpoint but the newest, with its writes and values."""
        for namespace, checkpoints in self._saver.storage.get(thread_id, {}).items():
            if checkpoints:
                newest = max(checkpoints)
                self._delete_checkpoints(thread_id, namespace, set(checkpoints) - {newest})
                self._delete_values_beyond(thread_id, namespace, newest)

    def _delete_checkpoints(self, thread_id: str, namespace: str, checkpoint_ids: Set[str]) -> None:
        for checkpoint_id in checkpoint_ids:
            del self._saver.storage[thread_id][namespace][checkpoint_id]
            self._saver.writes.pop((thread_id, namespace, checkpoint_id), None)

    def _delete_values_beyond(self, thread_id: str, namespace: str, checkpoint_id: str) -> None:
        """Delete the values of a namespace that a checkpoint does not hold."""
        checkpoint = self._saver.serde.loads_typed(self._saver.storage[thread_id][namespace][checkpoint_id][0])
        current = set(checkpoint["channel_versions"].items())
        stored = [key for key in self._saver.blobs if key[:2] == (thread_id, namespace)]
        for key in stored:
            if key[2:] not in current:
                del self._saver.blobs[key]

    async def forget(self, thread_id: str) -> None:
        """Delete the versions of a thread."""
        self._versions.pop(thread_id, None)

    async def threads(self) -> list[str]:
        """Return the ids of all threads."""
        return [thread_id for thread_id, namespaces in self._saver.storage.items() if any(namespaces.values())]

    async def replace_item(
        self, namespace: tuple[str, ...], key: str, before: dict[str, Any], after: dict[str, Any]
    ) -> bool:
        """Give an item another value unless it has changed."""
        item = await self._store.aget(namespace, key)
        if item is None or item.value != before:
            return False
        await self._store.aput(namespace, key, after, index=False)
        return True

    async def scrub(self) -> bool:
        """Do nothing: memory that is freed is not stored."""
        return True

    async def compact(self) -> None:
        """Do nothing: there are no files."""
