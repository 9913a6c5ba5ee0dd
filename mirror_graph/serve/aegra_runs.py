"""One run at a time on a thread of Aegra, which would make both at once and keep the slower one's turn alone."""

import asyncio
import sys
import time
from importlib import import_module
from typing import Any, NamedTuple

from langgraph_sdk import Auth

INSERT_SECONDS = 2.0
"""How long Aegra may take to store a run after it was allowed."""

UNDER_WAY = ("pending", "running")

ADVICE = "a reply on this thread is under way: send the message again after it"


class _Allowed(NamedTuple):
    """When a run was last allowed on a thread, and how many its thread had before."""

    at: float
    runs: int


class OneRun:
    """Refuses a second run on a thread. Two that begin within milliseconds in two processes are both allowed."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._allowed: dict[str, _Allowed] = {}

    async def check(self, thread_id: str) -> None:
        """Raise the answer 409 if a run is under way on a thread. Nothing of the refused one is stored."""
        async with self._lock:
            statuses, now = await _statuses(thread_id), time.monotonic()
            self._allowed = {key: seen for key, seen in self._allowed.items() if now - seen.at < INSERT_SECONDS}
            last = self._allowed.get(thread_id)
            is_being_stored = last is not None and last.runs == len(statuses)
            if is_being_stored or any(status in UNDER_WAY for status in statuses):
                raise Auth.exceptions.HTTPException(409, ADVICE)
            self._allowed[thread_id] = _Allowed(now, len(statuses))


def is_in_aegra() -> bool:
    """Say whether this process is an Aegra server's."""
    return "aegra_api" in sys.modules


async def _statuses(thread_id: str) -> list[str]:
    """Return the statuses of a thread's runs, as Aegra's database has them."""
    orm: Any = import_module("aegra_api.core.orm")
    sqlalchemy: Any = import_module("sqlalchemy")
    async with orm.get_session_maker()() as session:
        found = await session.scalars(sqlalchemy.select(orm.Run.status).where(orm.Run.thread_id == thread_id))
        return list(found)
