"""Bound the body of a request: it is read before anybody is asked who they are."""

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

BODY_LIMIT = 32 * 2**20
"""The largest body, in bytes: a whole chat with its pictures, and no more than a server can hold of many callers."""


class BodyLimit:
    """Answer 413 to a body of more than `BODY_LIMIT` bytes, without reading the rest of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on with a bounded body."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        is_declared_too_large = declared.isdecimal() and int(declared) > BODY_LIMIT
        size = 0

        async def receive_bounded() -> Message:
            nonlocal size
            if is_declared_too_large:
                raise _too_large()
            message = await receive()
            size += len(message.get("body", b""))
            if size > BODY_LIMIT:
                raise _too_large()
            return message

        await self._app(scope, receive_bounded, send)


def _too_large() -> HTTPException:
    return HTTPException(413, f"the request is larger than {BODY_LIMIT:,} bytes: leave out pictures or its beginning")
