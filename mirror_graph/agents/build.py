"""An agent with tools, a mind and a guard, in one call."""

from collections.abc import Callable, Sequence
from typing import Any

from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import SystemMessage
from langchain_core.tools import BaseTool
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import BaseStore

from mirror_graph.agents.middleware import MirrorMiddleware
from mirror_graph.agents.model import ModelOfContext
from mirror_graph.state import MirrorContext

Tool = BaseTool | Callable[..., Any] | dict[str, Any]


def build_agent(
    tools: Sequence[Tool],
    *,
    model: str | BaseChatModel | None = None,
    system_prompt: str | SystemMessage | None = None,
    mirror: MirrorMiddleware | None = None,
    middleware: Sequence[AgentMiddleware[Any, Any, Any]] = (),
    checkpointer: BaseCheckpointSaver[Any] | None = None,
    store: BaseStore | None = None,
    name: str = "agent",
) -> CompiledStateGraph[Any, Any, Any, Any]:
    """Build `create_agent` with `MirrorMiddleware`, compiled: tools go here, and the talker stays a voice.

    `model` is an object or any name that `create_agent` takes. Without one, a run's context, a `MirrorContext`, names
    the model. `mirror` is a middleware of your own making, with handles such as `settle`; it stands behind
    `middleware`, next to the model. On a LangGraph server leave `checkpointer` and `store` out: the server brings both.
    """
    agent: CompiledStateGraph[Any, Any, Any, Any] = create_agent(
        model or ModelOfContext(),
        list(tools),
        system_prompt=system_prompt,
        middleware=[*middleware, mirror or MirrorMiddleware()],
        context_schema=MirrorContext if model is None else None,
        checkpointer=checkpointer,
        store=store,
        name=name,
    )
    return agent
