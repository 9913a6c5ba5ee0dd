"""What an operator decides about `mirror serve`, checked before anything is opened."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address

from mirror_graph.errors import ConfigurationError
from mirror_graph.state.context import check_user_id

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "[::1]", "::1")
"""The names by which a browser on this machine reaches a server that listens on loopback."""


@dataclass(frozen=True)
class ServeSettings:
    """Who may call, and who they are.

    `local_user` is the one user of a server without sign-in, which may listen on loopback only. `keys` are API keys,
    each with the user that it stands for. A caller with `trusted_key` names the user in the header `user_header`
    instead: a front end such as Open WebUI, which has signed its users in. `host` is the address to listen on.

    Raises `ConfigurationError` if nobody could sign in, and if everybody could.
    """

    host: str = "127.0.0.1"
    local_user: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)
    trusted_key: str | None = field(default=None, repr=False)
    user_header: str | None = None

    def __post_init__(self) -> None:
        if self.local_user is not None:
            check_user_id(self.local_user)
            if not is_loopback(self.host):
                raise ConfigurationError(
                    f"the server would listen on {self.host!r} and let everybody in as {self.local_user!r}: expected "
                    "a sign-in (API keys or bearer tokens), or the host 127.0.0.1"
                )

    @property
    def has_sign_in(self) -> bool:
        """Whether callers must say who they are."""
        return self.local_user is None


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`."""
    if host in LOOPBACK_HOSTS:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
