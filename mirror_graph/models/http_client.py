"""One HTTP client for all models, with a connection pool per event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from functools import cache
from typing import TYPE_CHECKING, Any

from openai import DefaultAsyncHttpxClient

if TYPE_CHECKING:
    from httpx2 import AsyncClient, Request, Response


@cache
def shared_client(*, trust_env: bool = True) -> AsyncClient:
    """Return the client that all models share; without `trust_env` it ignores the environment's proxies."""
    return PerLoopClient(trust_env=trust_env)


class PerLoopClient(DefaultAsyncHttpxClient):
    """Send each request through a client that belongs to the running event loop.

    A connection kept alive by one loop cannot be used by another, so one plain client fails on the second
    `asyncio.run` of a process and where a server gives each run its own loop. A loop's connections are
    closed as it shuts down, with its asynchronous generators. Each holds up to 1,000 connections.
    """

    def __init__(self, *, trust_env: bool) -> None:
        super().__init__(trust_env=trust_env)
        self._clients: dict[asyncio.AbstractEventLoop, tuple[AsyncClient, AsyncGenerator[None, None]]] = {}

    async def send(self, request: Request, **options: Any) -> Response:
        """Send a request on a connection of the running loop."""
        return await (await self._client_of_this_loop()).send(request, **options)

    async def _client_of_this_loop(self) -> AsyncClient:
        loop = asyncio.get_running_loop()
        if loop not in self._clients:
            for closed in [known for known in self._clients if known.is_closed()]:
                self._clients.pop(closed, None)
            client = DefaultAsyncHttpxClient(trust_env=self.trust_env)
            lifeline = self._open_until_shutdown(loop, client)
            self._clients[loop] = client, lifeline
            await anext(lifeline)
        return self._clients[loop][0]

    async def _open_until_shutdown(
        self, loop: asyncio.AbstractEventLoop, client: AsyncClient
    ) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            self._clients.pop(loop, None)
            await client.aclose()
