"""Threads found by what was said in them, for clients that send no thread id."""

import json
from collections.abc import Sequence
from hashlib import sha256

from langgraph.store.base import BaseStore

from mirror_graph.host.heads import HEADS
from mirror_graph.ledger.user_constraints import namespace
from mirror_graph.serve.matching import Line


class Heads:
    """Where each thread of a user ends, by a hash of its whole transcript.

    The hash is of everything that both sides wrote: two conversations that begin "Hi" share their beginning. It
    stands only at the thread's end, and whoever finds a thread takes it away: two conversations of the same words
    cannot then go on in one thread. A caller must be the only one who takes from a user at a time.
    """

    def __init__(self, store: BaseStore, user_id: str) -> None:
        self._store = store
        self._place = namespace(user_id, HEADS)

    async def take(self, transcript: Sequence[Line]) -> str | None:
        """Return the thread that ends with `transcript`, and forget that it does."""
        key = _hash(transcript)
        item = await self._store.aget(self._place, key)
        if item is None:
            return None
        await self._store.adelete(self._place, key)
        return str(item.value["thread"])

    async def put(self, transcript: Sequence[Line], thread: str) -> None:
        """Note that `thread` ends with `transcript`. Of two such threads the later one is found."""
        await self._store.aput(self._place, _hash(transcript), {"thread": thread}, index=False)


def _hash(transcript: Sequence[Line]) -> str:
    """Hash a transcript so that no two share a hash: neither "ab", "c" and "a", "bc", nor two sides exchanged."""
    written = [[line.is_users, line.text] for line in transcript]
    return sha256(json.dumps(written).encode()).hexdigest()
