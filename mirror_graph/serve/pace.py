"""How much each user may ask for: turns in a minute, and tokens in a day."""

import os
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping

from mirror_graph.errors import ConfigurationError, MirrorError
from mirror_graph.scheduling import spending

PER_MINUTE = "MIRROR_USER_TURNS_PER_MINUTE"

DEFAULT_PER_MINUTE = 20

USERS = 10_000
"""How many users' turns of the last minute a process remembers."""

RETRY_AFTER = {"Retry-After": "60"}


class TooManyTurnsError(MirrorError):
    """A user asks for more than a server allows: turns in a minute, or tokens in a day."""


class Pace:
    """How many turns each user has begun in the last minute in this process, and what they have spent today.

    `spent` returns the tokens of a user today. None for a limit sets none.
    """

    def __init__(self, per_minute: int | None, per_day: int | None, spent: Callable[[str], Awaitable[int]]) -> None:
        self._per_minute = per_minute
        self._per_day = per_day
        self._spent = spent
        self._begun: dict[str, deque[float]] = {}

    async def check(self, user_id: str, now: float | None = None) -> None:
        """Count a turn. Raises `TooManyTurnsError` if it is one too many, or if the user's tokens are spent."""
        at = time.monotonic() if now is None else now
        begun = self._begun.pop(user_id, deque())
        while begun and begun[0] <= at - 60:
            begun.popleft()
        self._begun[user_id] = begun  # the last in the order
        if self._per_minute is not None and len(begun) >= self._per_minute:
            raise TooManyTurnsError(f"more than {self._per_minute} turns in a minute: try again later")
        if self._per_day is not None and await self._spent(user_id) >= self._per_day:
            raise TooManyTurnsError(f"the {self._per_day:,} tokens of today are spent: try again tomorrow (UTC)")
        begun.append(at)
        while len(self._begun) > USERS:
            self._begun.pop(next(iter(self._begun)))


def turns_per_minute(environment: Mapping[str, str] = os.environ) -> int:
    """Return how many turns a user may begin in a minute."""
    return _whole(PER_MINUTE, environment.get(PER_MINUTE) or str(DEFAULT_PER_MINUTE))


def tokens_per_day(environment: Mapping[str, str] = os.environ) -> int | None:
    """Return how many tokens a user may spend in a day, or None if there is no limit."""
    text = environment.get(spending.VARIABLE)
    return _whole(spending.VARIABLE, text) if text else None


def _whole(name: str, text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ConfigurationError(f"{name} is {text!r}: expected a whole number from 1")
    return int(text)
