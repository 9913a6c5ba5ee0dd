"""What each user's conversations have spent today, in tokens, as items of the store."""

import os
from collections.abc import Iterable, Mapping
from typing import Any

from langgraph.store.base import BaseStore

from mirror_graph.ledger.user_constraints import ROOT, owner_mark
from mirror_graph.scheduling.budget import today
from mirror_graph.state import MindState

VARIABLE = "MIRROR_USER_TOKENS_PER_DAY"

THREADS = 1_000
"""How many threads of a user are counted in a day."""


def spent_place(user_id: str) -> tuple[str, ...]:
    """Return where a user's spending is stored: one item per thread."""
    return ROOT, owner_mark(user_id), "spent"


async def record_spending(store: BaseStore, user_id: str, thread_id: str, state: MindState) -> None:
    """Store how much a thread has taken up to now, if the server limits what a user may spend.

    What a pass takes after the last reply of a thread is counted with its next turn.
    """
    if not os.environ.get(VARIABLE):
        return
    place, day = spent_place(user_id), today().isoformat()
    total = sum(used["total"]["input"] + used["total"]["output"] for used in state["usage"].values())
    item = await store.aget(place, thread_id)
    before: dict[str, Any] = item.value if item else {"day": "", "start": 0, "total": 0}
    start = before["start"] if before["day"] == day else before["total"]
    await store.aput(place, thread_id, {"day": day, "start": start, "total": max(total, start)}, index=False)


def spent_today(items: Iterable[Mapping[str, Any]]) -> int:
    """Return what the threads of these items have spent today (UTC)."""
    day = today().isoformat()
    return sum(item["total"] - item["start"] for item in items if item.get("day") == day)
