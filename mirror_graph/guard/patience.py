"""Asking a model again whose reply was opened before it failed: the opening has been seen, so the graph cannot."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator

from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk

from mirror_graph.models import is_transient

TRIES = 3
PAUSE = 0.5
"""Seconds before the second try; twice as many before the third."""


def ask_patiently(
    ask: Callable[[list[BaseMessage]], Iterator[ChatGenerationChunk]], messages: list[BaseMessage]
) -> Iterator[ChatGenerationChunk]:
    """Ask a model, and again if it fails for a passing reason before its first piece."""
    for attempt in range(1, TRIES + 1):
        has_begun = False
        try:
            for chunk in ask(messages):
                has_begun = True
                yield chunk
            return
        except Exception as error:
            if has_begun or attempt == TRIES or not is_transient(error):
                raise
        time.sleep(PAUSE * attempt)


async def aask_patiently(
    ask: Callable[[list[BaseMessage]], AsyncIterator[ChatGenerationChunk]], messages: list[BaseMessage]
) -> AsyncIterator[ChatGenerationChunk]:
    """Ask a model as `ask_patiently` does, within an event loop."""
    for attempt in range(1, TRIES + 1):
        has_begun = False
        try:
            async for chunk in ask(messages):
                has_begun = True
                yield chunk
            return
        except Exception as error:
            if has_begun or attempt == TRIES or not is_transient(error):
                raise
        await asyncio.sleep(PAUSE * attempt)
