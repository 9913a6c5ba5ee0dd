"""A limit on how many passes run at once, shared fairly between users."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class FairSemaphore:
    """Admits `size` holders at once, at most half of them for one owner. The least served owner goes first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._share = max(1, size // 2)
        self._taken: Counter[str] = Counter()
        self._waiting: list[tuple[str, asyncio.Future[None]]] = []

    @asynccontextmanager
    async def slot(self, owner: str) -> AsyncIterator[None]:
        """Wait for a slot, and hold it for the length of the block."""
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((owner, turn))
        self._admit()
        try:
            await turn
            yield
        finally:
            if turn.done() and not turn.cancelled():
                self._taken[owner] -= 1
                self._taken += Counter()  # drops the zeros, or owners would pile up
            else:
                self._waiting.remove((owner, turn))
            self._admit()

    def _admit(self) -> None:
        while self._taken.total() < self._size:
            # A waiter that was cancelled stands here until its task wakes.
            ready = [
                (owner, turn) for owner, turn in self._waiting if not turn.done() and self._taken[owner] < self._share
            ]
            if not ready:
                return
            owner, turn = min(ready, key=lambda waiter: self._taken[waiter[0]])
            self._waiting.remove((owner, turn))
            self._taken[owner] += 1
            turn.set_result(None)
