"""`mirror`: a whole turn in one run. Talk, think in parallel, synthesize."""

from functools import partial

from langgraph.graph import END, START, StateGraph

from mirror_graph.graphs.fan_out import RETRY, add_thinking
from mirror_graph.guard import Rule
from mirror_graph.nodes import talk
from mirror_graph.state import MirrorContext, MirrorState
from mirror_graph.state.schema import MirrorInput, PassState


def build_mirror(*, guard: Rule | None = None) -> StateGraph[PassState, MirrorContext, MirrorInput, MirrorState]:
    """Build `talker -> goals | reasoning | memory -> synthesis`, uncompiled.

    The reply is saved before the thinkers run, so a failing thinker costs a thought and not a turn. The run
    ends when the thinking does: use it for batch work, in Studio and as a subgraph, and `build_talker` for chat.
    `guard` is as in `build_talker`.
    """
    builder = StateGraph(PassState, MirrorContext, input_schema=MirrorInput, output_schema=MirrorState)
    builder.add_node("talker", partial(talk, guard=guard), retry_policy=RETRY, metadata={"component": "talker"})
    builder.add_edge(START, "talker")
    add_thinking(builder, "talker", END)
    return builder


graph = build_mirror().compile(name="mirror")
