"""The application: every route of `mirror serve` over one `Mirror`."""

import asyncio
from functools import partial
from typing import Literal

from fastapi import FastAPI
from typing_extensions import TypedDict

from mirror_graph.host import Mirror
from mirror_graph.scheduling.spending import THREADS, spent_place, spent_today
from mirror_graph.serve import completions, memory, page
from mirror_graph.serve.body import BodyLimit
from mirror_graph.serve.errors import answer_errors
from mirror_graph.serve.identity import identify
from mirror_graph.serve.live import LiveConversations
from mirror_graph.serve.origin import LocalOnly
from mirror_graph.serve.pace import Pace, tokens_per_day
from mirror_graph.serve.settings import ServeSettings
from mirror_graph.serve.threads import Threads


async def _spent(mirror: Mirror, user_id: str) -> int:
    """Return how many tokens a user has spent today."""
    items = await mirror.store.asearch(spent_place(user_id), limit=THREADS)
    return spent_today([item.value for item in items])


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
    app.state.pace = Pace(settings.turns_per_minute, tokens_per_day(), partial(_spent, mirror))

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
