"""`thinker`: one thinking pass on a thread of its own. Think in parallel, synthesize, commit."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph import START, StateGraph
from langgraph.types import RetryPolicy
from langsmith.run_helpers import tracing_context

from mirror_graph.graphs.fan_out import add_thinking
from mirror_graph.graphs.retry import default_retry
from mirror_graph.nodes import commit
from mirror_graph.state import MirrorContext, MirrorState
from mirror_graph.state.schema import PassState


def build_thinker(
    *, context: MirrorContext | None = None, retry: RetryPolicy | None = None
) -> StateGraph[PassState, MirrorContext, MirrorState, MirrorState]:
    """Build `goals | reasoning | memory -> synthesis -> commit`, uncompiled: the thinking of live chat.

    Its input is the messages that have not been thought about; its thread keeps the mind and nothing else.
    `context` and `retry` are as in `build_mirror`.
    """
    builder = StateGraph(PassState, MirrorContext, input_schema=MirrorState, output_schema=MirrorState)
    builder.add_node("commit", commit)
    add_thinking(builder, START, "commit", context=context, retry=retry or default_retry())
    return builder


thinker = build_thinker().compile(name="thinker")


@asynccontextmanager
async def graph(config: RunnableConfig) -> AsyncIterator[Any]:
    """Serve `thinker`: a pass is traced as part of the turn that handed it over."""
    # LangSmith counts a run to the conversation that its `thread_id` names; the server has put the mind thread's there.
    if chat := config.get("metadata", {}).get("conversation_id"):
        config["metadata"]["thread_id"] = chat
    with tracing_context(parent=config.get("configurable", {}).get("langsmith-trace")):
        yield thinker
