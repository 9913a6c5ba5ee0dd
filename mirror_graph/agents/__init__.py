"""MIRROR inside agents of LangChain: a middleware, an agent that has it, and a tool that recommends."""

from importlib.util import find_spec

from mirror_graph.errors import ConfigurationError

if not find_spec("langchain"):
    raise ConfigurationError("mirror_graph.agents needs the agents extra: pip install 'mirror-graph[agents]'")

from mirror_graph.agents.build import build_agent  # the check has to come first
from mirror_graph.agents.middleware import MirrorMiddleware
from mirror_graph.agents.recommending import recommend_tool

__all__ = ["MirrorMiddleware", "build_agent", "recommend_tool"]
