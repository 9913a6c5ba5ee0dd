"""A thread that is in a database, read and erased without a model."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from mirror_graph.cli.choosing import default_database
from mirror_graph.errors import MirrorError
from mirror_graph.host import Conversation, Mind, open_mirror

_Result = TypeVar("_Result")


class UnknownThreadError(MirrorError):
    """No thread of that name is in the database."""


def read_mind(thread: str, database: str | None, user: str | None) -> Mind:
    """Return the mind of a thread. Raises `UnknownThreadError`."""
    return _with_thread(thread, database, user, Conversation.mind)


def forget_thread(thread: str, database: str | None, user: str | None) -> None:
    """Erase a thread. Raises `UnknownThreadError`."""
    _with_thread(thread, database, user, Conversation.forget)


def _with_thread(
    thread: str, database: str | None, user: str | None, use: Callable[[Conversation], Awaitable[_Result]]
) -> _Result:
    place = database or default_database()
    unknown = UnknownThreadError(f"no thread {thread!r}{f' of user {user!r}' if user else ''} in {place}")
    if "://" not in place and not Path(place).expanduser().exists():
        raise unknown  # opening it would make the file

    async def found() -> _Result:
        async with open_mirror(place) as mirror:
            conversation = mirror.conversation(thread, user_id=user)
            if not await conversation.messages():
                raise unknown
            return await use(conversation)

    return asyncio.run(found())
