"""When the pieces of a reply come."""

import time
from collections.abc import AsyncIterable
from typing import NamedTuple, Protocol

from mirror_graph.errors import ReplyError


class Chat(Protocol):
    """Anything that can be talked to."""

    def stream(self, text: str, /) -> AsyncIterable[str]:
        """Say something and iterate over the pieces of the reply, for as long as the stream stays open."""
        ...


class Timing(NamedTuple):
    """Seconds from asking to the first piece of a reply, to its last, and to the end of its stream."""

    first: float
    last: float
    end: float


async def timed(pieces: AsyncIterable[str]) -> Timing:
    """Read a reply to its end and say when its pieces came. Raises `ReplyError` where none did."""
    asked = time.perf_counter()
    times = await piece_times(pieces)
    return Timing(times[0], times[-1], time.perf_counter() - asked)


async def piece_times(pieces: AsyncIterable[str]) -> list[float]:
    """Read a reply to its end and return the seconds to each of its pieces. Raises `ReplyError` if there are none."""
    asked = time.perf_counter()
    times = [time.perf_counter() - asked async for piece in pieces if piece]
    if not times:
        raise ReplyError("no text came")
    return times
