"""Where the mind of an agent's thread is stored: in the agent's store, or next to the thread in its checkpointer."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointMetadata, CheckpointTuple, empty_checkpoint
from langgraph.constants import CONF, CONFIG_KEY_CHECKPOINTER
from langgraph.store.base import BaseStore, Op, Result

from mirror_graph.agents.record import AgentRecord, record_in
from mirror_graph.encryption import Keyring, seal_store
from mirror_graph.errors import ConfigurationError
from mirror_graph.scheduling import ThinkingPass
from mirror_graph.scheduling.base import mind_from
from mirror_graph.scheduling.item_store import ItemMindStore, join_minds
from mirror_graph.scheduling.thinking_pass import Meter, MindStore, ThinkerGraph, think
from mirror_graph.state import MindState, Narrative, empty_mind
from mirror_graph.state.values import AnsweredTurn
from mirror_graph.storage.sealing import CheckpointSeal

NAMESPACE = "mirror"
"""The checkpoint namespace of a thread in which its mind is stored, as a subgraph's state is in one of its own."""

CHANNEL = "mind"

NARRATIVES = 20
"""How many earlier narratives are looked for, to go back to one of them."""


@dataclass(frozen=True)
class Home:
    """What an agent was compiled with. `is_sync` says that its checkpointer and store are used without an event loop.

    With a store, minds are items of it. Without one, they are stored in the checkpointer.
    """

    store: BaseStore | None
    saver: BaseCheckpointSaver[Any] | None
    is_sync: bool
    key: tuple[int, int, bool] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", (id(self.store), id(self.saver), self.is_sync))

    @property
    def usable_store(self) -> BaseStore | None:
        """The store as a coroutine may use it, however the agent runs. It encrypts, if there is a key."""
        if self.store is None:
            return None
        return seal_store(_BlockingStore(self.store) if self.is_sync else self.store)

    def minds(self, thinker: ThinkerGraph) -> MindStore:
        """Return the minds that are stored here, thought further by `thinker`."""
        store = self.usable_store
        return ItemMindStore(store, thinker) if store is not None else CheckpointMinds(self._saver(), thinker)

    async def record(self, thread_id: str) -> AgentRecord:
        """Return the record in the thread's last checkpoint; an empty one if the agent keeps no thread."""
        if self.saver is None:
            return record_in({})
        found = await self._saver().get(_config(thread_id, ""))
        return record_in(found.checkpoint["channel_values"] if found else {})

    def _saver(self) -> "_Saver":
        assert self.saver is not None
        return _Saver(self.saver, self.is_sync)


def home_in(store: BaseStore | None, config: RunnableConfig, *, is_sync: bool) -> Home:
    """Return the home of the run under way. Raises `ConfigurationError` if there is none."""
    saver = config.get(CONF, {}).get(CONFIG_KEY_CHECKPOINTER)
    saver = saver if isinstance(saver, BaseCheckpointSaver) else None
    if store is None and saver is None:
        raise ConfigurationError(
            "MirrorMiddleware has nowhere to keep a mind: the agent has neither a checkpointer nor a store; "
            "give it one, such as create_agent(..., checkpointer=InMemorySaver())"
        )
    return Home(store, saver, is_sync)


def thread_in(config: RunnableConfig) -> str:
    """Return the thread of the run under way, whatever text it is. Raises `ConfigurationError` if there is none."""
    thread_id = config.get(CONF, {}).get("thread_id")
    if thread_id is None or thread_id == "":
        raise ConfigurationError(
            "MirrorMiddleware keeps a mind for each conversation, and this run belongs to none: "
            'pass config={"configurable": {"thread_id": "..."}}'
        )
    return str(thread_id)


class CheckpointMinds:
    """Minds in the checkpointer of an agent, each on the agent's own thread and in a namespace of its own.

    Deleting the thread deletes the mind with it, and a run of the agent and a pass never write to the same place.
    """

    def __init__(self, saver: "_Saver", thinker: ThinkerGraph) -> None:
        self._saver = saver
        self._thinker = thinker

    async def load(self, thread_id: str, owner: str | None = None, branch: Sequence[AnsweredTurn] = ()) -> MindState:
        """Return the newest mind of a thread. It is part of the thread, so whoever has the thread has its mind."""
        found = await self._saver.get(_config(thread_id, NAMESPACE))
        return mind_from(found.checkpoint["channel_values"][CHANNEL]) if found else empty_mind()

    async def narratives(self, thread_id: str, owner: str | None = None) -> list[Narrative]:
        """Return the narratives of the last commits, oldest first."""
        commits = await self._saver.newest(_config(thread_id, NAMESPACE), NARRATIVES)
        minds = [mind_from(found.checkpoint["channel_values"][CHANNEL]) for found in reversed(commits)]
        return [mind["narrative"] for mind in minds if mind["narrative"]["text"]]

    async def think(self, mind: MindState, work: ThinkingPass, meter: Meter) -> MindState:
        """Return `mind` after a pass. Nothing is stored."""
        return await think(self._thinker, mind, work, meter)

    async def commit(self, work: ThinkingPass, mind: MindState) -> None:
        """Merge `mind` into the stored one. A thread that was deleted in the meantime stays deleted."""
        place = _config(work.thread_id, NAMESPACE)
        found = await self._saver.get(place)
        if found is None and work.turn > 1 and await self._saver.get(_config(work.thread_id, "")) is None:
            return
        earlier = mind_from(found.checkpoint["channel_values"][CHANNEL]) if found else empty_mind()
        await self._saver.put(place, found, join_minds(earlier, mind))


@dataclass(frozen=True)
class _Saver:
    """A checkpointer, used from a coroutine by whichever of its two sets of methods the agent uses.

    The mind is encrypted, if there is a key. The rest of the thread is written by the agent itself.
    """

    inner: BaseCheckpointSaver[Any]
    is_sync: bool
    seal: CheckpointSeal = field(default_factory=lambda: CheckpointSeal(Keyring.chosen(None)))

    async def get(self, config: RunnableConfig) -> CheckpointTuple | None:
        if self.is_sync:
            found = await asyncio.to_thread(self.inner.get_tuple, config)
        else:
            found = await self.inner.aget_tuple(config)
        return self.seal.open(found) if found else None

    async def newest(self, config: RunnableConfig, limit: int) -> list[CheckpointTuple]:
        if self.is_sync:
            stored = await asyncio.to_thread(lambda: list(self.inner.list(config, limit=limit)))
        else:
            stored = [found async for found in self.inner.alist(config, limit=limit)]
        return [self.seal.open(found) for found in stored]

    async def put(self, config: RunnableConfig, found: CheckpointTuple | None, mind: MindState) -> None:
        checkpoint = empty_checkpoint()
        before = found.checkpoint["channel_versions"].get(CHANNEL) if found else None
        version = self.inner.get_next_version(before, None)
        checkpoint["channel_values"] = {CHANNEL: mind}
        checkpoint["channel_versions"] = {CHANNEL: version}
        place = found.config if found else config
        metadata: CheckpointMetadata = {"source": "update", "step": mind["turn"], "parents": {}}
        checkpoint = self.seal.seal(checkpoint, place)
        if self.is_sync:
            await asyncio.to_thread(self.inner.put, place, checkpoint, metadata, {CHANNEL: version})
        else:
            await self.inner.aput(place, checkpoint, metadata, {CHANNEL: version})


class _BlockingStore(BaseStore):
    """A store that is used without an event loop, as a coroutine may use it."""

    def __init__(self, inner: BaseStore) -> None:
        self._inner = inner

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        return self._inner.batch(ops)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        return await asyncio.to_thread(self._inner.batch, list(ops))


def _config(thread_id: str, namespace: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace}}
