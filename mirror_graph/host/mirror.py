"""`open_mirror`: conversations and users on one database."""

import asyncio
import json
import signal
import threading
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from os import PathLike
from typing import Any
from uuid import UUID, uuid5

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.store.base import BaseStore

from mirror_graph.encryption import Keyring
from mirror_graph.errors import ConfigurationError
from mirror_graph.guard import Rule
from mirror_graph.guard.warming import start_warm_up, warm_up
from mirror_graph.host.conversation import Conversation
from mirror_graph.host.runtime import HostRuntime
from mirror_graph.host.settings import check_settings
from mirror_graph.host.transcripts import ConversationInfo
from mirror_graph.host.user import User
from mirror_graph.scheduling.labels import Labels
from mirror_graph.state import MirrorContext
from mirror_graph.state.context import check_user_id
from mirror_graph.storage import Storage, open_storage
from mirror_graph.storage.objects import open_objects
from mirror_graph.storage.reencryption import encrypt

THREADS = UUID("5b5f4a51-3c0a-5d33-9d8f-6f1b1f0c2e77")
"""The namespace in which a thread's name becomes its id."""


@asynccontextmanager
async def open_mirror(
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
) -> AsyncIterator["Mirror"]:
    """Open a host on `database`: None for memory, a path for a SQLite file, or a `postgresql://` URL.

    Instead of a database, `checkpointer` and `store` may be LangGraph objects that your program has opened and
    closes itself. Then no lock keeps another host off a thread. Threads are pruned only if the checkpointer can, and
    without a store a user's constraints and the history of narratives end with the process. One line of the log says
    which of these apply.

    `context` applies to all of its conversations. At most `max_thinking` passes run at once. After they have used
    `daily_tokens` in a day (UTC), no more run until the next day. On leaving, and on SIGTERM, turns and passes may
    finish for `drain` seconds and are then cancelled: a turn raises `HostClosedError`, and the exchanges of a cancelled
    pass are thought about later. `metadata` and `tags` are added to every traced run of a turn and of its thinking.
    `guard` replaces the built-in rule: it writes what is added to a reply that leaves a danger unnamed, or returns `""`
    to add nothing. `MirrorContext.guard` selects whether and how replies are guarded.

    `key` encrypts what is stored: 32 bytes in base64 or hexadecimal, by default those of `MIRROR_AES_KEY`. Of several
    keys, separated by commas, the first encrypts and each decrypts. What is stored in clear is read, and is encrypted
    when it is written again. Raises `MissingKeyError` if the database needs another key.

    `transcripts` stores what was said in each conversation beyond its window, and each user's conversations by name:
    see `Conversation.transcript` and `Mirror.conversations`. Both are erased with the conversation.

    Raises `ConfigurationError` for a wrong setting, and if the database cannot be opened.
    """
    check_settings(context=context, max_thinking=max_thinking, daily_tokens=daily_tokens, drain=drain, guard=guard)
    await asyncio.to_thread(warm_up)
    start_warm_up()
    labels = Labels(metadata or {}, tags)
    async with _open_storage(database, checkpointer, store, Keyring.chosen(key)) as storage:
        await storage.check_key()
        engine = HostRuntime(
            storage,
            max_thinking=max_thinking,
            daily_tokens=daily_tokens,
            labels=labels,
            guard=guard,
            transcripts=transcripts,
        )
        try:
            with _leaving_on_sigterm():
                yield Mirror(engine, context or MirrorContext())
        finally:
            await engine.close(drain)


def _open_storage(
    database: str | PathLike[str] | None,
    checkpointer: BaseCheckpointSaver[Any] | None,
    store: BaseStore | None,
    keyring: Keyring,
) -> AbstractAsyncContextManager[Storage]:
    if checkpointer is None and store is None:
        return open_storage(database, keyring)
    if database is not None:
        raise ConfigurationError("both a database and a checkpointer or store: expected one place for the threads")
    return open_objects(checkpointer, store, keyring)


class Mirror:
    """Conversations on one database. Made by `open_mirror`."""

    def __init__(self, engine: HostRuntime, context: MirrorContext) -> None:
        self._engine = engine
        self._context = context

    @property
    def context(self) -> MirrorContext:
        """What applies to all of its conversations."""
        return self._context

    @property
    def store(self) -> BaseStore:
        """The store of the database, for what a program stores along with the conversations, encrypted like them."""
        return self._engine.storage.store

    def lock(self, name: str) -> AbstractAsyncContextManager[None]:
        """Allow one task at a time in the block of that name, among all hosts of the database."""
        return self._engine.storage.lock(f"lock {name}")

    def conversation(self, thread: str, *, user_id: str | None = None, instructions: str | None = None) -> Conversation:
        """Return the conversation named `thread`, of `user_id` if one is given.

        A name is any string. The same name of two users is two conversations. `instructions` replace the context's
        for what this object says; they are not stored.

        Raises `ConfigurationError` for a name that is no string, and for a wrong user id or wrong instructions.
        """
        if not isinstance(thread, str):
            raise ConfigurationError(f"the conversation's name is {thread!r}: expected a string")
        owner = user_id if user_id is not None else self._context.user_id
        chosen = self._context.instructions if instructions is None else instructions
        context = replace(self._context, user_id=owner, instructions=chosen)
        thread_id = str(uuid5(THREADS, json.dumps([owner, thread])))
        return Conversation(self._engine, thread_id, context, thread)

    async def conversations(self, user_id: str) -> list[ConversationInfo]:
        """Return the conversations of a user, the one with the latest turn first, 1,000 at most.

        Raises `ConfigurationError` if the host keeps no transcripts, and for an id that identifies no user.
        """
        check_user_id(user_id)
        return await self._engine.transcripts_kept().conversations(user_id)

    def user(self, user_id: str) -> User:
        """Return a user, whose constraints can be listed, edited, exported and erased.

        Raises `ConfigurationError` for an empty id, and for one that is not a string.
        """
        check_user_id(user_id)
        storage = self._engine.storage
        on_change = partial(self._engine.watchers.note_change, "", user_id)
        return User(storage.store, user_id, storage.scrub, on_change)

    async def prune(self) -> int:
        """Delete every checkpoint that no reply will read, and return the number of threads.

        The host does this after each turn. Call it for a database that another program has written to. A SQLite file
        is also rewritten, so that it holds nothing of what an earlier release deleted.
        """
        threads = await self._engine.storage.threads()
        for thread_id in threads:
            await self._engine.storage.prune(thread_id)
        await self._engine.storage.compact()
        return len(threads)

    async def forget_unused(self, since: datetime) -> int:
        """Erase every conversation that was not used after `since`, with its mind; return how many there were.

        Users' constraints stay, because they apply in later conversations too: `User.forget` erases them. Raises
        `ConfigurationError` for a time without a time zone.
        """
        if since.tzinfo is None:
            raise ConfigurationError(f"since is {since!r}: expected a time with a time zone")
        return await self._engine.forget_unused(since)

    async def encrypt(self) -> int:
        """Encrypt what is stored in clear or with an earlier key, and return the number of threads it concerned.

        Hosts may go on working on the database, if each of them has all keys that are in use. Raises
        `ConfigurationError` if there is no key.
        """
        return await encrypt(self._engine.storage)


@contextmanager
def _leaving_on_sigterm() -> Iterator[None]:
    """Let SIGTERM cancel the task that runs the block, as asyncio does with SIGINT, unless there is another handler."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    with suppress(NotImplementedError):  # Windows
        if task is not None:
            loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        with suppress(NotImplementedError):
            loop.remove_signal_handler(signal.SIGTERM)
