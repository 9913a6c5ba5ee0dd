"""A conversation: one thread to talk on, and the mind behind it."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from langchain_core.messages import AnyMessage, HumanMessage

from mirror_graph.errors import MessageRefusedError
from mirror_graph.state import ComponentUsage, Failure, MirrorContext, SafetyConstraint, Tokens
from mirror_graph.state.text import clean
from mirror_graph.state.tokens import count_tokens

if TYPE_CHECKING:
    from mirror_graph.host.mirror import Mirror


@dataclass(frozen=True)
class Reply:
    """One reply.

    It was given in `turn`, stood on the narrative of `narrative_turn`, and `lag` turns before it had not
    been thought about yet. `usage` is what this call took.
    """

    text: str
    turn: int
    narrative_turn: int
    lag: int
    usage: Tokens


@dataclass(frozen=True)
class Mind:
    """What is thought about a conversation up to `turn`, `lag` turns behind it.

    `thoughts` and `failures` are by thinker and component; `usage` is the whole thread's, the talker's included.
    """

    narrative: str
    thoughts: Mapping[str, str]
    constraints: tuple[SafetyConstraint, ...]
    turn: int
    lag: int
    failures: Mapping[str, Failure]
    usage: Mapping[str, ComponentUsage]


class ReplyStream:
    """The pieces of a reply as the model emits them; `reply` is the whole, once they are through."""

    def __init__(self, pieces: AsyncGenerator[str | Reply]) -> None:
        self._pieces = pieces
        self._reply: Reply | None = None

    def __aiter__(self) -> AsyncIterator[str]:
        """Iterate over the pieces of text."""
        return self._texts()

    @property
    def reply(self) -> Reply:
        """The whole reply. Raises `RuntimeError` before the last piece."""
        if self._reply is None:
            raise RuntimeError("the reply is not through yet: iterate over its pieces first")
        return self._reply

    async def _texts(self) -> AsyncIterator[str]:
        async with aclosing(self._pieces) as pieces:  # a reader who stops early ends the turn
            async for piece in pieces:
                if isinstance(piece, Reply):
                    self._reply = piece
                else:
                    yield piece


class Conversation:
    """One thread. Any number of tasks may use it: its turns come one after the other, in the order asked for."""

    def __init__(self, mirror: "Mirror", thread_id: str, context: MirrorContext) -> None:
        self._mirror = mirror
        self._context = context
        self.thread_id = thread_id
        """The thread's id in the database and in traces."""

    async def say(self, text: str) -> Reply:
        """Say something and return the whole reply.

        Raises `MessageRefusedError` for an empty message or one that does not fit the window, and
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

    async def settle(self, timeout: float | None = None) -> bool:
        """Wait until thinking has caught up with the conversation, `timeout` seconds at most.

        False where it has not: the time was up, thinking is off, or the pass failed (`mind().failures`).
        """
        return await self._mirror._settle(self.thread_id, self._context, timeout)

    async def mind(self) -> Mind:
        """Return what is thought about the conversation so far."""
        return await self._mirror._mind(self.thread_id)

    async def messages(self) -> list[AnyMessage]:
        """Return the window: the messages a reply starts from, oldest first."""
        return await self._mirror._messages(self.thread_id)

    async def forget(self) -> None:
        """Erase the thread and its mind from the database."""
        await self._mirror._forget(self.thread_id)

    async def _turn(self, text: str) -> AsyncGenerator[str | Reply]:
        message = HumanMessage(_accepted(text, self._context.window_tokens), id=str(uuid4()))
        async with aclosing(self._mirror._run(self.thread_id, message, self._context)) as pieces:
            async for piece in pieces:
                yield piece


def _accepted(text: str, window: int) -> str:
    """Return the cleaned text of a message that fits the window with room for the reply."""
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
