"""Encrypts again, with the first key, what is stored in clear or with an earlier key, while hosts go on working."""

from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, Checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.store.base import SearchItem

from mirror_graph.encryption import ROOT, VARIABLE, Keyring, is_sealed
from mirror_graph.encryption.items import is_sealed_item, open_item, seal_item, sealed_bytes
from mirror_graph.errors import ConfigurationError
from mirror_graph.storage.base import Storage, is_ours
from mirror_graph.storage.records import VERSIONS_NAMESPACE

PAGE = 200
"""How many items of the store are read at once."""


async def encrypt(storage: Storage) -> int:
    """Encrypt everything of a storage with its first key, and return the number of threads that needed it.

    Hosts may go on working on the database if each of them has all keys that are in use. Raises `ConfigurationError`
    if the storage has no key.
    """
    if not storage.keyring:
        raise ConfigurationError(f"there is no key to encrypt with: set {VARIABLE}, or pass `key`")
    threads = await storage.threads()
    count = sum([await _encrypt_thread(storage, thread_id) for thread_id in threads])
    # Until a whole round finds nothing: a host whose first key is another one may have written meanwhile.
    while await _encrypt_items(storage):
        pass
    await storage.scrub()
    return count


async def _encrypt_thread(storage: Storage, thread_id: str) -> bool:
    """Write a thread's newest checkpoint and its versions again, unless the first key encrypted them."""
    async with storage.lock(thread_id):
        with storage.guard(f"thread {thread_id} cannot be encrypted"):
            found = await storage.newest(thread_id)
            is_old = found is not None and is_ours(found) and not storage.seal.is_current(found)
            if found is not None and is_old:
                checkpoint, new_versions = _renewed(storage.seal.open(found).checkpoint, storage.saver)
                await storage.minds.aput(found.config, checkpoint, found.metadata, new_versions)
                await storage.prune(thread_id)
            versions = await storage.tables.versions(thread_id)
            if versions is None or (is_sealed(versions.value) and storage.keyring.is_current(versions.value)):
                return is_old
            narratives = await storage.history(thread_id)
            await storage.tables.save_versions(thread_id, storage.serialized(thread_id, narratives))
            return True


def _renewed(checkpoint: Checkpoint, saver: BaseCheckpointSaver[Any]) -> tuple[Checkpoint, ChannelVersions]:
    """Return a checkpoint that replaces one and equals it, and the versions of its channels.

    Every channel gets a new version, because a saver may store each version of a channel only once. What a node has
    seen of the old version, it has seen of the new one, so that no node runs again. The time stays the same: the
    thread was not used.
    """
    before = checkpoint["channel_versions"]
    after = {name: saver.get_next_version(version, None) for name, version in before.items()}
    seen = {
        node: {name: after[name] if before.get(name) == version else version for name, version in versions.items()}
        for node, versions in checkpoint["versions_seen"].items()
    }
    return {**checkpoint, "id": str(uuid6()), "channel_versions": after, "versions_seen": seen}, after


async def _encrypt_items(storage: Storage) -> int:
    """Encrypt all items of the store once, and return how many of them needed it."""
    count = offset = 0
    while page := await storage.items.asearch((ROOT,), limit=PAGE, offset=offset):
        offset += len(page)
        for item in page:
            # The versions of minds are encrypted before they become items.
            if item.namespace != VERSIONS_NAMESPACE:
                count += await _encrypt_item(storage, item)
    return count


async def _encrypt_item(storage: Storage, item: SearchItem) -> bool:
    after = _renewed_item(storage.keyring, item)
    if after is item.value:
        return False
    with storage.guard("the users' constraints cannot be encrypted"):
        # If a host has just changed it, the next round reads it again.
        await storage.tables.replace_item(item.namespace, item.key, item.value, after)
    return True


def _renewed_item(keyring: Keyring, item: SearchItem) -> dict[str, Any]:
    """Return an item's value, encrypted with the first key; the value itself if it is already."""
    if not is_sealed_item(item.value):
        return seal_item(keyring, item.value, item.namespace, item.key)
    if keyring.is_current(sealed_bytes(item.value)):
        return item.value
    opened = open_item(keyring, item.value, item.namespace, item.key)
    return seal_item(keyring, opened, item.namespace, item.key)
