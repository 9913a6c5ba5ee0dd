"""`thinker`: one thinking pass on a thread of its own. Think in parallel, synthesize, commit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langsmith.run_helpers import tracing_context

from mirror_graph.graphs.fan_out import add_thinking
from mirror_graph.nodes import commit
from mirror_graph.state import MirrorContext, MirrorState
from mirror_graph.state.schema import PassState


def build_thinker() -> StateGraph[PassState, MirrorContext, MirrorState, MirrorState]:
    """Build `goals | reasoning | memory -> synthesis -> commit`, uncompiled: the thinking of live chat.

    Its input is the messages that have not been thought about; its thread keeps the mind and nothing else.
    """
    builder = StateGraph(PassState, MirrorContext, input_schema=MirrorState, output_schema=MirrorState)
    builder.add_node("commit", commit)
    add_thinking(builder, START, "commit")
    return builder


thinker = build_thinker().compile(name="thinker")


@asynccontextmanager
async def graph(config: RunnableConfig) -> AsyncIterator[Any]:
    """Serve `thinker`: a pass is traced as part of the turn that handed it over."""
    with tracing_context(parent=config.get("configurable", {}).get("langsmith-trace")):
        yield thinker
