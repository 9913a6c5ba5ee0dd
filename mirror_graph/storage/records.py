"""What a host stores next to the checkpoints: leases, and the last versions of a mind."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol

LEASE_SECONDS = 5.0
"""How long a thread stays closed after its host was killed in the middle of a turn."""

VERSIONS_NAMESPACE = ("mirror", "versions")
"""Where the versions of minds are stored in a program's own store. They are encrypted before they become items."""


class Serialized(NamedTuple):
    """A value as the saver's serializer writes it."""

    kind: str
    value: bytes


class Renewal(Protocol):
    """Renews leases over a connection of its own. Only one thread uses it."""

    def __call__(self, holder: str, thread_ids: Sequence[str]) -> set[str]:
        """Extend the leases of `holder` on these threads by `LEASE_SECONDS`; return the threads it still holds.

        A lease that has run out is extended too, as long as no other host has taken the thread.
        """
        ...


class LeaseTable(Protocol):
    """The leases in a database that several hosts share."""

    async def acquire_lease(self, thread_id: str, holder: str) -> bool:
        """Take a thread's lease for `LEASE_SECONDS`; False while another host holds it.

        A lease that ends later than any honest one (the clock was set back) does not count.
        """
        ...

    async def release_lease(self, thread_id: str, holder: str) -> None:
        """Give a lease back."""
        ...

    async def renew_leases(self, holder: str, thread_ids: Sequence[str]) -> set[str]:
        """Do what a `Renewal` does, over the connections of the turns."""
        ...

    def open_renewal(self) -> AbstractContextManager[Renewal]:
        """Connect for the thread that renews leases; raises the database's own errors."""
        ...


class HostTables(Protocol):
    """A database's own tables, and what it can do with the saver's that the saver cannot."""

    async def save_versions(self, thread_id: str, versions: Serialized) -> None:
        """Keep the versions of a mind in the place of the earlier ones."""
        ...

    async def versions(self, thread_id: str) -> Serialized | None:
        """Return the stored versions of a mind, or None before the first."""
        ...

    async def prune(self, thread_id: str) -> None:
        """Delete every checkpoint of a thread but the newest."""
        ...

    async def forget(self, thread_id: str) -> None:
        """Delete the records of a thread."""
        ...

    async def threads(self) -> list[str]:
        """Return the ids of all threads that have a checkpoint."""
        ...

    async def replace_item(
        self, namespace: tuple[str, ...], key: str, before: dict[str, Any], after: dict[str, Any]
    ) -> bool:
        """Give an item of the store another value; False if its value is no longer `before`."""
        ...

    async def scrub(self) -> bool:
        """Remove what was deleted from the database's files; False if something prevented it.

        It does what a host can do: `docs/operations.md` says what is left to an operator.
        """
        ...

    async def compact(self) -> None:
        """Remove from the files what was deleted before `scrub` existed, if a host can."""
        ...
