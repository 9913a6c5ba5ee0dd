"""Where threads are stored: memory, a SQLite file, or PostgreSQL."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from os import PathLike, fspath

from mirror_graph.encryption import NO_KEYS, Keyring
from mirror_graph.errors import ConfigurationError
from mirror_graph.storage.base import Storage

__all__ = ["Storage", "open_storage"]


@asynccontextmanager
async def open_storage(database: str | PathLike[str] | None, keyring: Keyring = NO_KEYS) -> AsyncIterator[Storage]:
    """Open `database`: None or `:memory:` for memory, a path for a SQLite file, or a `postgresql://` URL.

    The first key of `keyring` encrypts what is written. Raises `ConfigurationError` where it cannot be opened, and for
    any other URL.
    """
    if database is None or str(database) == ":memory:":
        from mirror_graph.storage.memory import open_memory as opened

        async with opened(keyring) as storage:
            yield storage
    elif str(database).startswith(("postgresql://", "postgres://")):
        from mirror_graph.storage.postgres import open_postgres

        async with open_postgres(str(database), keyring) as storage:
            yield storage
    elif "://" in str(database):
        # Only the scheme is shown, because a URL may hold a password.
        scheme = str(database).partition("://")[0]
        raise ConfigurationError(
            f"the database is a {scheme}:// URL: expected the path of a SQLite file, or a postgresql:// URL"
        )
    else:
        from mirror_graph.storage.sqlite import open_sqlite

        async with open_sqlite(fspath(database), keyring) as storage:
            yield storage
