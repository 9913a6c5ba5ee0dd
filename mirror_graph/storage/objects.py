"""Threads in a checkpointer and a store that the host's own program has opened."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.base import BaseStore
from langgraph.store.memory import InMemoryStore

from mirror_graph.encryption import Keyring
from mirror_graph.errors import ConfigurationError
from mirror_graph.storage.base import Storage
from mirror_graph.storage.records import VERSIONS_NAMESPACE, Serialized
from mirror_graph.storage.signals import LookingSignals

log = logging.getLogger(__name__)

PROBE: RunnableConfig = {"configurable": {"thread_id": "mirror-graph-probe", "checkpoint_ns": ""}}


@asynccontextmanager
async def open_objects(
    checkpointer: BaseCheckpointSaver[Any] | None, store: BaseStore | None, keyring: Keyring
) -> AsyncIterator[Storage]:
    """Keep threads in `checkpointer`, and what follows a user in `store`. Neither is closed here.

    One line of the log says what is lost with what is missing. Raises `ConfigurationError` for objects that cannot be
    read, such as a database whose tables are missing.
    """
    lost = ["other hosts on the same database are not locked out of a thread"]
    if checkpointer is None:
        lost.append("no checkpointer: conversations end with the process")
        saver: BaseCheckpointSaver[Any] = InMemorySaver()
    else:
        saver = await _readable(checkpointer)
    if store is None:
        lost.append("no store: a user's constraints and the narratives' history end with the process")
        store = InMemoryStore()
    else:
        await _check_store(store)
    if not _can(saver, "aprune"):
        lost.append(f"{_name(saver)} cannot prune: threads grow with every turn")
    if not _can(saver, "adelete_thread"):
        lost.append(f"{_name(saver)} cannot delete: no conversation can be forgotten")
    log.warning("this host uses the program's own checkpointer and store: %s", "; ".join(lost))
    # Which errors a stranger's database raises is not known, so each of them counts as one.
    yield Storage(
        saver, store, ItemRecords(saver, store), errors=(Exception,), keyring=keyring, signals=LookingSignals()
    )


async def _readable(saver: BaseCheckpointSaver[Any]) -> BaseCheckpointSaver[Any]:
    """Return a saver that an event loop can use. Raises `ConfigurationError` if it cannot be read."""
    if not isinstance(saver, BaseCheckpointSaver):
        raise ConfigurationError(f"checkpointer is a {type(saver).__name__}: expected a checkpoint saver of LangGraph")
    for candidate in (saver, ThreadedSaver(saver)):
        try:
            await candidate.aget_tuple(PROBE)
        except NotImplementedError:
            continue
        except Exception as error:
            raise ConfigurationError(
                f"the checkpointer {type(saver).__name__} cannot be read ({type(error).__name__}: {error}): "
                "open it first and call its setup()"
            ) from error
        return candidate
    raise ConfigurationError(f"the checkpointer {type(saver).__name__} can neither be awaited nor called")


async def _check_store(store: object) -> None:
    if not isinstance(store, BaseStore):
        raise ConfigurationError(f"store is a {type(store).__name__}: expected a store of LangGraph")
    try:
        await store.aget(("mirror", "probe"), "probe")
    except Exception as error:
        raise ConfigurationError(
            f"the store {type(store).__name__} cannot be read ({type(error).__name__}: {error}): "
            "open it first and call its setup()"
        ) from error


class ThreadedSaver(BaseCheckpointSaver[Any]):
    """A synchronous saver of LangGraph's as an asynchronous one: each call runs in a thread."""

    def __init__(self, saver: BaseCheckpointSaver[Any]) -> None:
        super().__init__(serde=saver.serde)
        self.saver = saver

    def get_next_version(self, current: Any, channel: None) -> Any:
        """Number a channel's versions as the saver does."""
        return self.saver.get_next_version(current, channel)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the newest checkpoint of a thread."""
        return await asyncio.to_thread(self.saver.get_tuple, config)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint."""
        return await asyncio.to_thread(self.saver.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store the writes of a step."""
        await asyncio.to_thread(self.saver.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete a thread."""
        await asyncio.to_thread(self.saver.delete_thread, thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete every checkpoint of these threads but the newest."""
        await asyncio.to_thread(self.saver.prune, thread_ids, strategy=strategy)

    async def alist(self, config: RunnableConfig | None, **options: Any) -> AsyncIterator[CheckpointTuple]:
        """Return the checkpoints."""
        for found in await asyncio.to_thread(lambda: list(self.saver.list(config, **options))):
            yield found


class ItemRecords:
    """What a host stores next to the checkpoints, as items of a store."""

    def __init__(self, saver: BaseCheckpointSaver[Any], store: BaseStore) -> None:
        self._saver = saver
        self._store = store

    async def save_versions(self, thread_id: str, versions: Serialized) -> None:
        """Store the versions of a mind."""
        item = {"kind": versions.kind, "value": base64.b64encode(versions.value).decode()}
        await self._store.aput(VERSIONS_NAMESPACE, thread_id, item, index=False)

    async def versions(self, thread_id: str) -> Serialized | None:
        """Return the stored versions of a mind."""
        item = await self._store.aget(VERSIONS_NAMESPACE, thread_id)
        return Serialized(item.value["kind"], base64.b64decode(item.value["value"])) if item else None

    async def prune(self, thread_id: str) -> None:
        """Delete every checkpoint of a thread but the newest, if the saver can."""
        if _can(self._saver, "aprune"):
            await self._saver.aprune([thread_id], strategy="keep_latest")

    async def forget(self, thread_id: str) -> None:
        """Delete the versions of a thread."""
        await self._store.adelete(VERSIONS_NAMESPACE, thread_id)

    async def threads(self) -> list[str]:
        """Return the ids of all threads that have a checkpoint."""
        found = {cast(str, item.config.get("configurable", {})["thread_id"]) async for item in self._saver.alist(None)}
        return sorted(found)

    async def replace_item(
        self, namespace: tuple[str, ...], key: str, before: dict[str, Any], after: dict[str, Any]
    ) -> bool:
        """Give an item another value unless it has changed. A store of LangGraph's cannot
        compare and write in one step: a change in between is lost."""
        item = await self._store.aget(namespace, key)
        if item is None or item.value != before:
            return False
        await self._store.aput(namespace, key, after, index=False)
        return True

    async def scrub(self) -> bool:
        """Leave it to the program, whose database it is."""
        return True

    async def compact(self) -> None:
        """Leave it to the program, too."""


def _can(saver: BaseCheckpointSaver[Any], method: str) -> bool:
    """Say whether a saver has a method of its own, rather than the one that raises `NotImplementedError`."""
    if isinstance(saver, ThreadedSaver):
        saver, method = saver.saver, method.removeprefix("a")
    return getattr(type(saver), method, None) is not getattr(BaseCheckpointSaver, method, None)


def _name(saver: BaseCheckpointSaver[Any]) -> str:
    return type(saver.saver if isinstance(saver, ThreadedSaver) else saver).__name__
