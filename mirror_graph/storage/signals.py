"""How the hosts of one database learn of each other's changes, for those who watch a mind."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import NamedTuple, Protocol

POLL_SECONDS = 0.5
"""How often a host looks into a SQLite file for changes, by one or two statements whatever it watches."""

LOOK_SECONDS = 30.0
"""How often a host reads again whatever it watches, because a host that was killed sends no signal."""

OBJECTS_SECONDS = 5.0
"""How often a host reads again what it watches in a checkpointer of the program's own, which sends no signals."""


class News(NamedTuple):
    """A change: of a thread's mind, of the threads of `owner`, or of anything if both are empty.

    With a `thinker`, it is a thought of a pass under way, which is stored nowhere.
    """

    thread_id: str = ""
    owner: str = ""
    thinker: str = ""
    text: str = ""


class Place(NamedTuple):
    """What a watcher reads: a thread, the thread of its mind, and the facts of its owner, named by a hash."""

    thread_id: str
    mind_id: str
    owner: str


Watched = Callable[[], Sequence[Place]]
"""Returns what is watched at the moment."""


class Signals(Protocol):
    """Tells the other hosts of a database what changed, and hears of it from them."""

    async def send(self, news: News) -> None:
        """Tell the other hosts."""
        ...

    def receive(self, watched: Watched) -> AsyncGenerator[News]:
        """Yield what other hosts changed, for as long as it is iterated over."""
        ...


class NoSignals:
    """The signals of a database that only one host can have."""

    async def send(self, news: News) -> None:
        """Do nothing."""

    async def receive(self, watched: Watched) -> AsyncGenerator[News]:
        """Yield nothing."""
        if watched is None:  # a generator that yields nothing
            yield News()


class LookingSignals:
    """Signals where nothing better is known: everything may have changed every few seconds."""

    async def send(self, news: News) -> None:
        """Do nothing: the other hosts look by themselves."""

    async def receive(self, watched: Watched) -> AsyncGenerator[News]:
        """Yield that something may have changed, again and again."""
        while True:
            await asyncio.sleep(OBJECTS_SECONDS)
            yield News()


class PollingSignals:
    """Signals of a database that can be asked cheaply whether it changed (`version`), and where (`stamps`)."""

    def __init__(
        self,
        version: Callable[[], Awaitable[int]],
        stamps: Callable[[Sequence[Place]], Awaitable[dict[str, str]]],
    ) -> None:
        self._version = version
        self._stamps = stamps

    async def send(self, news: News) -> None:
        """Do nothing: the other hosts look by themselves. A thought is not stored, so they do not see it."""

    async def receive(self, watched: Watched) -> AsyncGenerator[News]:
        """Yield the watched threads that changed since the last look, and those that are new among them."""
        known: dict[str, str] = {}
        version = -1
        while True:
            places = watched()
            latest = await self._version()
            if latest != version or any(place.thread_id not in known for place in places):
                stamps = await self._stamps(places)
                changed = [place.thread_id for place in places if known.get(place.thread_id) != stamps[place.thread_id]]
                version, known = latest, stamps
                for thread_id in changed:
                    yield News(thread_id)
            await asyncio.sleep(POLL_SECONDS)
