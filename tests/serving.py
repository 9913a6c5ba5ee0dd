"""A client of the served application, without a socket."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI


@asynccontextmanager
async def client_of(app: FastAPI, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """Call `app` as if it listened on 127.0.0.1."""
    transport = httpx.ASGITransport(app, client=("127.0.0.1", 1))
    sent = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8765", headers=sent) as client:
        yield client
