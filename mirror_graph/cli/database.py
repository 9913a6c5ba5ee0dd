"""Read, change and delete what a database holds, without a model."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

from mirror_graph.cli.defaults import default_database
from mirror_graph.errors import MirrorError
from mirror_graph.host import Conversation, Mind, Mirror, User, open_mirror
from mirror_graph.state import Narrative

_Result = TypeVar("_Result")


class UnknownThreadError(MirrorError):
    """The database holds no thread of that name."""


class NoDatabaseError(MirrorError):
    """There is no database at the given path."""


def read_mind(thread: str, database: str | None, user: str | None) -> Mind:
    """Return the mind of a thread. Raises `UnknownThreadError`."""
    return _with_thread(thread, database, user, Conversation.mind)


def read_history(thread: str, database: str | None, user: str | None) -> list[Narrative]:
    """Return the last narratives of a thread, oldest first. Raises `UnknownThreadError`."""
    return _with_thread(thread, database, user, Conversation.history)


def forget_thread(thread: str, database: str | None, user: str | None) -> None:
    """Delete a thread. Raises `UnknownThreadError`."""
    _with_thread(thread, database, user, Conversation.forget)


def prune(database: str | None) -> int:
    """Delete checkpoints that no reply will read, and return the number of threads. Raises `NoDatabaseError`."""
    return _with_mirror(database, Mirror.prune)


def forget_unused(database: str | None, days: int) -> int:
    """Erase conversations that were not used for `days`; return how many there were. Raises `NoDatabaseError`."""
    since = datetime.now(UTC) - timedelta(days=days)
    return _with_mirror(database, lambda mirror: mirror.forget_unused(since))


def encrypt(database: str | None) -> int:
    """Encrypt everything with the first key; return the number of threads. Raises `NoDatabaseError`."""
    return _with_mirror(database, Mirror.encrypt)


def with_user(
    user_id: str, database: str | None, use: Callable[[User], Awaitable[_Result]], *, creates: bool = False
) -> _Result:
    """Call `use` with a user. Raises `NoDatabaseError` if there is no database, unless `creates` is set."""
    return _with_mirror(database, lambda mirror: use(mirror.user(user_id)), creates=creates)


def _with_thread(
    thread: str, database: str | None, user: str | None, use: Callable[[Conversation], Awaitable[_Result]]
) -> _Result:
    place = _place(database)
    unknown = UnknownThreadError(
        f"no thread {thread!r}{f' of user {user!r}' if user else ''} in {place}: check the name, --user and --database"
    )

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
        # Opening it would create the file.
        raise NoDatabaseError(f"no database at {place}: pass the right --database, or start with `mirror chat`")

    async def used() -> _Result:
        async with open_mirror(place) as mirror:
            return await use(mirror)

    return asyncio.run(used())


def _place(database: str | None) -> str:
    return database or default_database()
