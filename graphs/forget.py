"""`forget`: what a client calls to have a mind, or its own constraints, erased on a server."""

from langgraph.graph import START, StateGraph

from mirror_graph.graphs.node import GraphNode
from mirror_graph.nodes import forget
from mirror_graph.state import MirrorContext
from mirror_graph.state.erasure import ForgetState


def build_forget() -> StateGraph[ForgetState, MirrorContext, ForgetState, ForgetState]:
    """Build `forget`, uncompiled. A server deletes a thread by itself, and its mind only by this graph.

    Delete the thread first, so that no turn starts another pass, and then run the graph with its id.
    """
    builder = StateGraph(ForgetState, MirrorContext)
    builder.add_node("forget", GraphNode(forget, None), metadata={"component": "forget"})
    builder.add_edge(START, "forget")
    return builder


graph = build_forget().compile(name="forget")
