"""A conversation: one thread to talk on, and the mind behind it."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, cast
from uuid import uuid4

from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig

from mirror_graph.errors import MessageRefusedError
from mirror_graph.host.engine import Engine
from mirror_graph.host.mind import Mind, Paused
from mirror_graph.host.reply import Opening, Reply, ReplyStream
from mirror_graph.lanes import Pass, mind_thread
from mirror_graph.ledger.sharing import is_erased, shared, with_users_word
from mirror_graph.nodes.lane import is_exhausted
from mirror_graph.state import MindState, MirrorContext, Narrative, SafetyConstraint
from mirror_graph.state.branch import current_branch, is_on_branch, lag_of, last_turn, read_turn, rewind
from mirror_graph.state.constraints import merge_constraints, unread
from mirror_graph.state.reducers import count_failures, count_usage
from mirror_graph.state.text import clean, is_unicode
from mirror_graph.state.tokens import count_tokens
from mirror_graph.state.values import AnsweredTurn
from mirror_graph.state.window import pending_exchanges


class Conversation:
    """One thread. Any number of tasks may use it: its turns come one after the other, in the order asked for."""

    def __init__(self, engine: Engine, thread_id: str, context: MirrorContext) -> None:
        self._engine = engine
        self._context = context
        self.thread_id = thread_id
        """The thread's id in the database and in traces."""

    async def say(self, text: str) -> Reply:
        """Say something and return the whole reply.

        Raises `MessageRefusedError` for what is no text, is empty or does not fit the window, and
        `ReplyError` where the model gave no reply: the message is kept, and saying it again tries again.
        """
        stream = self.stream(text)
        async for _ in stream:
            pass
        return stream.reply

    def stream(self, text: str) -> ReplyStream:
        """Say something and iterate over the pieces of the reply as the model emits them.

        Raises as `say` does, before the first piece or, for a reply that breaks off, after some.
        """
        return ReplyStream(self._turn(text))

    async def settle(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109  # the contract's name
        """Wait until thinking has caught up with the conversation, `timeout` seconds at most.

        False where it has not: the time was up, thinking is paused, or the pass failed (see `mind`).
        """
        try:
            async with asyncio.timeout(timeout):
                await self._engine.lane.settle(self.thread_id)
                if work := await self._left_over():
                    await self._engine.lane.schedule(work)
                    await self._engine.lane.settle(self.thread_id)
        except TimeoutError:
            return False
        return (await self.mind()).lag == 0

    async def mind(self) -> Mind:
        """Return what is thought about the conversation so far."""
        values = await self._engine.values(self.thread_id)
        branch = _branch_of(values)
        mind = await self._load_mind(values)
        return Mind(
            narrative=mind["narrative"]["text"],
            thoughts={thought["thinker"]: thought["text"] for thought in mind["thoughts"]},
            constraints=tuple(await self._ledger(mind, values)),
            turn=mind["turn"],
            lag=lag_of(mind, branch),
            failures=count_failures(mind["failures"], values.get("failures", {})),
            usage=count_usage(mind["usage"], values.get("usage", {})),
            paused=self._paused(mind),
        )

    async def history(self) -> list[Narrative]:
        """Return the last narratives of the conversation, oldest first, the newest 20 at most."""
        return await self._engine.storage.history(mind_thread(self.thread_id))

    async def messages(self) -> list[AnyMessage]:
        """Return the window: the messages a reply starts from, oldest first."""
        return list((await self._engine.values(self.thread_id)).get("messages", []))

    async def forget(self) -> None:
        """Erase the thread and its mind from the database."""
        storage = self._engine.storage
        async with storage.lock(self.thread_id):
            await self._engine.lane.stop(self.thread_id)  # behind the turn that is under way, and its pass
            async with storage.lock(mind_thread(self.thread_id)):
                await storage.forget(self.thread_id)
                await storage.forget(mind_thread(self.thread_id))

    async def _turn(self, text: str) -> AsyncGenerator[str | Reply]:
        """Run one turn: the pieces of the reply, then the reply."""
        opening = Opening()
        message = HumanMessage(_accepted(text, self._context.window_tokens), id=str(uuid4()))
        config: RunnableConfig = {
            "run_name": "turn",
            "configurable": {"thread_id": self.thread_id},
            "metadata": {"thread_id": self.thread_id, "component": "turn"},
        }
        async with self._engine.storage.lock(self.thread_id):
            # Sync, so that the user's words are in the database before the first token of a reply to them.
            events = self._engine.talker.astream(
                {"messages": [message]},
                config,
                context=self._context,
                stream_mode=["messages", "updates"],
                durability="sync",
            )
            async with aclosing(cast("AsyncGenerator[tuple[str, Any]]", events)) as events:
                async for mode, event in events:
                    if mode == "messages" and isinstance(event[0], AIMessageChunk):
                        if piece := opening.take(event[0].text):
                            yield piece
                    elif mode == "updates" and "talker" in event:
                        if rest := opening.rest():
                            yield rest
                        reply = next(it for it in event["talker"]["messages"] if isinstance(it, AIMessage))
                        yield Reply.of(reply)
        self._engine.tidy(self.thread_id)

    async def _left_over(self) -> Pass | None:
        """Return the pass that is due and was not made: it failed, or its host was stopped."""
        values = await self._engine.values(self.thread_id)
        mind, branch = await self._load_mind(values), _branch_of(values)
        waiting = pending_exchanges(values.get("messages", []), read_turn(mind), branch)
        if not waiting or self._paused(mind):
            return None
        behind, caught = lag_of(mind, branch), unread(values.get("constraints", []))
        turn = last_turn(branch)
        return Pass(self.thread_id, turn, waiting, self._context, behind, unread=caught, branch=branch)

    async def _load_mind(self, values: dict[str, Any]) -> MindState:
        """Load the newest mind, taken back to the conversation as it stands."""
        mind, branch = await self._engine.minds.load(self.thread_id), _branch_of(values)
        if is_on_branch(mind, branch):
            return mind
        return rewind(mind, branch, values.get("messages", []), await self.history())

    async def _ledger(self, mind: MindState, values: dict[str, Any]) -> list[SafetyConstraint]:
        """Return the ledger as the user left it, with what was written down as words left the window unthought."""
        ledger = merge_constraints(mind["constraints"], values.get("constraints", []))
        if self._context.user_id is not None:
            ledger = with_users_word(ledger, *await shared(self._engine.storage.store, self._context.user_id))
        return [entry for entry in ledger if not is_erased(entry)]

    def _paused(self, mind: MindState) -> Paused:
        if self._context.thinking == "off":
            return "off"
        if is_exhausted(mind, self._context):
            return "thread budget"
        return "daily budget" if self._engine.lane.budget.is_spent else ""


def _branch_of(values: dict[str, Any]) -> list[AnsweredTurn]:
    return current_branch(values.get("messages", []), values.get("branch", []))


def _accepted(text: object, window: int) -> str:
    """Return the cleaned text of a message that fits the window with room for the reply."""
    if not isinstance(text, str):
        raise MessageRefusedError(f"the message is a {type(text).__name__}: expected a text", tokens=0, limit=0)
    if not is_unicode(text):
        raise MessageRefusedError(
            "the message holds half a character (a lone surrogate): decode it again from the bytes it came in",
            tokens=0,
            limit=0,
        )
    words = clean(text)
    if not words.strip():
        raise MessageRefusedError("the message is empty: nothing to answer", tokens=0, limit=window // 2)
    tokens = count_tokens(words)
    if tokens > window // 2:
        raise MessageRefusedError(
            f"the message has {tokens:,} tokens, at most {window // 2:,} fit half of the window: "
            "shorten it or raise window_tokens",
            tokens=tokens,
            limit=window // 2,
        )
    return words
