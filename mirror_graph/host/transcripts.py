"""Transcripts and the list of a user's conversations: what a host stores of a thread beyond its window, if asked to."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.store.base import BaseStore

from mirror_graph.errors import DamagedValueError
from mirror_graph.ledger.user_constraints import ROOT, owner_mark
from mirror_graph.state.branch import turn_of
from mirror_graph.state.content import readable
from mirror_graph.state.window import is_users

TRANSCRIPT_LIMIT = 10_000
"""How many messages of a thread are stored; older ones leave."""

CONVERSATIONS_LIMIT = 1_000
"""How many of a user's conversations are listed, the latest first."""

CHUNK = 20
"""How many messages stand in one item of the store, so that a turn writes one or two items."""

TITLE_LENGTH = 60

HEAD = "head"

_Chunk = tuple[int, list[dict[str, Any]]]
"""The number of a chunk, and its messages as they are stored."""


@dataclass(frozen=True)
class ConversationInfo:
    """A conversation of a user's, as a list shows it.

    `title` is the beginning of the user's first message, and `updated_at` when the last turn was stored, in seconds
    since 1970.
    """

    name: str
    thread_id: str
    title: str
    updated_at: float


class Transcripts:
    """All that was said on each thread, as items of a store. A thread is to be locked for its transcript to be written.

    The end of a transcript is the thread's window, which is stored anyway. So a write that failed loses nothing: the
    next one, and every reader, puts the window in the place of whatever stands there.
    """

    def __init__(self, store: BaseStore) -> None:
        self._store = store

    async def load(self, thread_id: str, window: Sequence[AnyMessage], limit: int) -> list[AnyMessage]:
        """Return the last `limit` messages of a thread, oldest first. `window` is what the thread holds now."""
        chunks = await self._tail(thread_id, len(window) + limit)
        stored = [_message_of(item) for _, chunk in chunks for item in chunk]
        return [*stored[: _overlap(stored, window)], *window][-limit:]

    async def record(self, thread_id: str, user_id: str | None, name: str, window: Sequence[AnyMessage]) -> None:
        """Store what a thread's window holds behind what had left it."""
        shown = [message for message in window if is_shown(message)]
        chunks = await self._tail(thread_id, len(shown))
        start = chunks[0][0] if chunks else 0
        items = _joined(chunks, shown)
        pieces = [items[place : place + CHUNK] for place in range(0, len(items), CHUNK)]
        for number, piece in enumerate(pieces, start):
            if (number, piece) not in chunks:
                await self._put(_place(thread_id), _key(number), {"messages": piece})
        await self._move_ends(thread_id, user_id, start + len(pieces) - 1)
        if user_id is not None:
            await self._list(thread_id, user_id, name, items if start == 0 else [])

    async def forget(self, thread_id: str) -> None:
        """Erase a thread's transcript, and its entry in the list of its user's conversations."""
        head = await self._head(thread_id)
        if head is not None and head["owner"]:
            await self._store.adelete(_listed(head["owner"]), thread_id)
        # A write that broke off may have left what no head tells of.
        while items := await self._store.asearch(_place(thread_id), limit=TRANSCRIPT_LIMIT):
            for item in items:
                await self._store.adelete(item.namespace, item.key)

    async def conversations(self, user_id: str) -> list[ConversationInfo]:
        """Return a user's conversations, the latest first."""
        items = await self._store.asearch(_listed(owner_mark(user_id)), limit=CONVERSATIONS_LIMIT)
        found = [
            ConversationInfo(item.value["name"], item.key, item.value["title"], item.value["updated_at"])
            for item in items
            if item.value.keys() >= {"name", "title", "updated_at"}  # else it was changed, and cannot be read
        ]
        return sorted(found, key=lambda one: one.updated_at, reverse=True)

    async def _head(self, thread_id: str) -> dict[str, Any] | None:
        item = await self._store.aget(_place(thread_id), HEAD)
        return item.value if item is not None else None

    async def _tail(self, thread_id: str, length: int) -> list[_Chunk]:
        """Return the last chunks of a transcript with their numbers: `length` messages and some more."""
        head = await self._head(thread_id)
        if head is None:
            return []
        first = max(head["first"], head["last"] - length // CHUNK - 1)
        chunks: list[_Chunk] = []
        for number in range(first, head["last"] + 1):
            item = await self._store.aget(_place(thread_id), _key(number))
            if item is not None:
                chunks.append((number, item.value["messages"]))
        return chunks

    async def _move_ends(self, thread_id: str, user_id: str | None, last: int) -> None:
        """Note which chunk is the last one, and delete those behind it and those beyond the limit."""
        head = await self._head(thread_id)
        old_first, old_last = (head["first"], head["last"]) if head else (0, -1)
        first = max(old_first, last + 1 - TRANSCRIPT_LIMIT // CHUNK)
        owner = owner_mark(user_id) if user_id is not None else ""
        after = {"first": first, "last": last, "owner": owner}
        if head != after:
            await self._put(_place(thread_id), HEAD, after)
        for number in [*range(old_first, first), *range(last + 1, old_last + 1)]:
            await self._store.adelete(_place(thread_id), _key(number))

    async def _list(self, thread_id: str, user_id: str, name: str, beginning: Sequence[dict[str, Any]]) -> None:
        """Enter a thread in the list of its user's conversations, titled after its `beginning`."""
        try:
            known = await self._store.aget(_listed(owner_mark(user_id)), thread_id)
        except DamagedValueError:
            known = None  # the new entry takes its place
        title = known.value.get("title", "") if known is not None else ""
        texts = [item["text"] for item in beginning if item["type"] == "human"]
        title = _title(texts[0]) if texts else title
        entry = {"name": name, "title": title, "updated_at": time.time()}
        await self._put(_listed(owner_mark(user_id)), thread_id, entry)

    async def _put(self, place: tuple[str, ...], key: str, value: dict[str, Any]) -> None:
        await self._store.aput(place, key, value, index=False)


def is_shown(message: AnyMessage) -> bool:
    """Say whether a message is the user's, or a reply of ours."""
    return is_users(message) or (isinstance(message, AIMessage) and turn_of(message) is not None)


def _joined(chunks: Sequence[_Chunk], window: Sequence[AnyMessage]) -> list[dict[str, Any]]:
    """Return the items of stored chunks up to where the window begins, and then those of the window."""
    stored = [item for _, chunk in chunks for item in chunk]
    earlier = stored[: _overlap([_message_of(item) for item in stored], window)]
    return [*earlier, *map(_item_of, window)]


def _overlap(stored: Sequence[AnyMessage], window: Sequence[AnyMessage]) -> int:
    """Return where in `stored` the window begins: at its end if nothing of the window is in it yet."""
    ids = {message.id for message in window}
    return next((place for place, message in enumerate(stored) if message.id in ids), len(stored))


def _item_of(message: AnyMessage) -> dict[str, Any]:
    """Return a message as it is stored: its text, with a word for each picture, and what a reply notes of itself."""
    item: dict[str, Any] = {"type": message.type, "id": message.id, "text": readable(message), "name": message.name}
    if isinstance(message, AIMessage):
        item["mirror"] = message.response_metadata["mirror"]
    return item


def _message_of(item: dict[str, Any]) -> AnyMessage:
    if item["type"] == "human":
        return HumanMessage(item["text"], id=item["id"], name=item["name"])
    metadata = {"mirror": item["mirror"]}
    return AIMessage(item["text"], id=item["id"], name=item["name"], response_metadata=metadata)


def _title(text: str) -> str:
    words = " ".join(text.split())
    return words if len(words) <= TITLE_LENGTH else words[: TITLE_LENGTH - 1].rstrip() + "…"


def _place(thread_id: str) -> tuple[str, ...]:
    return ROOT, "transcripts", thread_id


def _listed(owner: str) -> tuple[str, ...]:
    return ROOT, "conversations", owner


def _key(number: int) -> str:
    return f"{number:06d}"
