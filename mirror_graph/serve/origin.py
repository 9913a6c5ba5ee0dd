"""Keep other web pages out of a server on loopback that asks for no sign-in."""

from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from mirror_graph.serve.settings import LOOPBACK_HOSTS


class LocalOnly:
    """Refuse what a foreign page makes a browser send: by a name that resolves to loopback, or across origins.

    The first is DNS rebinding: the page's own name points at 127.0.0.1, and the browser takes the server's answers for
    the page's. It still sends that name in `Host`. The second needs no answer to do harm, such as a `DELETE`, and the
    browser says in `Origin` where it came from. Programs send no `Origin`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 403."""
        if scope["type"] != "http" or _is_local(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        refusal = PlainTextResponse("this server answers only pages and programs of this machine\n", status_code=403)
        await refusal(scope, receive, send)


def _is_local(headers: Headers) -> bool:
    host = headers.get("host", "")
    if _name_of(f"//{host}") not in LOOPBACK_HOSTS:
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == host


def _name_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None
