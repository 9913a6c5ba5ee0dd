"""`thinker`: one pass of thinking, on a thread of its own. Thinkers side by side, synthesis, commit."""

from langgraph.graph import START, StateGraph

from mirror_graph.graphs.thinking import add_thinking
from mirror_graph.nodes import commit
from mirror_graph.state import MirrorContext, MirrorState
from mirror_graph.state.mind import PassState


def build_thinker() -> StateGraph[PassState, MirrorContext, MirrorState, MirrorState]:
    """Build `goals | reasoning | memory -> synthesis -> commit`, uncompiled: the thinking lane of live chat.

    Its input is the messages that have not been thought about; its thread keeps the mind and nothing else.
    """
    builder = StateGraph(PassState, MirrorContext, input_schema=MirrorState, output_schema=MirrorState)
    builder.add_node("commit", commit)
    add_thinking(builder, START, "commit")
    return builder


graph = build_thinker().compile(name="thinker")
