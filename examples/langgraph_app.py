"""MIRROR's page and APIs in a LangGraph server, under /mirror.

In langgraph.json: {"http": {"app": "./examples/langgraph_app.py:app"}}

The threads under /mirror are not the server's. They are in a database of their own, MIRROR_DATABASE, and this process
answers and thinks about them. A thread of the graph `talker`, which the server runs, is not listed there, and Studio
lists none of these.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from mirror_graph import MirrorContext, open_mirror
from mirror_graph.serve.app import create_app
from mirror_graph.serve.settings import ServeSettings

MODEL = os.environ.get("MIRROR_MODEL", "scripted:demo")
DATABASE = os.environ.get("MIRROR_DATABASE", "mirror.db")


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    """Open the host with the server. `local_user` is for one user on this machine: let others sign in."""
    context = MirrorContext(talker_model=MODEL)
    async with open_mirror(DATABASE, context=context, transcripts=True) as mirror:
        served = create_app(mirror, settings=ServeSettings(local_user="me"))
        app.state.served = served
        yield
        served.state.stopping.set()


async def forward(scope: Scope, receive: Receive, send: Send) -> None:
    """Pass a request on to the routes, which are made after the server has read what `app` has."""
    await app.state.served(scope, receive, send)


app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
app.mount("/mirror", forward)
