"""An agent of `create_agent` with a mind: on turn 12 it still knows what it learned on turn 2."""

import asyncio
from typing import Any

from conversation import converse
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langgraph.checkpoint.memory import InMemorySaver

from mirror_graph import MirrorContext
from mirror_graph.agents import MirrorMiddleware

mirror = MirrorMiddleware(context=MirrorContext(window_tokens=500), trim=True)


def build(model: BaseChatModel) -> Any:
    """Build the agent around any chat model."""
    return create_agent(model, middleware=[mirror], checkpointer=InMemorySaver())


if __name__ == "__main__":
    asyncio.run(converse(build, mirror))
