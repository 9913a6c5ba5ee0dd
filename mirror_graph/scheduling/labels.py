"""What a traced run is labelled with: the host's own metadata and tags, the release, and the user as a hash."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from typing import Any


@dataclass(frozen=True)
class Labels:
    """What a host adds to every run of its turns and passes."""

    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: Sequence[str] = ()


def about_run(user_id: str | None) -> dict[str, str]:
    """Return metadata that names the release and the user.

    The user stands as a hash: the same in every run, and no name in a trace. Who knows a user's id can recompute it.
    """
    about = {"mirror_version": release()}
    if user_id is not None:
        about["mirror_user"] = sha256(f"mirror-graph user {user_id}".encode()).hexdigest()[:16]
    return about


@cache
def release() -> str:
    """Return the installed version of this package."""
    try:
        return version("mirror-graph")
    except PackageNotFoundError:
        return "unknown"
