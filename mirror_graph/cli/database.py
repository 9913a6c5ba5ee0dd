"""What is in a database, read, changed and erased without a model."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from mirror_graph.cli.defaults import default_database
from mirror_graph.errors import MirrorError
from mirror_graph.host import Conversation, Mind, Mirror, User, open_mirror
from mirror_graph.state import Narrative

_Result = TypeVar("_Result")


class UnknownThreadError(MirrorError):
    """No thread of that name is in the database."""


class NoDatabaseError(MirrorError):
    """There is no database where one was to be read."""


def read_mind(thread: str, database: str | None, user: str | None) -> Mind:
    """Return the mind of a thread. Raises `UnknownThreadError`."""
    return _with_thread(thread, database, user, Conversation.mind)


def read_history(thread: str, database: str | None, user: str | None) -> list[Narrative]:
    """Return the last narratives of a thread, oldest first. Raises `UnknownThreadError`."""
    return _with_thread(thread, database, user, Conversation.history)


def forget_thread(thread: str, database: str | None, user: str | None) -> None:
    """Erase a thread. Raises `UnknownThreadError`."""
    _with_thread(thread, database, user, Conversation.forget)


def prune(database: str | None) -> int:
    """Delete what no reply will read; return how many threads there are. Raises `NoDatabaseError`."""
    return _with_mirror(database, Mirror.prune)


def with_user(
    user_id: str, database: str | None, use: Callable[[User], Awaitable[_Result]], *, creates: bool = False
) -> _Result:
    """Do something with what is kept about a user. Raises `NoDatabaseError` unless it may be created."""
    return _with_mirror(database, lambda mirror: use(mirror.user(user_id)), creates=creates)


def _with_thread(
    thread: str, database: str | None, user: str | None, use: Callable[[Conversation], Awaitable[_Result]]
) -> _Result:
    place = _place(database)
    unknown = UnknownThreadError(f"no thread {thread!r}{f' of user {user!r}' if user else ''} in {place}")

    async def found(mirror: Mirror) -> _Result:
        conversation = mirror.conversation(thread, user_id=user)
        if not await conversation.messages():
            raise unknown
        return await use(conversation)

    try:
        return _with_mirror(database, found)
    except NoDatabaseError:
        raise unknown from None


def _with_mirror(
    database: str | None, use: Callable[[Mirror], Awaitable[_Result]], *, creates: bool = False
) -> _Result:
    place = _place(database)
    if not creates and "://" not in place and not Path(place).expanduser().exists():
        raise NoDatabaseError(f"no database at {place}")  # opening it would make the file

    async def used() -> _Result:
        async with open_mirror(place) as mirror:
            return await use(mirror)

    return asyncio.run(used())


def _place(database: str | None) -> str:
    return database or default_database()
