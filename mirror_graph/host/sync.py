"""The host for programs without an event loop of their own: a script, Flask, Django, a notebook."""

import atexit
import os
import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import datetime
from os import PathLike
from types import TracebackType
from typing import Any, Self, Unpack

from langchain_core.messages import AnyMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore

from mirror_graph.guard import Rule
from mirror_graph.host.conversation import Conversation
from mirror_graph.host.history import HistoryMessage
from mirror_graph.host.message import Message
from mirror_graph.host.mind import Mind
from mirror_graph.host.mirror import Mirror, open_mirror
from mirror_graph.host.reply import Reply, ReplyStream
from mirror_graph.host.transcripts import ConversationInfo
from mirror_graph.host.user import ConstraintChanges, User
from mirror_graph.host.watching import MindEvent
from mirror_graph.loop_thread import LoopThread, open_loop_thread
from mirror_graph.state import MirrorContext, Narrative, SafetyConstraint
from mirror_graph.state.offers import ItemSource, Offer
from mirror_graph.state.recommendation import DEFAULT_COUNT
from mirror_graph.state.values import Kind, Severity


def open_mirror_sync(
    database: str | PathLike[str] | None = None,
    *,
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    store: BaseStore | None = None,
    context: MirrorContext | None = None,
    max_thinking: int = 8,
    daily_tokens: int | None = None,
    drain: float = 0.0,
    metadata: Mapping[str, Any] | None = None,
    tags: Sequence[str] = (),
    guard: Rule | None = None,
    key: str | None = None,
    transcripts: bool = False,
) -> "SyncMirror":
    """Open a host as `open_mirror` does, with methods that return when they are done.

    Use it in a `with` block, or close it with `close()`. Its event loop runs in a thread of its own, so it works where
    another loop runs, such as Jupyter's, and any number of threads may use it. What is open when the program ends is
    closed then. A web server that forks its workers has to open it in each worker: a method of one that was opened
    before the fork raises `RuntimeError`, and so does one of a closed one.
    """
    return SyncMirror(
        open_mirror(
            database,
            checkpointer=checkpointer,
            store=store,
            context=context,
            max_thinking=max_thinking,
            daily_tokens=daily_tokens,
            drain=drain,
            metadata=metadata,
            tags=tags,
            guard=guard,
            key=key,
            transcripts=transcripts,
        )
    )


class SyncMirror:
    """Conversations on one database. Made by `open_mirror_sync`."""

    def __init__(self, opening: Any) -> None:
        with ExitStack() as stack:
            self._loop = stack.enter_context(open_loop_thread())
            self._mirror: Mirror = stack.enter_context(self._loop.opened(opening))
            self._open = stack.pop_all()
        _open_mirrors.add(self)

    def close(self) -> None:
        """End the turns and passes as `open_mirror` does on leaving, and the loop. A second call does nothing."""
        _open_mirrors.discard(self)
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def conversation(
        self, thread: str, *, user_id: str | None = None, instructions: str | None = None
    ) -> "SyncConversation":
        """Return the conversation named `thread`, as `Mirror.conversation` does."""
        conversation = self._mirror.conversation(thread, user_id=user_id, instructions=instructions)
        return SyncConversation(self._loop, conversation)

    def conversations(self, user_id: str) -> list[ConversationInfo]:
        """Return the conversations of a user, as `Mirror.conversations` does."""
        return self._loop.run(self._mirror.conversations(user_id))

    def user(self, user_id: str) -> "SyncUser":
        """Return a user, whose constraints can be edited, as `Mirror.user` does."""
        return SyncUser(self._loop, self._mirror.user(user_id))

    def prune(self) -> int:
        """Delete the checkpoints that no reply will read, as `Mirror.prune` does."""
        return self._loop.run(self._mirror.prune())

    def forget_unused(self, since: datetime) -> int:
        """Erase the conversations that were not used after `since`, as `Mirror.forget_unused` does."""
        return self._loop.run(self._mirror.forget_unused(since))

    def encrypt(self) -> int:
        """Encrypt what is stored with the first key, as `Mirror.encrypt` does."""
        return self._loop.run(self._mirror.encrypt())


class SyncConversation:
    """One thread, as `Conversation`, with methods that return when they are done."""

    def __init__(self, loop: LoopThread, conversation: Conversation) -> None:
        self._loop = loop
        self._conversation = conversation
        self.thread_id = conversation.thread_id
        """The thread's id in the database and in traces."""

    def say(self, message: Message, *, config: RunnableConfig | None = None) -> Reply:
        """Send a message and return the whole reply. Raises as `Conversation.say` does."""
        return self._loop.run(self._conversation.say(message, config=config))

    def stream(self, message: Message, *, config: RunnableConfig | None = None) -> "SyncReplyStream":
        """Send a message and iterate over the pieces of the reply as the model emits them."""
        return SyncReplyStream(self._loop, self._conversation.stream(message, config=config))

    def recommend(
        self,
        message: Message,
        k: int = DEFAULT_COUNT,
        source: ItemSource | None = None,
        *,
        config: RunnableConfig | None = None,
    ) -> Offer:
        """Ask for recommendations and return the offer. Does and raises as `Conversation.recommend` does."""
        return self._loop.run(self._conversation.recommend(message, k, source, config=config))

    def retake(self, *, config: RunnableConfig | None = None) -> Reply:
        """Answer the user's last message again. Raises as `Conversation.retake` does."""
        return self._loop.run(self._conversation.retake(config=config))

    def retake_stream(self, *, config: RunnableConfig | None = None) -> "SyncReplyStream":
        """Answer the user's last message again, and iterate over the pieces of the reply."""
        return SyncReplyStream(self._loop, self._conversation.retake_stream(config=config))

    def edit(self, message: Message, *, message_id: str | None = None, config: RunnableConfig | None = None) -> Reply:
        """Replace a message of the user's and return the reply to it. Raises as `Conversation.edit` does."""
        return self._loop.run(self._conversation.edit(message, message_id=message_id, config=config))

    def edit_stream(
        self, message: Message, *, message_id: str | None = None, config: RunnableConfig | None = None
    ) -> "SyncReplyStream":
        """Replace a message of the user's, and iterate over the pieces of the reply."""
        stream = self._conversation.edit_stream(message, message_id=message_id, config=config)
        return SyncReplyStream(self._loop, stream)

    def transcript(self, limit: int = 1_000) -> list[AnyMessage]:
        """Return what was said, also what has left the window, as `Conversation.transcript` does."""
        return self._loop.run(self._conversation.transcript(limit))

    def adopt(self, messages: Sequence[HistoryMessage]) -> int:
        """Make a history the beginning of this conversation, as `Conversation.adopt` does."""
        return self._loop.run(self._conversation.adopt(messages))

    def watch(self) -> Generator[MindEvent]:
        """Watch the mind, as `Conversation.watch` does. Each step waits for the next event."""
        return self._loop.iterate(self._conversation.watch())

    def settle(self, timeout: float | None = None) -> bool:
        """Wait at most `timeout` seconds until thinking has caught up, as `Conversation.settle` does."""
        return self._loop.run(self._conversation.settle(timeout))

    def mind(self) -> Mind:
        """Return what is thought about the conversation so far."""
        return self._loop.run(self._conversation.mind())

    def history(self) -> list[Narrative]:
        """Return the last narratives of the conversation, oldest first."""
        return self._loop.run(self._conversation.history())

    def messages(self) -> list[AnyMessage]:
        """Return the window: the messages a reply starts from, oldest first."""
        return self._loop.run(self._conversation.messages())

    def forget(self) -> None:
        """Erase the thread and its mind, as `Conversation.forget` does."""
        self._loop.run(self._conversation.forget())


class SyncReplyStream:
    """The pieces of a reply as the model emits them; after the last one, `reply` is the whole reply."""

    def __init__(self, loop: LoopThread, stream: ReplyStream) -> None:
        self._loop = loop
        self._stream = stream

    def __iter__(self) -> Iterator[str]:
        """Iterate over the pieces of text."""
        return self._pieces()

    @property
    def reply(self) -> Reply:
        """The whole reply. Raises `RuntimeError` before the last piece."""
        return self._stream.reply

    def _pieces(self) -> Generator[str]:
        yield from self._loop.iterate(self._stream.pieces())


class SyncUser:
    """The safety constraints of a user, as `User`, with methods that return when they are done."""

    def __init__(self, loop: LoopThread, user: User) -> None:
        self._loop = loop
        self._user = user

    def constraints(self) -> list[SafetyConstraint]:
        """Return all constraints of the user, as `User.constraints` does."""
        return self._loop.run(self._user.constraints())

    def evicted(self) -> int:
        """Return how many constraints were evicted because the list was full."""
        return self._loop.run(self._user.evicted())

    def export(self) -> str:
        """Return all constraints as JSON, as `User.export` does."""
        return self._loop.run(self._user.export())

    def add(
        self, about: str, *, kind: Kind = "other", severity: Severity = "serious", subject: str = "user"
    ) -> SafetyConstraint:
        """Add a constraint. Raises as `User.add` does."""
        return self._loop.run(self._user.add(about, kind=kind, severity=severity, subject=subject))

    def edit(self, constraint_id: str, **changes: Unpack[ConstraintChanges]) -> SafetyConstraint:
        """Change a constraint. Raises as `User.edit` does."""
        return self._loop.run(self._user.edit(constraint_id, **changes))

    def forget(self, constraint_id: str | None = None) -> None:
        """Erase one constraint, or all of the user's constraints, as `User.forget` does."""
        self._loop.run(self._user.forget(constraint_id))


_open_mirrors: set[SyncMirror] = set()


def _close_all() -> None:
    for mirror in tuple(_open_mirrors):
        mirror.close()


# An open SQLite connection has a thread that the interpreter waits for at its end, and closing needs an executor. Only
# functions of `threading` run before both are too late; without them, a program has to close what it opened.
getattr(threading, "_register_atexit", atexit.register)(_close_all)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_open_mirrors.clear)  # the parent closes its own
