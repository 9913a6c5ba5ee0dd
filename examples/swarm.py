"""Two agents of a swarm with one mind: whoever speaks knows what the other learned."""

import asyncio
from typing import Any

from conversation import converse
from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langgraph.checkpoint.memory import InMemorySaver
from langgraph_swarm import create_handoff_tool, create_swarm

from mirror_graph import MirrorContext
from mirror_graph.agents import MirrorMiddleware

mirror = MirrorMiddleware(context=MirrorContext(window_tokens=500), trim=True)


def build(model: BaseChatModel) -> Any:
    """Build the swarm around any chat model."""
    guide = create_agent(model, [create_handoff_tool(agent_name="cook")], middleware=[mirror], name="guide")
    cook = create_agent(model, [create_handoff_tool(agent_name="guide")], middleware=[mirror], name="cook")
    return create_swarm([guide, cook], default_active_agent="guide").compile(checkpointer=InMemorySaver())


if __name__ == "__main__":
    asyncio.run(converse(build, mirror))
