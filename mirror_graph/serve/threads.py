"""Which thread a request belongs to, and what it asks of that thread."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import NamedTuple
from uuid import uuid4
from weakref import WeakValueDictionary

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage

from mirror_graph.host import Conversation, Mirror
from mirror_graph.ledger.user_constraints import namespace, owner_mark
from mirror_graph.serve.heads import Heads
from mirror_graph.serve.matching import Action, Line, Step, lines_of, lost_turns, next_step

FORKS = "forks"
"""The namespace that counts, by a client's thread id, the threads that its chat has become."""

FORKS_TRIED = 8
"""How many threads of one chat are compared with a request, the newest first."""


_PREFERRED: tuple[Action, ...] = ("say", "adopt", "retake", "edit")


class ThreadId(NamedTuple):
    """A thread id that a client sends. With `sends_all` it is the id of a client that always sends the whole chat."""

    name: str
    sends_all: bool


class Place(NamedTuple):
    """Where a request goes: the thread's name, the conversation, and the step to take there."""

    thread: str
    conversation: Conversation
    step: Step


class Request(NamedTuple):
    """What a request says: the user, what came before, the new message, and the conversation's instructions."""

    user_id: str
    history: Sequence[HumanMessage | AIMessage]
    last: HumanMessage
    instructions: str

    def step_in(self, messages: Sequence[AnyMessage], *, sends_all: bool) -> Step | None:
        """Return what the request asks of a thread whose window is `messages`, or None if it is not its thread."""
        return next_step(
            lines_of(messages),
            lines_of(self.history),
            Line.of(self.last),
            lost=lost_turns(messages),
            sends_all=sends_all,
        )

    @property
    def first_step(self) -> Step:
        """What the request asks of a new thread."""
        return Step("adopt" if self.history else "say")


class Threads:
    """Finds the thread of a request. One per application."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._store = mirror.store
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def place(self, request: Request, thread_id: ThreadId | None) -> AsyncIterator[Place]:
        """Find the thread of a request. No other request comes between until the block ends."""
        if thread_id is None:
            yield await self._by_transcript(request)
            return
        lock = self._locks.setdefault(json.dumps([request.user_id, thread_id.name]), asyncio.Lock())
        async with lock:
            yield await self._by_id(request, thread_id)

    async def note_end(self, request: Request, place: Place, reply: str) -> None:
        """Note the whole transcript of a thread after a reply, for a client that will send it without an id."""
        lines = lines_of([*request.history, request.last, AIMessage(reply)])
        await Heads(self._store, request.user_id).put(lines, place.thread)

    async def give_up(self, request: Request, place: Place) -> None:
        """Leave a thread without a reply: the transcript finds it again, and one that no transcript found is erased."""
        if place.step.action != "adopt" and request.history:
            await Heads(self._store, request.user_id).put(lines_of(request.history), place.thread)
        else:
            await place.conversation.forget()

    async def _by_id(self, request: Request, thread_id: ThreadId) -> Place:
        """Find the thread of a client's id.

        A chat that no longer agrees with its thread, because the client changed what lies further back, goes on in a
        new thread under the next name. The earlier ones are found again when the client goes back to them.
        """
        count = await self._count_forks(request.user_id, thread_id.name)
        found: list[Place] = []
        for number in range(count, max(0, count - FORKS_TRIED), -1):
            place = self._open(request, _fork_name(thread_id.name, number))
            step = request.step_in(await place.conversation.messages(), sends_all=thread_id.sends_all)
            if step is not None:
                found.append(place._replace(step=step))
        if found:
            # To go on comes before to ask again, and that before an edit, which gives up what followed.
            return min(found, key=lambda place: _PREFERRED.index(place.step.action))
        await self._note_forks(request.user_id, thread_id.name, count + 1)
        return self._open(request, _fork_name(thread_id.name, count + 1))

    async def _by_transcript(self, request: Request) -> Place:
        """Find the thread that ends with the request's history, else a new one."""
        name = await self._take(request) if request.history else None
        if name is not None:
            place = self._open(request, name)
            messages = await place.conversation.messages()
            step = request.step_in(messages, sends_all=True)
            # The thread may have gone on since, by its id or on the page, or may have been forgotten. A message at its
            # end that has no reply is the one of a turn that failed.
            is_unanswered = bool(messages) and isinstance(messages[-1], HumanMessage)
            if step == Step("say") or (step is not None and is_unanswered):
                return place._replace(step=step)
        return self._open(request, str(uuid4()))

    async def _take(self, request: Request) -> str | None:
        # Alone among all hosts of the database: two requests of the same words must not both get the thread.
        async with self._mirror.lock(f"heads of {owner_mark(request.user_id)}"):
            return await Heads(self._store, request.user_id).take(lines_of(request.history))

    async def _count_forks(self, user_id: str, thread: str) -> int:
        item = await self._store.aget(namespace(user_id, FORKS), _key_of(thread))
        return int(item.value["count"]) if item else 1

    async def _note_forks(self, user_id: str, thread: str, count: int) -> None:
        await self._store.aput(namespace(user_id, FORKS), _key_of(thread), {"count": count}, index=False)

    def _open(self, request: Request, name: str) -> Place:
        conversation = self._mirror.conversation(
            name, user_id=request.user_id, instructions=request.instructions or None
        )
        return Place(name, conversation, request.first_step)


def _key_of(thread: str) -> str:
    """Return what stands for a client's thread id: the keys of a store are not encrypted."""
    return sha256(thread.encode()).hexdigest()


def _fork_name(thread: str, number: int) -> str:
    return thread if number == 1 else f"{thread}~{number}"
