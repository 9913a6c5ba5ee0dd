"""Scripted models that take as long over a call as real ones, without being real."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from math import log, sqrt
from random import Random
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import ensure_config
from pydantic import Field

from mirror_graph.models import ScriptedModel, register_model


@dataclass(frozen=True)
class CallTimes:
    """How long a call takes: a log-normal time of this median and mean, cut to `least` and `most`, in seconds."""

    median: float
    mean: float
    least: float
    most: float

    def draw(self, random: Random) -> float:
        """Draw the time of one call."""
        sigma = sqrt(2 * log(self.mean / self.median))
        return min(max(random.lognormvariate(log(self.median), sigma), self.least), self.most)


class PacedModel(ScriptedModel):
    """A scripted model whose calls last `pace()` seconds, and which knows of which threads they are."""

    pace: Callable[[], float] = Field(exclude=True)
    under_way: Counter[str] = Field(default_factory=Counter, exclude=True)
    """How many calls each thread has under way."""
    took: dict[str, float] = Field(default_factory=dict, exclude=True)
    """How many seconds the last call of each thread took."""

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        await self._dawdle()
        return await super()._agenerate(messages, stop, run_manager, **kwargs)

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        await self._dawdle()
        async for chunk in super()._astream(messages, stop, run_manager, **kwargs):
            yield chunk

    async def _dawdle(self) -> None:
        thread_id = str(ensure_config().get("metadata", {})["thread_id"])
        self.took[thread_id] = self.pace()
        self.under_way[thread_id] += 1
        try:
            await asyncio.sleep(self.took[thread_id])
        finally:
            self.under_way[thread_id] -= 1


def register_paced(name: str, text: Callable[[], str], pace: Callable[[], float]) -> PacedModel:
    """Make `scripted:NAME` reply with `text()` after `pace()` seconds, and return its model."""
    model = PacedModel(script=lambda messages: text(), pace=pace)
    register_model(name, model)
    return model
