"""A scheduler for servers without delayed runs and double texting: tasks of the process, minds in the store."""

import asyncio
from functools import reduce
from typing import Any, cast, get_type_hints
from uuid import uuid4

from langgraph.config import get_store
from langgraph.store.base import BaseStore, SearchItem

from mirror_graph.encryption import seal_store
from mirror_graph.errors import ConfigurationError
from mirror_graph.scheduling.base import ThinkingPass, mind_from, mind_thread
from mirror_graph.scheduling.local import LocalScheduler
from mirror_graph.scheduling.thinking_pass import Meter, ThinkerGraph, think
from mirror_graph.state import MindState, Narrative, empty_mind

REDUCERS = {key: hint.__metadata__[0] for key, hint in get_type_hints(MindState, include_extras=True).items()}

ITEMS = 100
"""The most items of one mind that are read: as many commits may meet in the same moment."""


class StoreScheduler:
    """Schedules passes as tasks of the process that runs the talker. It needs nothing of the server but a store.

    Within a process it keeps the promises of `LocalScheduler`. Two processes do not know each other's passes: a thread
    that moves between them may be thought about twice, and loses nothing by it (`ItemMindStore`).
    """

    def __init__(self, thinker: ThinkerGraph) -> None:
        self._thinker = thinker
        self._schedulers: dict[BaseStore, LocalScheduler] = {}

    async def recall(self, thread_id: str) -> MindState:
        """Read the newest mind from the store."""
        return await self._here().recall(thread_id)

    async def narratives(self, thread_id: str) -> list[Narrative]:
        """Return nothing: a store keeps no earlier versions, so an abandoned narrative is rebuilt from thoughts."""
        return []

    async def schedule(self, work: ThinkingPass) -> None:
        """Take over a pass; returns at once."""
        await self._here().schedule(work)

    def _here(self) -> LocalScheduler:
        """Return the scheduler over the store of the current run. Raises `ConfigurationError` if there is none."""
        store: BaseStore | None = get_store()
        if store is None:
            raise ConfigurationError(
                "there is no store for the mind: compile the talker with a store, pass a scheduler to `build_talker`, "
                "or use `build_mirror` or `open_mirror`"
            )
        if store not in self._schedulers:
            self._schedulers[store] = LocalScheduler(ItemMindStore(seal_store(store), self._thinker))
        return self._schedulers[store]


class ItemMindStore:
    """Minds as items of a store, on which there is no lock: what is written once is never changed.

    A mind is what the items of its thread join to. A commit writes one item, the join of its own mind and all it has
    read, and then deletes those. So of two commits in the same moment neither is lost, whichever comes last.
    """

    def __init__(self, store: BaseStore, thinker: ThinkerGraph) -> None:
        self._store = store
        self._thinker = thinker.copy({"store": store})

    async def load(self, thread_id: str) -> MindState:
        """Return the newest mind of a thread."""
        return _joined(empty_mind(), await self._items(thread_id))

    async def narratives(self, thread_id: str) -> list[Narrative]:
        """Return nothing: a store keeps no earlier versions."""
        return []

    async def think(self, mind: MindState, work: ThinkingPass, meter: Meter) -> MindState:
        """Return `mind` after a pass. Nothing is stored."""
        return await think(self._thinker, mind, work, meter)

    async def commit(self, work: ThinkingPass, mind: MindState) -> None:
        """Merge a mind into the stored one in one write."""
        earlier = await self._items(work.thread_id)
        whole = cast("dict[str, Any]", _joined(mind, earlier))
        await self._store.aput(_place(work.thread_id), str(uuid4()), whole, index=False)
        await asyncio.gather(*(self._store.adelete(item.namespace, item.key) for item in earlier))

    async def forget(self, thread_id: str) -> None:
        """Erase the mind of a thread."""
        items = await self._items(thread_id)
        await asyncio.gather(*(self._store.adelete(item.namespace, item.key) for item in items))

    async def _items(self, thread_id: str) -> list[SearchItem]:
        return await self._store.asearch(_place(thread_id), limit=ITEMS)


def _place(thread_id: str) -> tuple[str, ...]:
    return "mirror", "minds", mind_thread(thread_id)


def _joined(mind: MindState, items: list[SearchItem]) -> MindState:
    return reduce(join_minds, (mind_from(item.value) for item in items), mind)


def join_minds(left: MindState, right: MindState) -> MindState:
    """Merge two minds channel by channel, as a graph merges them."""
    return cast(MindState, {key: merge(left[key], right[key]) for key, merge in REDUCERS.items()})  # type: ignore[literal-required]
