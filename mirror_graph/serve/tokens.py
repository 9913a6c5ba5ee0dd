"""Bearer tokens: whose a signed JWT is. Needs PyJWT, and nothing of the web framework."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from json import JSONDecodeError
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import jwt
from jwt import PyJWKClient, PyJWKClientConnectionError, PyJWTError
from jwt.exceptions import PyJWKSetError

from mirror_graph.errors import ConfigurationError, MirrorError

PUBLIC_KEY_ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
SECRET_ALGORITHMS = ("HS256",)
"""Fixed here, never read from a token: a token may not choose `none`, nor a public key as an HMAC secret."""

SECRET_BYTES = 32
"""The shortest secret: HS256 is as hard to guess as its key (RFC 7518, 3.2)."""

SUBJECT_LIMIT = 500
LEEWAY = 30
"""How many seconds the clocks of the issuer and of this machine may differ."""

FETCH_SECONDS = 10


class TokenRefusedError(MirrorError):
    """A bearer token is not valid here: its signature, its audience, its time or its subject."""


class KeysUnreachableError(MirrorError):
    """The issuer's keys cannot be fetched at the moment, so no token can be checked."""


@dataclass(frozen=True)
class TokenSettings:
    """Which tokens are accepted: for this `audience`, signed with a key from `keys_url` (a JWKS) or with `secret`.

    Every token needs `exp`, `aud` and `sub`; with an `issuer`, also that `iss`.

    Raises `ConfigurationError` unless there is an audience and exactly one kind of key.
    """

    audience: str
    keys_url: str | None = None
    secret: str | None = field(default=None, repr=False)
    issuer: str | None = None

    def __post_init__(self) -> None:
        if not self.audience:
            raise ConfigurationError(
                "the tokens' audience is empty: expected the name of this server, as in `aud`, in MIRROR_JWT_AUDIENCE"
            )
        if (self.keys_url is None) == (self.secret is None):
            raise ConfigurationError(
                "tokens are checked with one kind of key: expected either MIRROR_JWT_KEYS_URL (the issuer's JWKS) or "
                "MIRROR_JWT_SECRET"
            )
        if self.secret is not None and len(self.secret.encode()) < SECRET_BYTES:
            raise ConfigurationError(f"the secret for tokens is too short: expected at least {SECRET_BYTES} bytes")
        if self.keys_url is not None and not _is_safe(self.keys_url):
            raise ConfigurationError(
                f"the URL of the issuer's keys is {self.keys_url!r}: expected https://, or http:// on this machine"
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "TokenSettings | None":
        """Read `MIRROR_JWT_AUDIENCE`, `_KEYS_URL`, `_SECRET` and `_ISSUER`. Return None if none of them is set."""
        given = {name: environment.get(f"MIRROR_JWT_{name}") or None for name in ("KEYS_URL", "SECRET", "ISSUER")}
        audience = environment.get("MIRROR_JWT_AUDIENCE", "")
        if not audience and not any(given.values()):
            return None
        return cls(audience, keys_url=given["KEYS_URL"], secret=given["SECRET"], issuer=given["ISSUER"])


class VerifiedToken(NamedTuple):
    """Whose a token is, and when it stops being valid here, in seconds since the epoch."""

    subject: str
    expires: float


class TokenVerifier:
    """Checks tokens. It fetches the issuer's keys when they are first needed, and again when they change."""

    def __init__(self, settings: TokenSettings) -> None:
        self._settings = settings
        self._client = PyJWKClient(settings.keys_url, timeout=FETCH_SECONDS) if settings.keys_url else None

    async def subject(self, token: str) -> str:
        """Return the subject (`sub`) of a valid token, as `verify` does."""
        return (await self.verify(token)).subject

    async def verify(self, token: str) -> VerifiedToken:
        """Return what a valid token says.

        Raises `TokenRefusedError` for any other token, and `KeysUnreachableError` if it cannot be checked now.
        """
        if not token.isascii():
            raise TokenRefusedError("the bearer token is not valid: it is not ASCII")
        try:
            # In a thread: fetching keys blocks.
            claims = await asyncio.to_thread(self._claims, token)
        except (PyJWKClientConnectionError, PyJWKSetError, JSONDecodeError) as error:
            raise KeysUnreachableError("the issuer's keys cannot be fetched: try again later") from error
        except PyJWTError as error:
            raise TokenRefusedError(f"the bearer token is not valid: {error}") from error
        subject = claims["sub"]
        if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_LIMIT:
            raise TokenRefusedError(f"the bearer token's subject is not a text of 1 to {SUBJECT_LIMIT} characters")
        return VerifiedToken(subject, float(claims["exp"]) + LEEWAY)

    def _claims(self, token: str) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            token,
            key=self._key(token),
            algorithms=list(SECRET_ALGORITHMS if self._client is None else PUBLIC_KEY_ALGORITHMS),
            audience=self._settings.audience,
            issuer=self._settings.issuer,
            leeway=LEEWAY,
            options={"require": ["exp", "aud", "sub"]},
        )
        return claims

    def _key(self, token: str) -> Any:
        return self._settings.secret if self._client is None else self._client.get_signing_key_from_jwt(token)


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1"))
