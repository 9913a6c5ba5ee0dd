"""Conversations that are open in a browser: their turns as tasks of the server, and what changes in them."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal
from weakref import WeakValueDictionary

from mirror_graph.errors import MirrorError, StorageError
from mirror_graph.host import Conversation, MindEvent, Mirror
from mirror_graph.host.reply import ReplyStream
from mirror_graph.serve.errors import STORAGE_PROBLEM
from mirror_graph.serve.view import shown_ledger, shown_messages, shown_mind

log = logging.getLogger(__name__)

LOOK_SECONDS = 30.0
"""How often an open page looks for what changed without a signal, such as an edit by another process."""

WATCH_AGAIN_SECONDS = 1.0
"""How long to wait before a watch that the database broke is tried again."""


class BusyError(MirrorError):
    """A reply is under way in this conversation."""

    def __init__(self) -> None:
        super().__init__("a reply is under way: wait until it ends, or stop it")


@dataclass
class LiveTurn:
    """A turn under way, or one that gave no reply. `id` and `message` are what is answered."""

    id: str
    message: str
    text: str = ""
    status: Literal["running", "stopped", "failed"] = "running"
    error: str = ""


class LiveConversation:
    """A conversation while a page shows it or a turn of it is under way. All pages that show it share one."""

    def __init__(self, mirror: Mirror, user: str, name: str, changed: Callable[[], None]) -> None:
        self.conversation: Conversation = mirror.conversation(name, user_id=user)
        self.turn: LiveTurn | None = None
        self.thoughts: dict[str, str] = {}
        """What the thinkers of the pass under way have thought so far."""
        self.stored = 0
        """How often what is stored has changed since this object was made."""
        self._mirror = mirror
        self._user = user
        self._name = name
        self._changed = changed
        self._next = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._watchers = 0
        self._watching: asyncio.Task[None] | None = None
        self._read_turn = -1

    def next_change(self) -> asyncio.Event:
        """Return an event that the next change sets. Take it before you read, or a change in between is missed."""
        return self._next

    def has_changed(self) -> None:
        """Let every page that shows this conversation read again what is stored."""
        self.stored += 1
        self._signal()

    def start(self, message_id: str, message: str, stream: Callable[[], ReplyStream]) -> None:
        """Start a turn as a task of the server, so that it outlives the page that asked for it.

        Raises `BusyError` while another one is under way.
        """
        if self.is_busy:
            raise BusyError
        self.turn = LiveTurn(message_id, message)
        self._task = asyncio.create_task(self._run(self.turn, stream))
        _tasks.add(self._task)
        self._task.add_done_callback(_tasks.discard)
        self._signal()

    @property
    def is_busy(self) -> bool:
        """Whether a reply is under way."""
        return self.turn is not None and self.turn.status == "running"

    async def stop(self) -> None:
        """Stop the turn under way, and return when it has ended. The user's message stays."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def read(self) -> dict[str, Any]:
        """Return all that a page shows of this conversation and its user, read from the database."""
        messages = shown_messages(await self.conversation.transcript())
        mind = await self.conversation.mind()
        own = {entry["id"] for entry in await self._mirror.user(self._user).constraints()}
        return {
            "user": self._user,
            "messages": messages,
            "mind": shown_mind(mind),
            "ledger": shown_ledger(mind.constraints, own),
            "conversations": await listed(self._mirror, self._user),
        }

    async def has_answered(self, message_id: str) -> bool:
        """Say whether the message has its reply already."""
        messages = shown_messages(await self.conversation.transcript())
        ids = [message["id"] for message in messages]
        return message_id in ids and any(message["role"] == "reply" for message in messages[ids.index(message_id) :])

    async def forget(self) -> None:
        """Erase the conversation, with the turn under way."""
        await self.stop()
        await self.conversation.forget()
        self.turn, self.thoughts = None, {}

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch the mind for the length of the block; blocks of several pages share one watch."""
        self._watchers += 1
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            self._watchers -= 1
            if not self._watchers:
                self._watching.cancel()
                self._watching = None

    async def _run(self, turn: LiveTurn, stream: Callable[[], ReplyStream]) -> None:
        try:
            async for piece in stream():
                turn.text += piece
                self._signal()
        except asyncio.CancelledError:
            turn.status = "stopped"
        except StorageError:
            log.exception("thread %s: a turn failed in the database", self.conversation.thread_id)
            turn.status, turn.error = "failed", STORAGE_PROBLEM
        except MirrorError as error:
            turn.status, turn.error = "failed", str(error)
        except Exception:
            log.exception("thread %s: a turn failed", self.conversation.thread_id)
            turn.status, turn.error = "failed", "the server could not answer; its log says why"
        else:
            self.turn = None
        finally:
            self.stored += 1
            self._signal()
            self._changed()

    async def _watch(self) -> None:
        while True:
            try:
                async for event in self.conversation.watch():
                    self._take(event)
                return  # the host closes
            except StorageError as error:
                log.warning("thread %s: its mind cannot be watched: %s", self.conversation.thread_id, error)
                await asyncio.sleep(WATCH_AGAIN_SECONDS)

    def _take(self, event: MindEvent) -> None:
        if event.kind == "thought":
            self.thoughts[event.thinker] = event.text
            self._signal()
            return
        # A turn that was answered and an edit change the mind too, while the pass under way goes on.
        if event.mind is not None and event.mind.turn != self._read_turn:
            self._read_turn, self.thoughts = event.mind.turn, {}
        self.has_changed()

    def _signal(self) -> None:
        happened, self._next = self._next, asyncio.Event()
        happened.set()


class LiveConversations:
    """The conversations of a server that are open now, by user and name."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._open: WeakValueDictionary[tuple[str, str], LiveConversation] = WeakValueDictionary()

    def conversation_of(self, user: str, name: str) -> LiveConversation:
        """Return a user's conversation, the same object for as long as somebody uses it."""
        live = self._open.get((user, name))
        if live is None:
            live = LiveConversation(self._mirror, user, name, lambda: self.have_changed(user))
            self._open[user, name] = live
        return live

    async def listed(self, user: str) -> list[dict[str, Any]]:
        """Return a user's conversations, the latest first."""
        return await listed(self._mirror, user)

    def have_changed(self, user: str) -> None:
        """Let every open page of a user read again what is stored: their ledger or their list changed."""
        for (owner, _), live in list(self._open.items()):
            if owner == user:
                live.has_changed()


class Reader:
    """What one page has been sent, so that it is sent only what is new."""

    def __init__(self, live: LiveConversation) -> None:
        self._live = live
        self._seen = -1
        self._sent: dict[str, str] = {}
        self._turn: LiveTurn | None = None
        self._length = 0

    async def news(self, *, look: bool = False) -> AsyncIterator[tuple[str, Any]]:
        """Yield events: `state` with the values that changed, and `piece` with the next words of a reply.

        The first `state` is a snapshot of everything. `look` reads the database although nothing is known to have
        changed.
        """
        stored: dict[str, Any] = {}
        if look or self._seen != self._live.stored:
            self._seen = self._live.stored
            stored = await self._live.read()
        if changed := self._changed(stored):
            yield "state", changed
        if piece := self._next_words():
            yield "piece", piece

    def _changed(self, stored: dict[str, Any]) -> dict[str, Any]:
        """Return the values that are new. No await can part the turn from its text here: they belong together."""
        turn = self._live.turn
        shown = None if turn is None else {**asdict(turn), "text": ""}
        values = {**stored, "thoughts": dict(self._live.thoughts), "turn": shown}
        changed = {name: value for name, value in values.items() if self._is_new(name, value)}
        if turn is not self._turn:
            self._turn, self._length = turn, 0
        # A state that carries the turn carries its words so far, so that a piece always follows on them.
        if turn is not None and "turn" in changed:
            changed["turn"] = {**changed["turn"], "text": turn.text}
            self._length = len(turn.text)
        return changed

    def _next_words(self) -> str:
        """Return the words of the reply that the page has not been sent."""
        if self._turn is None:
            return ""
        piece, self._length = self._turn.text[self._length :], len(self._turn.text)
        return piece

    def _is_new(self, name: str, value: Any) -> bool:
        written = json.dumps(value, ensure_ascii=False, sort_keys=True)
        if self._sent.get(name) == written:
            return False
        self._sent[name] = written
        return True


async def listed(mirror: Mirror, user: str) -> list[dict[str, Any]]:
    """Return a user's conversations, the latest first."""
    return [
        {"name": one.name, "title": one.title, "updated_at": one.updated_at} for one in await mirror.conversations(user)
    ]


_tasks: set[asyncio.Task[None]] = set()
