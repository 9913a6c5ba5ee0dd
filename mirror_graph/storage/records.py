"""What a host keeps beside the checkpoints: leases on threads, and the last versions of a mind."""

from typing import NamedTuple, Protocol

LEASE_SECONDS = 5.0
"""How long a thread stays closed after its host was killed in the middle of a turn."""


class Written(NamedTuple):
    """A value as the saver's serializer writes it."""

    kind: str
    value: bytes


class Records(Protocol):
    """A database's own tables, and what it can do with the saver's that the saver cannot."""

    async def take(self, thread_id: str, holder: str) -> bool:
        """Take or renew a thread's lease for `LEASE_SECONDS`; False while another holds it."""
        ...

    async def drop(self, thread_id: str, holder: str) -> None:
        """Give a lease back."""
        ...

    async def keep(self, thread_id: str, versions: Written) -> None:
        """Keep the versions of a mind in the place of the earlier ones."""
        ...

    async def versions(self, thread_id: str) -> Written | None:
        """Return the kept versions of a mind, or None before the first."""
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
