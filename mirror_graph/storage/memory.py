"""Threads in memory: gone with the process."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from langgraph.checkpoint.memory import InMemorySaver

from mirror_graph.storage.base import Storage
from mirror_graph.storage.serde import CompressedSerializer


@asynccontextmanager
async def open_memory() -> AsyncIterator[Storage]:
    """Keep threads in memory."""
    yield Storage(InMemorySaver(serde=CompressedSerializer()))
