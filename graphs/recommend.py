"""`recommend`: a turn that is answered with items. Recall, propose, screen, offer, schedule."""

from typing import Any

from langgraph.graph import StateGraph
from langgraph.graph.state import CompiledStateGraph
from langgraph.types import RetryPolicy

from mirror_graph.graphs.node import GraphNode
from mirror_graph.graphs.retry import default_retry
from mirror_graph.graphs.talker import add_recall_and_schedule, default_scheduler
from mirror_graph.nodes import Propose, offer, screen_proposed
from mirror_graph.nodes.screen import choose_next
from mirror_graph.scheduling import Scheduler
from mirror_graph.scheduling.server import ServerScheduler
from mirror_graph.state import MirrorContext
from mirror_graph.state.context import context_as_json
from mirror_graph.state.offers import ItemSource
from mirror_graph.state.recommendation import RecommendInput, RecommendOutput, RecommendState


class RecommendBuilder(StateGraph[RecommendState, MirrorContext, RecommendInput, RecommendOutput]):
    """A graph whose streams and traces show its output, and not what was proposed and withheld on the way."""

    def compile(
        self, *args: Any, **kwargs: Any
    ) -> CompiledStateGraph[RecommendState, MirrorContext, RecommendInput, RecommendOutput]:
        """Compile the graph as any other."""
        graph = super().compile(*args, **kwargs)
        # LangGraph streams every channel, and LangSmith shows what is streamed as the output of the run.
        graph.stream_channels = graph.output_channels
        return graph


def build_recommend(
    scheduler: Scheduler | None = None,
    source: ItemSource | None = None,
    *,
    context: MirrorContext | None = None,
    retry: RetryPolicy | None = None,
) -> StateGraph[RecommendState, MirrorContext, RecommendInput, RecommendOutput]:
    """Build `recall -> propose -> screen -> (propose | offer) -> schedule`, uncompiled.

    Its input is messages and `k`, how many items are asked for. `source` proposes them; without one the talker's model
    does. No item that touches a constraint of the user's is offered, whoever proposed it. What was proposed and what
    was withheld is in no checkpoint: the whole `Offer` goes to the stream `custom`, as `{"offer": ...}`.

    A run that is resumed after it was cut off in its middle raises `ReplyError`.
    `scheduler`, `context` and `retry` are as in `build_talker`.
    """
    retry = retry or default_retry()
    scheduler = scheduler or default_scheduler()
    if isinstance(scheduler, ServerScheduler) and context is not None:
        context_as_json(context)  # a pass is a run of its own there
    builder = RecommendBuilder(
        RecommendState, MirrorContext, input_schema=RecommendInput, output_schema=RecommendOutput
    )
    add_recall_and_schedule(builder, scheduler, context, then="propose")
    builder.add_node(
        "propose", GraphNode(Propose(source), context), retry_policy=retry, metadata={"component": "propose"}
    )
    builder.add_node("screen", GraphNode(screen_proposed, context), metadata={"component": "screen"})
    builder.add_node("offer", GraphNode(offer, context), metadata={"component": "offer"})
    builder.add_edge("propose", "screen")
    builder.add_conditional_edges("screen", choose_next)
    builder.add_edge("offer", "schedule")
    return builder


graph = build_recommend().compile(name="recommend")
