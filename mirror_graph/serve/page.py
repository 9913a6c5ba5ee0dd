"""The page: a chat with the mind next to it."""

import asyncio

from fastapi import APIRouter

from mirror_graph.host import Mirror
from mirror_graph.serve.identity import UserOf


def page_router(mirror: Mirror, user_of: UserOf, stopping: asyncio.Event) -> APIRouter:
    """Return the page's routes. A stream ends when `stopping` is set."""
    return APIRouter(include_in_schema=False)
