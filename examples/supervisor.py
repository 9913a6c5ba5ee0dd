"""A worker with a mind under a supervisor. The mind belongs to the whole conversation."""

import asyncio
from typing import Any

from conversation import converse
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph_supervisor import create_supervisor

from mirror_graph import MirrorContext
from mirror_graph.agents import MirrorMiddleware

mirror = MirrorMiddleware(context=MirrorContext(window_tokens=500), trim=True)


def build(model: BaseChatModel) -> Any:
    """Build the supervisor and its worker around any chat model."""
    guide = create_agent(model, middleware=[mirror], name="guide")
    return create_supervisor([guide], model=model).compile(checkpointer=InMemorySaver())


if __name__ == "__main__":
    asyncio.run(converse(build, mirror))
