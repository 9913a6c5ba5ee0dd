"""`open_mirror`: a database, the two lanes, and conversations on them."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from os import PathLike
from typing import Any, cast
from uuid import UUID, uuid5

from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig

from mirror_graph.errors import ReplyError
from mirror_graph.graphs import build_talker
from mirror_graph.host.conversation import Conversation, Mind, Reply
from mirror_graph.host.minds import StoredMinds
from mirror_graph.lanes import Pass, mind_thread
from mirror_graph.lanes.local import LocalLane
from mirror_graph.nodes.usage import used
from mirror_graph.state import MirrorContext
from mirror_graph.state.reducers import count_failures, count_usage
from mirror_graph.state.window import last_turn, messages_since
from mirror_graph.storage import Storage, open_storage

THREADS = UUID("5b5f4a51-3c0a-5d33-9d8f-6f1b1f0c2e77")
"""The namespace in which a thread's name becomes its id."""


@asynccontextmanager
async def open_mirror(
    database: str | PathLike[str] | None = None, *, context: MirrorContext | None = None, max_thinking: int = 8
) -> AsyncIterator["Mirror"]:
    """Open a host on `database`: None for memory, a path for a SQLite file, or a `postgresql://` URL.

    `context` is what its conversations start from; at most `max_thinking` passes think at once. On leaving,
    running passes are cancelled: what they were about is thought about after the thread's next turn.

    Raises `ConfigurationError` where the database cannot be opened.
    """
    async with open_storage(database) as storage:
        mirror = Mirror(storage, context or MirrorContext(), max_thinking)
        try:
            yield mirror
        finally:
            await mirror.close()


class Mirror:
    """Conversations on one database. Made by `open_mirror`."""

    def __init__(self, storage: Storage, context: MirrorContext, max_thinking: int = 8) -> None:
        self._storage = storage
        self._context = context
        self._minds = StoredMinds(storage)
        self._lane = LocalLane(self._minds, max_thinking=max_thinking)
        self._talker = build_talker(self._lane).compile(checkpointer=storage.saver, name="talker")

    def conversation(self, thread: str, *, user_id: str | None = None) -> Conversation:
        """Return the conversation named `thread`, of `user_id` where one is given.

        A name is any text; the same name of two users is two conversations.
        """
        owner = user_id if user_id is not None else self._context.user_id
        thread_id = str(uuid5(THREADS, json.dumps([owner, thread])))
        return Conversation(self, thread_id, replace(self._context, user_id=owner))

    async def close(self) -> None:
        """Cancel what is being thought; it is caught up with later."""
        await self._lane.close()

    async def _run(self, thread_id: str, message: HumanMessage, context: MirrorContext) -> AsyncGenerator[str | Reply]:
        """Run one turn: the pieces of the reply, then the reply."""
        config: RunnableConfig = {
            "run_name": "turn",
            "configurable": {"thread_id": thread_id},
            "metadata": {"thread_id": thread_id, "component": "turn"},
        }
        async with self._storage.lock(thread_id):
            # Sync, so that the user's words are in the database before the first token of a reply to them.
            events = cast(
                AsyncGenerator[tuple[str, Any]],
                self._talker.astream(
                    {"messages": [message]},
                    config,
                    context=context,
                    stream_mode=["messages", "updates"],
                    durability="sync",
                ),
            )
            reply: Reply | None = None
            async with aclosing(events):
                async for mode, event in events:
                    if mode == "messages" and isinstance(event[0], AIMessageChunk) and event[0].text:
                        yield event[0].text
                    elif mode == "updates" and "talker" in event:
                        reply = _reply(event["talker"]["messages"])
            if reply is None:
                raise ReplyError("the run ended without a reply")
            yield reply

    async def _messages(self, thread_id: str) -> list[AnyMessage]:
        values = await self._values(thread_id)
        return list(values.get("messages", []))

    async def _mind(self, thread_id: str) -> Mind:
        mind = await self._minds.load(thread_id)
        values = await self._values(thread_id)
        return Mind(
            narrative=mind["narrative"]["text"],
            thoughts={thought["thinker"]: thought["text"] for thought in mind["thoughts"]},
            constraints=tuple(mind["constraints"]),
            turn=mind["turn"],
            lag=max(0, last_turn(values.get("messages", [])) - mind["turn"]),
            failures=count_failures(mind["failures"], values.get("failures", {})),
            usage=count_usage(mind["usage"], values.get("usage", {})),
        )

    async def _settle(self, thread_id: str, context: MirrorContext, timeout: float | None) -> bool:
        try:
            async with asyncio.timeout(timeout):
                await self._lane.settle(thread_id)
                if work := await self._left_over(thread_id, context):
                    await self._lane.schedule(work)
                    await self._lane.settle(thread_id)
        except TimeoutError:
            return False
        return await self._left_over(thread_id, context) is None

    async def _left_over(self, thread_id: str, context: MirrorContext) -> Pass | None:
        """Return the pass that is due and was not made: it failed, or its host was stopped."""
        mind = await self._minds.load(thread_id)
        messages = (await self._values(thread_id)).get("messages", [])
        waiting = messages_since(messages, mind["turn"])
        if not waiting:
            return None
        turn = last_turn(messages)
        return Pass(thread_id, turn, waiting, context, behind=turn - mind["turn"])

    async def _forget(self, thread_id: str) -> None:
        await self._lane.stop(thread_id)
        async with self._storage.lock(thread_id), self._storage.lock(mind_thread(thread_id)):
            await self._storage.forget(thread_id)
            await self._storage.forget(mind_thread(thread_id))

    async def _values(self, thread_id: str) -> dict[str, Any]:
        found = await self._storage.saver.aget_tuple({"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}})
        return found.checkpoint["channel_values"] if found else {}


def _reply(messages: list[AnyMessage]) -> Reply:
    """Find the reply among what the talker wrote."""
    message = next(message for message in messages if isinstance(message, AIMessage))
    mirror = message.response_metadata["mirror"]
    return Reply(message.text, mirror["turn"], mirror["narrative_turn"], mirror["lag"], used(message))
