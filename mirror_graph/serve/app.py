"""The application: every route of `mirror serve` over one `Mirror`."""

import asyncio
from typing import Literal

from fastapi import FastAPI
from typing_extensions import TypedDict

from mirror_graph.host import Mirror
from mirror_graph.serve import completions, memory, page
from mirror_graph.serve.body import BodyLimit
from mirror_graph.serve.errors import answer_errors
from mirror_graph.serve.identity import identify
from mirror_graph.serve.live import LiveConversations
from mirror_graph.serve.origin import LocalOnly
from mirror_graph.serve.settings import ServeSettings
from mirror_graph.serve.threads import Threads


class Health(TypedDict):
    """The answer of a server that is up."""

    status: Literal["ok"]


def create_app(mirror: Mirror, *, settings: ServeSettings) -> FastAPI:
    """Return the routes over `mirror`, for a server of yours or as a part of your application.

    Open the mirror with `transcripts=True`: the page lists conversations, and the memory API shows messages. Set the
    event `app.state.stopping` when the server is to stop: open streams end at once.
    """
    # No `/docs`: it would load its script from another host. `/openapi.json` is there.
    app = FastAPI(title="MIRROR", docs_url=None, redoc_url=None)
    app.state.stopping = asyncio.Event()
    answer_errors(app)
    app.add_middleware(BodyLimit)
    if not settings.has_sign_in:
        app.add_middleware(LocalOnly)
    app.state.mirror = mirror
    app.state.live = LiveConversations(mirror)
    app.state.user_of = identify(settings)

    @app.get("/health")
    async def health() -> Health:
        """Say that the server is up."""
        return {"status": "ok"}

    app.state.threads = Threads(mirror)
    app.include_router(completions.router)
    app.include_router(memory.router)
    app.include_router(page.index)
    app.include_router(page.router)
    return app
