"""When the pieces of a reply come, and how such times spread."""

import time
from collections.abc import AsyncIterable, Sequence
from statistics import quantiles
from typing import NamedTuple, Protocol

from mirror_graph.errors import ReplyError


class Chat(Protocol):
    """Anything that can be talked to."""

    def stream(self, text: str) -> AsyncIterable[str]:
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


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the value that `percent` percent of `values` do not exceed."""
    if len(values) == 1:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def spread(name: str, seconds: Sequence[float]) -> dict[str, float]:
    """Return the median and the 95th percentile of times as figures, in milliseconds."""
    return {f"{name} {label}, ms": percentile(seconds, percent) * 1_000 for label, percent in PERCENTILES.items()}


PERCENTILES = {"p50": 50, "p95": 95}
