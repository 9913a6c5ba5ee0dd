"""`talker`: a turn whose run ends with the reply. Recall, talk, schedule."""

from functools import partial

from langgraph.graph import END, START, StateGraph

from mirror_graph.graphs.fan_out import RETRY
from mirror_graph.graphs.thinker import thinker
from mirror_graph.guard import Rule
from mirror_graph.nodes import Recall, Schedule, count_failure, talk
from mirror_graph.scheduling import Scheduler
from mirror_graph.scheduling.item_store import StoreScheduler
from mirror_graph.scheduling.server import ServerScheduler, is_in_server
from mirror_graph.state import MirrorContext, MirrorState
from mirror_graph.state.schema import MirrorInput


def build_talker(
    scheduler: Scheduler | None = None, *, guard: Rule | None = None
) -> StateGraph[MirrorState, MirrorContext, MirrorInput, MirrorState]:
    """Build `recall -> talker -> schedule`, uncompiled: the graph of live chat.

    `scheduler` takes over the thinking. By default that is a background run of the graph `thinker` on
    the LangGraph server this process belongs to, and anywhere else a task of this process, which keeps minds in
    the store that the graph is compiled with, or that its server hands it. A mind that cannot be read or a pass
    that cannot be scheduled costs no reply: it is counted, the reply starts from the mind the thread saw last, and
    the next turn catches up. `guard` writes what is added to a reply that needs it, instead of the package's own rule.
    """
    scheduler = scheduler or (ServerScheduler() if is_in_server() else StoreScheduler(thinker))
    builder = StateGraph(MirrorState, MirrorContext, input_schema=MirrorInput, output_schema=MirrorState)
    builder.add_node(
        "recall", Recall(scheduler), error_handler=count_failure(then="talker"), metadata={"component": "recall"}
    )
    builder.add_node("talker", partial(talk, guard=guard), retry_policy=RETRY, metadata={"component": "talker"})
    builder.add_node(
        "schedule", Schedule(scheduler), error_handler=count_failure(then=END), metadata={"component": "schedule"}
    )
    builder.add_edge(START, "recall")
    builder.add_edge("recall", "talker")
    builder.add_edge("talker", "schedule")
    return builder


graph = build_talker().compile(name="talker")
