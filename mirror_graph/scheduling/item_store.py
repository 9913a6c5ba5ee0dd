"""A scheduler for servers without delayed runs and double texting: tasks of the process, minds in the store."""

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import reduce
from typing import Any, NamedTuple, cast, get_type_hints
from uuid import uuid4

from langgraph.config import get_store
from langgraph.store.base import BaseStore, SearchItem

from mirror_graph.encryption import seal_store
from mirror_graph.errors import ConfigurationError, StorageError
from mirror_graph.ledger.user_constraints import OWNER, owner_mark
from mirror_graph.scheduling.base import ThinkingPass, is_proven, mind_from, mind_thread
from mirror_graph.scheduling.local import LocalScheduler
from mirror_graph.scheduling.thinking_pass import Meter, ThinkerGraph, think
from mirror_graph.state import MindState, Narrative, empty_mind
from mirror_graph.state.values import AnsweredTurn

log = logging.getLogger(__name__)

REDUCERS = {key: hint.__metadata__[0] for key, hint in get_type_hints(MindState, include_extras=True).items()}

ITEMS = 100
"""The most items of one mind that are read: as many commits may meet in the same moment."""

FORGOTTEN = "forgotten"
"""The key of the item that says when a mind was erased. It holds nothing of the mind."""


class _StoredMind(NamedTuple):
    """A mind, and the item that holds it."""

    item: SearchItem
    mind: MindState


class StoreScheduler:
    """Schedules passes as tasks of the process that runs the talker. It needs nothing of the server but a store.

    Within a process it keeps the promises of `LocalScheduler`. Two processes do not know each other's passes: a thread
    that moves between them may be thought about twice, and loses nothing by it (`ItemMindStore`).
    """

    def __init__(self, thinker: ThinkerGraph) -> None:
        self._thinker = thinker
        self._schedulers: dict[BaseStore, LocalScheduler] = {}

    async def recall(self, thread_id: str, owner: str | None = None, branch: Sequence[AnsweredTurn] = ()) -> MindState:
        """Read the newest mind from the store."""
        return await self._here().recall(thread_id, owner, branch)

    async def narratives(self, thread_id: str, owner: str | None = None) -> list[Narrative]:
        """Return nothing: a store keeps no earlier versions, so an abandoned narrative is rebuilt from thoughts."""
        return []

    async def schedule(self, work: ThinkingPass) -> None:
        """Take over a pass; returns at once."""
        await self._here().schedule(work)

    async def commit(self, work: ThinkingPass, mind: MindState) -> None:
        """Merge a mind that was stored elsewhere into the store."""
        await self._minds_here().commit(work, mind)

    def _here(self) -> LocalScheduler:
        """Return the scheduler over the store of the current run. Raises `ConfigurationError` if there is none."""
        store = _current_store()
        if store not in self._schedulers:
            self._schedulers[store] = LocalScheduler(self._minds_here())
        return self._schedulers[store]

    def _minds_here(self) -> "ItemMindStore":
        return ItemMindStore(seal_store(_current_store()), self._thinker)


class ItemMindStore:
    """Minds as items of a store, on which there is no lock: what is written once is never changed.

    A mind is what the items of its thread join to. A commit writes one item, the join of its own mind and all it has
    read, and then deletes those. So of two commits in the same moment neither is lost, whichever comes last.
    """

    def __init__(self, store: BaseStore, thinker: ThinkerGraph) -> None:
        self._store = store
        self._thinker = thinker.copy({"store": store})

    async def load(self, thread_id: str, owner: str | None = None, branch: Sequence[AnsweredTurn] = ()) -> MindState:
        """Return the newest mind of a thread of `owner`; `branch` is as in `Scheduler.recall`."""
        return _joined(empty_mind(), await self._minds(thread_id, owner, branch))

    async def narratives(self, thread_id: str, owner: str | None = None) -> list[Narrative]:
        """Return nothing: a store keeps no earlier versions."""
        return []

    async def think(self, mind: MindState, work: ThinkingPass, meter: Meter) -> MindState:
        """Return `mind` after a pass. Nothing is stored."""
        return await think(self._thinker, mind, work, meter)

    async def commit(self, work: ThinkingPass, mind: MindState) -> None:
        """Merge a mind into the stored one in one write, unless its thread was forgotten since the pass began."""
        if await self._is_forgotten(work):
            return
        earlier = await self._minds(work.thread_id, work.owner, work.branch)
        whole = cast("dict[str, Any]", _joined(mind, earlier))
        if work.owner is not None:
            whole[OWNER] = owner_mark(work.owner)
        await self._store.aput(_place(work.thread_id, work.owner), str(uuid4()), whole, index=False)
        # An item that could not be read is not among them, and stays.
        await asyncio.gather(*(self._store.adelete(item.namespace, item.key) for item, _ in earlier))

    async def forget(self, thread_id: str, owner: str | None = None) -> None:
        """Erase the mind of a thread, with what could not be read of it."""
        await forget_items(self._store, thread_id, owner)

    async def _is_forgotten(self, work: ThinkingPass) -> bool:
        forgotten = await self._store.aget(_place(work.thread_id, work.owner), FORGOTTEN)
        return forgotten is not None and forgotten.value.get("at", 0.0) >= work.scheduled_at

    async def _minds(self, thread_id: str, owner: str | None, branch: Sequence[AnsweredTurn]) -> list[_StoredMind]:
        """Return the stored minds of a thread: its owner's, or else one that an earlier release stored without one."""
        own = await self._at(_place(thread_id, owner), owner)
        if own or owner is None:
            return own
        unowned = await self._at(_place(thread_id, None), None)
        return [stored for stored in unowned if is_proven(stored.mind, branch)]

    async def _at(self, place: tuple[str, ...], owner: str | None) -> list[_StoredMind]:
        """Return the readable minds at a place. One that cannot be read costs no other."""
        mark = owner_mark(owner) if owner is not None else ""
        minds: list[_StoredMind] = []
        for item in await self._store.asearch(place, limit=ITEMS):
            # What is stored without an owner is above the owners' own places, so a search finds theirs as well.
            if item.namespace != place or item.key == FORGOTTEN or item.value.get(OWNER, "") != mark:
                continue
            mind = _readable(item)
            if mind is not None:
                minds.append(_StoredMind(item, mind))
        return minds


async def forget_items(store: BaseStore, thread_id: str, owner: str | None) -> None:
    """Erase the mind of a thread from a store, with what could not be read of it.

    The time is stored in its place, for passes that are under way in this process or in another.
    """
    place = _place(thread_id, owner)
    await store.aput(place, FORGOTTEN, {"at": time.time()}, index=False)
    items = await store.asearch(place, limit=ITEMS)
    mine = [item for item in items if item.namespace == place and item.key != FORGOTTEN]
    await asyncio.gather(*(store.adelete(item.namespace, item.key) for item in mine))


def _current_store() -> BaseStore:
    store: BaseStore | None = get_store()
    if store is None:
        raise ConfigurationError(
            "there is no store for the mind: compile the talker with a store, pass a scheduler to `build_talker`, "
            "or use `build_mirror` or `open_mirror`"
        )
    return store


def _place(thread_id: str, owner: str | None) -> tuple[str, ...]:
    place = "mirror", "minds", mind_thread(thread_id)
    return place if owner is None else (*place, owner_mark(owner))


def _readable(item: SearchItem) -> MindState | None:
    """Return the mind in an item, or None if the item holds none.

    Raises `StorageError` for a mind that a later release has written: a commit would lose what it holds.
    """
    try:
        return join_minds(empty_mind(), mind_from(item.value))
    except StorageError:
        raise
    except Exception as error:  # whatever a foreign value makes a reducer raise
        log.warning("an item of a mind is no mind, and is left out: %s, %s", item.key, type(error).__name__)
        return None


def _joined(mind: MindState, stored: list[_StoredMind]) -> MindState:
    return reduce(join_minds, (each.mind for each in stored), mind)


def join_minds(left: MindState, right: MindState) -> MindState:
    """Merge two minds channel by channel, as a graph merges them."""
    return cast(MindState, {key: merge(left[key], right[key]) for key, merge in REDUCERS.items()})  # type: ignore[literal-required]
