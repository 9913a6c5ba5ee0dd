"""The saver and the store of a host. Each error names what could not be read or written."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)
from langgraph.store.base import BaseStore, Op, Result
from langgraph.store.base.batch import AsyncBatchedBaseStore

from mirror_graph.errors import DamagedValueError, MirrorError, MissingKeyError, StorageError
from mirror_graph.storage.leases import Leases
from mirror_graph.storage.sealing import CheckpointSeal, bare_config, bare_metadata


class Guard:
    """Raises the errors of a database, `errors`, as `StorageError`."""

    def __init__(self, errors: tuple[type[Exception], ...]) -> None:
        # ValueError: a column that is no longer UTF-8 or JSON, or a connection that was closed.
        self._errors: tuple[type[Exception], ...] = (*errors, ValueError)

    @contextmanager
    def __call__(self, what: str) -> Iterator[None]:
        """Say `what` could not be read or written, if the block raises an error of the database."""
        try:
            yield
        except DamagedValueError as error:
            raise StorageError(f"{what}: {error}") from error
        except MissingKeyError as error:
            raise MissingKeyError(error.key_id, error.known, what) from error
        except MirrorError:
            raise
        except self._errors as error:
            raise StorageError(f"{what}: {str(error) or type(error).__name__}") from error


class GuardedSaver(BaseCheckpointSaver[str]):
    """A saver of LangGraph's that asks, before each write, whether the host still has the thread to itself.

    What it stores is encrypted if `seal` has a key.
    """

    def __init__(
        self, saver: BaseCheckpointSaver[str], guard: Guard, leases: Leases | None, seal: CheckpointSeal
    ) -> None:
        super().__init__(serde=saver.serde)
        self._saver = saver
        self._guard = guard
        self._leases = leases
        self._seal = seal

    def get_next_version(self, current: str | None, channel: None) -> str:
        """Number a channel's versions as the saver does."""
        return self._saver.get_next_version(current, channel)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the newest checkpoint of a thread."""
        with self._guard(f"thread {_thread_of(config)} cannot be read"):
            found = await self._saver.aget_tuple(config)
            return self._seal.open(found) if found else None

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a checkpoint. Raises `StorageError` if another host has taken the thread."""
        thread_id = _thread_of(config)
        with self._guard(f"thread {thread_id} cannot be written"):
            if self._leases is not None:
                await self._leases.check(thread_id)
            if self._seal.keyring:
                checkpoint = self._seal.seal(checkpoint, config)
                config, metadata = bare_config(config), bare_metadata(metadata)
            return await self._saver.aput(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store nothing: no host resumes a run, so the writes of a step that is under way are never read."""


class GuardedStore(BaseStore):
    """A store of LangGraph's whose operations run to their end even if the task that asked for them is cancelled.

    A cancelled one would leave its transaction open on the connection that all share.
    """

    def __init__(self, store: BaseStore, guard: Guard) -> None:
        self._store = store
        self._guard = guard
        self._running: set[asyncio.Future[list[Result]]] = set()

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Refuse: a host is asynchronous."""
        raise NotImplementedError("a host's store is asynchronous: use `abatch`")

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do what is asked in one step."""
        with self._guard("the users' constraints cannot be read or written"):
            running = asyncio.ensure_future(self._store.abatch(list(ops)))
            self._running.add(running)
            running.add_done_callback(self._running.discard)
            return await asyncio.shield(running)

    async def finish(self) -> None:
        """Wait for the operations that are under way. Await this before the connection is closed."""
        await asyncio.gather(*self._running, return_exceptions=True)


async def end_background_task(store: AsyncBatchedBaseStore) -> None:
    """End the task in which a store of LangGraph's gathers operations; it would outlive the event loop."""
    if store._task is not None:
        store._task.cancel()
        await asyncio.wait({store._task})


def _thread_of(config: RunnableConfig) -> str:
    return str(config.get("configurable", {})["thread_id"])
