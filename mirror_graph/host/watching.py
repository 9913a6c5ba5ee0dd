"""Watching a conversation's mind: what has changed reaches every watcher, and a slow one gets the newest."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Literal

from mirror_graph.errors import StorageError
from mirror_graph.host.mind import Mind
from mirror_graph.ledger.user_constraints import owner_mark
from mirror_graph.scheduling import mind_thread
from mirror_graph.state import Thought
from mirror_graph.storage import Storage
from mirror_graph.storage.signals import News, Place

log = logging.getLogger(__name__)

EventKind = Literal["mind", "thought"]

THOUGHTS = 64
"""How many thoughts wait for a watcher that reads slowly; older ones leave. Of minds only the newest waits."""


UNSENT = 1_000
"""How many signals wait for a database that is slow; older ones leave."""

LOOK_AGAIN_SECONDS = 1.0
"""The pause before the signals of other hosts are read again after an error."""

CLOSE_SECONDS = 1.0
"""How long a host that closes waits for a mind that is being loaded, so that its watchers see the last one."""


@dataclass(frozen=True)
class MindEvent:
    """What a watcher sees: a mind that is stored, or a thought of a pass that is under way.

    A `"mind"` has `mind`. A `"thought"` has `thinker` and `text`. It is not stored: if its pass is cut off by a newer
    one, the thinker thinks again.
    """

    kind: EventKind
    mind: Mind | None = None
    thinker: str = ""
    text: str = ""


@dataclass(eq=False)
class _Watcher:
    """One reader: the thoughts and the newest mind that it has not seen yet."""

    wake: asyncio.Event = field(default_factory=asyncio.Event)
    thoughts: "deque[MindEvent]" = field(default_factory=lambda: deque(maxlen=THOUGHTS))
    mind: Mind | None = None
    error: Exception | None = None
    is_over: bool = False


class _Watched:
    """A thread that somebody watches. Its mind is loaded once for all of its watchers."""

    def __init__(self, owner: str, load: Callable[[], Awaitable[Mind]]) -> None:
        self.owner = owner
        self.watchers: set[_Watcher] = set()
        self._load = load
        self._is_stale = False
        self._loading: asyncio.Task[None] | None = None

    def note_change(self) -> None:
        """Load the mind again. Changes during a load lead to one more."""
        self._is_stale = True
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load_while_stale(), name="mirror-watching")

    def show(self, event: MindEvent) -> None:
        """Show every watcher an event that is not stored."""
        for watcher in self.watchers:
            watcher.thoughts.append(event)
            watcher.wake.set()

    async def stop(self) -> None:
        """Let the load that is under way finish for a moment, and end it."""
        if self._loading is not None:
            await asyncio.wait({self._loading}, timeout=CLOSE_SECONDS)
            self._loading.cancel()
            await asyncio.wait({self._loading})

    async def _load_while_stale(self) -> None:
        while self._is_stale and self.watchers:
            self._is_stale = False
            try:
                mind = await self._load()
            except Exception as error:
                for watcher in self.watchers:
                    watcher.error = error
                    watcher.wake.set()
                return
            for watcher in self.watchers:
                watcher.mind = mind
                watcher.wake.set()


class Watchers:
    """Who watches which thread of a host."""

    def __init__(self, storage: Storage | None = None) -> None:
        self._storage = storage
        self._watched: dict[str, _Watched] = {}
        self._is_closed = False
        self._unsent: deque[News] = deque(maxlen=UNSENT)
        self._sending: asyncio.Task[None] | None = None
        self._receiving: asyncio.Task[None] | None = None

    async def watch(
        self, thread_id: str, user_id: str | None, load: Callable[[], Awaitable[Mind]]
    ) -> AsyncGenerator[MindEvent]:
        """Yield the present mind of a thread, and then what becomes of it, until the host closes.

        `load` returns the mind as it is. Its errors are raised here.
        """
        if self._is_closed:
            return
        watched = self._watched.setdefault(thread_id, _Watched(_owner_of(user_id), load))
        watcher = _Watcher()
        watched.watchers.add(watcher)
        watched.note_change()
        self._start_receiving()
        seen: Mind | None = None
        try:
            while not watcher.is_over:
                await watcher.wake.wait()
                watcher.wake.clear()
                while watcher.thoughts and not watcher.is_over:  # a host that closes waits for no slow reader
                    yield watcher.thoughts.popleft()
                mind, watcher.mind = watcher.mind, None
                if mind is not None and mind != seen:
                    seen = mind
                    yield MindEvent("mind", mind)
                if watcher.error is not None:
                    raise watcher.error
        finally:
            watched.watchers.discard(watcher)
            self._drop_unwatched(thread_id, watched)

    def _drop_unwatched(self, thread_id: str, watched: _Watched) -> None:
        """Drop a thread that no watcher is left for, and stop receiving with the last one."""
        if not watched.watchers and self._watched.get(thread_id) is watched:
            del self._watched[thread_id]
        if not self._watched and self._receiving is not None:
            self._receiving.cancel()
            self._receiving = None

    def note_change(self, thread_id: str, user_id: str | None = None) -> None:
        """Note that the mind of a thread may have changed; with a `user_id`, that of the user's other threads too.

        The watchers of other hosts are told as well.
        """
        self._publish(News(thread_id, _owner_of(user_id)))

    def show_thought(self, thread_id: str, thought: Thought) -> None:
        """Show the watchers of a thread a thought that is not stored yet."""
        self._publish(News(thread_id, thinker=thought["thinker"], text=thought["text"]))

    def _publish(self, news: News) -> None:
        self._take(news)
        if self._storage is not None:
            self._unsent.append(news)
            if self._sending is None or self._sending.done():
                self._sending = asyncio.create_task(self._send(self._storage), name="mirror-signals")

    def _take(self, news: News) -> None:
        """Let the watchers of this host see what changed."""
        for thread_id, watched in self._watched.items():
            if news.thinker:
                if thread_id == news.thread_id:
                    watched.show(MindEvent("thought", thinker=news.thinker, text=news.text))
            elif thread_id == news.thread_id or (watched.owner and watched.owner == news.owner) or news == News():
                watched.note_change()

    async def _send(self, storage: Storage) -> None:
        """Tell the other hosts, in order. News that cannot be sent are dropped: the others look by themselves too."""
        while self._unsent:
            try:
                await storage.send(self._unsent.popleft())
            except StorageError as error:
                log.warning("%s", error)

    def _start_receiving(self) -> None:
        if self._storage is not None and self._receiving is None:
            self._receiving = asyncio.create_task(self._receive(self._storage), name="mirror-signals")

    async def _receive(self, storage: Storage) -> None:
        """Pass on what other hosts changed."""
        while True:
            try:
                async with aclosing(storage.receive(self._places)) as received:
                    async for news in received:
                        self._take(news)
                return
            except StorageError as error:
                log.warning("%s", error)
                await asyncio.sleep(LOOK_AGAIN_SECONDS)
                self._take(News())

    def _places(self) -> list[Place]:
        return [Place(name, mind_thread(name), watched.owner) for name, watched in self._watched.items()]

    async def close(self) -> None:
        """End every watch, without an error."""
        self._is_closed = True
        if self._sending is not None:
            await asyncio.wait({self._sending}, timeout=CLOSE_SECONDS)
        for task in (self._sending, self._receiving):
            if task is not None:
                task.cancel()
                await asyncio.wait({task})
        for watched in list(self._watched.values()):
            await watched.stop()
            for watcher in watched.watchers:
                watcher.is_over = True
                watcher.wake.set()


def _owner_of(user_id: str | None) -> str:
    return owner_mark(user_id) if user_id is not None else ""
