"""`talker`: a turn whose run ends with the reply. Recall, talk, schedule."""

from functools import partial
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.types import RetryPolicy

from mirror_graph.graphs.node import GraphNode
from mirror_graph.graphs.retry import default_retry
from mirror_graph.graphs.thinker import thinker
from mirror_graph.guard import Rule
from mirror_graph.nodes import Recall, Schedule, count_failure, talk
from mirror_graph.scheduling import Scheduler
from mirror_graph.scheduling.item_store import StoreScheduler
from mirror_graph.scheduling.server import ServerScheduler, is_in_server
from mirror_graph.scheduling.traces import hide_words_in_traces
from mirror_graph.state import MirrorContext, MirrorState
from mirror_graph.state.context import context_as_json
from mirror_graph.state.schema import MirrorInput


def build_talker(
    scheduler: Scheduler | None = None,
    *,
    context: MirrorContext | None = None,
    retry: RetryPolicy | None = None,
    guard: Rule | None = None,
) -> StateGraph[MirrorState, MirrorContext, MirrorInput, MirrorState]:
    """Build `recall -> talker -> schedule`, uncompiled: the graph of live chat.

    `scheduler` takes over the thinking. By default that is a background run of the graph `thinker` on
    the LangGraph server this process belongs to, and anywhere else a task of this process, which keeps minds in
    the store that the graph is compiled with, or that its server hands it. A mind that cannot be read or a pass
    that cannot be scheduled costs no reply: it is counted, the reply starts from the mind the thread saw last, and
    the next turn catches up. `guard` writes what is added to a reply that needs it, instead of the package's own rule.

    `context` and `retry` are as in `build_mirror`. On a server, models have names: raises `ConfigurationError` for
    a `context` that holds an object.
    """
    retry = retry or default_retry()
    scheduler = scheduler or default_scheduler()
    if isinstance(scheduler, ServerScheduler) and context is not None:
        context_as_json(context)  # a pass is a run of its own there
    builder = StateGraph(MirrorState, MirrorContext, input_schema=MirrorInput, output_schema=MirrorState)
    add_recall_and_schedule(builder, scheduler, context, then="talker")
    builder.add_node(
        "talker",
        GraphNode(partial(talk, guard=guard), context),
        retry_policy=retry,
        metadata={"component": "talker"},
    )
    builder.add_edge("talker", "schedule")
    return builder


def add_recall_and_schedule(
    builder: StateGraph[Any, MirrorContext, Any, Any], scheduler: Scheduler, context: MirrorContext | None, *, then: str
) -> None:
    """Add what stands around every turn of live chat: the mind is read, and afterwards thinking is handed over.

    `then` is the node behind `recall`. A failure of either is counted, and costs no reply.
    """
    builder.add_node(
        "recall",
        GraphNode(Recall(scheduler), context),
        error_handler=count_failure(then=then),
        metadata={"component": "recall"},
    )
    builder.add_node(
        "schedule",
        GraphNode(Schedule(scheduler), context),
        error_handler=count_failure(then=END),
        metadata={"component": "schedule"},
    )
    builder.add_edge(START, "recall")
    builder.add_edge("recall", then)


def default_scheduler() -> Scheduler:
    """Return what thinks for a graph that was built without a scheduler."""
    if not is_in_server():
        return StoreScheduler(thinker)
    hide_words_in_traces()
    return ServerScheduler(thinker)


graph = build_talker().compile(name="talker")
