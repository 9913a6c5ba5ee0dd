"""`mirror`: a whole turn in one run. Talk, think in parallel, synthesize."""

from functools import partial

from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy

from mirror_graph.graphs.fan_out import add_thinking
from mirror_graph.graphs.node import GraphNode
from mirror_graph.graphs.retry import default_retry
from mirror_graph.guard import Rule
from mirror_graph.nodes import talk
from mirror_graph.state import MirrorContext, MirrorState
from mirror_graph.state.schema import MirrorInput, PassState


def build_mirror(
    *, context: MirrorContext | None = None, retry: RetryPolicy | None = None, guard: Rule | None = None
) -> StateGraph[PassState, MirrorContext, MirrorInput, MirrorState]:
    """Build `talker -> goals | reasoning | memory -> synthesis`, uncompiled.

    The reply is saved before the thinkers run, so a failing thinker costs a thought and not a turn. The run
    ends when the thinking does: use it for batch work and in Studio, `mirror_node` in a graph of your own, and
    `build_talker` for live chat.

    `context` applies to a run whose caller passes none, and to one in a parent graph whose context is of another type.
    `retry` replaces the policy for model calls that failed: three attempts at a transient error. `guard` is as in
    `build_talker`.
    """
    retry = retry or default_retry()
    builder = StateGraph(PassState, MirrorContext, input_schema=MirrorInput, output_schema=MirrorState)
    talker = GraphNode(partial(talk, guard=guard), context)
    builder.add_node("talker", talker, retry_policy=retry, metadata={"component": "talker"})
    builder.add_edge(START, "talker")
    add_thinking(builder, "talker", END, context=context, retry=retry)
    return builder


graph = build_mirror().compile(name="mirror")
