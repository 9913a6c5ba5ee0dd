"""Who is calling: the user whose threads and constraints a request may touch."""

import hmac
from collections.abc import Awaitable, Callable
from math import inf
from typing import Annotated

from fastapi import Depends, Request

from mirror_graph.errors import ConfigurationError
from mirror_graph.host import Mirror
from mirror_graph.serve.errors import CHALLENGE, ApiError
from mirror_graph.serve.headers import filled
from mirror_graph.serve.pace import RETRY_AFTER, Pace, TooManyTurnsError
from mirror_graph.serve.settings import ServeSettings
from mirror_graph.serve.tokens import TokenVerifier
from mirror_graph.state.context import check_user_id

UserOf = Callable[[Request], Awaitable[str]]
"""Finds the user's id of a request, or raises the answer 401."""


async def _user_id(request: Request) -> str:
    user_id: str = await request.app.state.user_of(request)
    return user_id


def _mirror(request: Request) -> Mirror:
    mirror: Mirror = request.app.state.mirror
    return mirror


async def _expires(request: Request, user_id: Annotated[str, Depends(_user_id)]) -> float:
    expires: float = getattr(request.state, "expires", inf)
    return expires


async def _count_turn(request: Request, user_id: Annotated[str, Depends(_user_id)]) -> None:
    pace: Pace = request.app.state.pace
    try:
        await pace.check(user_id)
    except TooManyTurnsError as error:
        raise ApiError(429, str(error), code="rate_limit_exceeded", headers=RETRY_AFTER) from error


UserId = Annotated[str, Depends(_user_id)]
Expires = Annotated[float, Depends(_expires)]
CountTurn = Depends(_count_turn)
HostMirror = Annotated[Mirror, Depends(_mirror)]
"""Parameters of a route: who is calling, when their token ends (seconds since the epoch), and the host."""


def identify(settings: ServeSettings) -> UserOf:
    """Return the function that finds the user of a request.

    There is no default user: everybody behind one front end would share one ledger.
    """
    verifier = TokenVerifier(settings.tokens) if settings.tokens else None

    async def user_of(request: Request) -> str:
        if settings.local_user is not None:
            return settings.local_user
        token = _bearer_token(request)
        if settings.trusted_key is not None and _is_same(token, settings.trusted_key):
            return _named_user(request, settings.user_header or "")
        if user := _user_of_key(token, settings):
            return user
        if verifier is not None:
            verified = await verifier.verify(token)
            request.state.expires = verified.expires
            return verified.subject
        raise _refusal("the API key is not valid")

    return user_of


def _bearer_token(request: Request) -> str:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _refusal("expected an API key or a token: Authorization: Bearer ...")
    return token.strip()


def _named_user(request: Request, header: str) -> str:
    """Return the user whom a trusted front end names. It signed them in, so a request without a name is its mistake."""
    user = filled(request.headers.get(header))
    try:
        check_user_id(user)
    except ConfigurationError:
        raise _refusal(f"expected the user's id in the header {header}") from None
    return user


def _user_of_key(token: str, settings: ServeSettings) -> str | None:
    """Return whose API key `token` is. Every key is compared, so that the time says nothing about any."""
    users = [user for key, user in settings.keys.items() if _is_same(token, key)]
    return users[0] if users else None


def _is_same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())


def _refusal(message: str) -> ApiError:
    return ApiError(401, message, code="invalid_api_key", headers=CHALLENGE)
