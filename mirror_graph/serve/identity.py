"""Who is calling: the user whose threads and constraints a request may touch."""

from collections.abc import Awaitable, Callable

from fastapi import HTTPException, Request

from mirror_graph.serve.settings import ServeSettings

UserOf = Callable[[Request], Awaitable[str]]
"""A dependency of FastAPI that returns the user's id, or answers 401."""


def identify(settings: ServeSettings) -> UserOf:
    """Return the dependency that finds the user of a request."""

    async def user_of(request: Request) -> str:
        if settings.local_user is not None:
            return settings.local_user
        raise HTTPException(401, "expected an API key or a bearer token", {"WWW-Authenticate": "Bearer"})

    return user_of
