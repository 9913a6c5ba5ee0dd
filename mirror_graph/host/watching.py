"""Watching a conversation's mind: what has changed reaches every watcher, and a slow one gets the newest."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from mirror_graph.host.mind import Mind
from mirror_graph.state import Thought

EventKind = Literal["mind", "thought"]

THOUGHTS = 64
"""How many thoughts wait for a watcher that reads slowly; older ones leave. Of minds only the newest waits."""


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

    def __init__(self, user_id: str | None, load: Callable[[], Awaitable[Mind]]) -> None:
        self.user_id = user_id
        self.watchers: set[_Watcher] = set()
        self._load = load
        self._is_stale = False
        self._loading: asyncio.Task[None] | None = None

    def note_change(self) -> None:
        """Load the mind again. Changes during a load lead to one more."""
        self._is_stale = True
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._load_while_stale(), name="mirror-watching")

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

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}
        self._is_closed = False

    async def watch(
        self, thread_id: str, user_id: str | None, load: Callable[[], Awaitable[Mind]]
    ) -> AsyncGenerator[MindEvent]:
        """Yield the present mind of a thread, and then what becomes of it, until the host closes.

        `load` returns the mind as it is. Its errors are raised here.
        """
        if self._is_closed:
            return
        watched = self._watched.setdefault(thread_id, _Watched(user_id, load))
        watcher = _Watcher()
        watched.watchers.add(watcher)
        watched.note_change()
        seen: Mind | None = None
        try:
            while not watcher.is_over:
                await watcher.wake.wait()
                watcher.wake.clear()
                while watcher.thoughts:
                    yield watcher.thoughts.popleft()
                mind, watcher.mind = watcher.mind, None
                if mind is not None and mind != seen:
                    seen = mind
                    yield MindEvent("mind", mind)
                if watcher.error is not None:
                    raise watcher.error
        finally:
            watched.watchers.discard(watcher)
            if not watched.watchers and self._watched.get(thread_id) is watched:
                del self._watched[thread_id]

    def note_change(self, thread_id: str, user_id: str | None = None) -> None:
        """Note that the mind of a thread may have changed; with a `user_id`, that of the user's other threads too."""
        for watched_id, watched in self._watched.items():
            if watched_id == thread_id or (user_id is not None and watched.user_id == user_id):
                watched.note_change()

    def show_thought(self, thread_id: str, thought: Thought) -> None:
        """Show the watchers of a thread a thought that is not stored yet."""
        watched = self._watched.get(thread_id)
        for watcher in watched.watchers if watched else ():
            watcher.thoughts.append(MindEvent("thought", thinker=thought["thinker"], text=thought["text"]))
            watcher.wake.set()

    async def close(self) -> None:
        """End every watch, without an error."""
        self._is_closed = True
        for watched in list(self._watched.values()):
            await watched.stop()
            for watcher in watched.watchers:
                watcher.is_over = True
                watcher.wake.set()
