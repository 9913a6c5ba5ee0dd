"""What an operator decides about `mirror serve`, checked before anything is opened."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from mirror_graph.errors import ConfigurationError
from mirror_graph.serve.tokens import TokenSettings
from mirror_graph.state.context import check_user_id

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
"""The names by which a program on this machine reaches a server that listens on loopback."""

KEY_LENGTH = 20
"""The shortest API key, in characters."""


@dataclass(frozen=True)
class ServeSettings:
    """Who may call, and who they are. `host` is the address to listen on.

    `local_user` is the one user of a server without sign-in, which may listen on loopback only. Otherwise callers sign
    in: with an API key of `keys`, which holds each key's user, or with a bearer token as `tokens` describes. A caller
    with `trusted_key` names the user in the header `user_header` instead: a front end that signs its users in itself.

    A user may begin `turns_per_minute` turns in a minute. `MIRROR_USER_TOKENS_PER_DAY` limits their tokens in a day.

    Raises `ConfigurationError` if no caller could sign in, or if everybody would be signed in.
    """

    host: str = "127.0.0.1"
    local_user: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    tokens: TokenSettings | None = None
    trusted_key: str | None = field(default=None, repr=False)
    user_header: str | None = None
    turns_per_minute: int | None = None

    def __post_init__(self) -> None:
        if (self.trusted_key is None) != (self.user_header is None):
            raise ConfigurationError(
                "half a trusted front end: expected both its key (MIRROR_TRUSTED_KEY) and the header in which it names "
                "users (--user-header)"
            )
        self._check_keys()
        if self.local_user is not None:
            self._check_local_user(self.local_user)
        elif not (self.keys or self.tokens or self.trusted_key):
            raise ConfigurationError("no caller could sign in: expected API keys, tokens, or the user of this machine")

    @property
    def has_sign_in(self) -> bool:
        """Whether callers must say who they are."""
        return self.local_user is None

    def _check_keys(self) -> None:
        if self.trusted_key in self.keys:
            raise ConfigurationError("the trusted front end's key is also a user's: expected a key of its own")
        owners = {key: f"the API key of {user!r}" for key, user in self.keys.items()}
        if self.trusted_key is not None:
            owners[self.trusted_key] = "the key of the trusted front end (MIRROR_TRUSTED_KEY)"
        for key, what in owners.items():
            if len(key) < KEY_LENGTH:
                raise ConfigurationError(f"{what} is too short: expected at least {KEY_LENGTH} characters")
        for user in self.keys.values():
            check_user_id(user)

    def _check_local_user(self, user: str) -> None:
        check_user_id(user)
        if self.keys or self.tokens or self.trusted_key:
            raise ConfigurationError(f"callers would sign in, and all would be {user!r}: expected one or the other")
        if not is_loopback(self.host):
            raise ConfigurationError(
                f"the server would listen on {self.host!r} and let everybody in as {user!r}: expected a sign-in "
                "(API keys or bearer tokens), or the host 127.0.0.1"
            )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach `host`."""
    if host in LOOPBACK_HOSTS:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def read_keys(file: Path) -> dict[str, str]:
    """Read API keys from a TOML file of lines `user = "key"`, and return each key's user.

    Raises `ConfigurationError` for a file that cannot be read or is no such file.
    """
    try:
        users = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            f'cannot read the API keys in {file}: {error}. Expected a TOML file of lines like ana = "..."'
        ) from error
    keys: dict[str, str] = {}
    for user, key in users.items():
        if not isinstance(key, str):
            raise ConfigurationError(f'the API key of {user!r} in {file} is no text: expected lines like ana = "..."')
        if key in keys:
            raise ConfigurationError(f"{user!r} and {keys[key]!r} share an API key in {file}: expected one per user")
        keys[key] = user
    return keys
