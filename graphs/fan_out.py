"""The fan-out that `mirror` and `thinker` share: thinkers in parallel, then the synthesis."""

from typing import Any

from langgraph.graph import StateGraph
from langgraph.runtime import Runtime
from langgraph.types import RetryPolicy, Send

from mirror_graph.calls.model_call import context_of
from mirror_graph.graphs.node import GraphNode
from mirror_graph.ledger.user_messages import scan_ahead, user_messages
from mirror_graph.nodes import Thinker, anticipate, count_failure, remember, synthesize, think_jointly
from mirror_graph.nodes.anticipation import next_to_anticipate
from mirror_graph.nodes.memory import MEMORY
from mirror_graph.nodes.thinker import CustomThinkerState, pending_state, unread_exchanges
from mirror_graph.relevance.generated_triggers import ANTICIPATION
from mirror_graph.state import ALL_THINKERS, MirrorContext
from mirror_graph.state.branch import last_turn
from mirror_graph.state.schema import PassState

CUSTOM, JOINT, SYNTHESIS = "own", "joint", "synthesis"


def add_thinking(
    builder: "StateGraph[PassState, MirrorContext, Any, Any]",
    start: str,
    end: str,
    *,
    context: MirrorContext | None,
    retry: RetryPolicy,
) -> None:
    """Add the thinking between `start` and `end`. If there is nothing to think about, `end` follows at once."""
    thinkers: dict[str, Any] = {
        "goals": Thinker("goals"),
        "reasoning": Thinker("reasoning"),
        MEMORY: remember,
        CUSTOM: Thinker(),
        JOINT: think_jointly,
        ANTICIPATION: anticipate,
    }
    for name, thinker in thinkers.items():
        failed = count_failure(then=SYNTHESIS)
        builder.add_node(
            name,
            GraphNode(thinker, context),
            input_schema=CustomThinkerState if name == CUSTOM else PassState,
            retry_policy=retry,
            error_handler=failed,
            metadata={"component": name},
        )
        builder.add_edge(name, SYNTHESIS)  # one edge each: a joined edge never fires after a handled failure
    count_and_end = count_failure(then=end)
    builder.add_node(
        SYNTHESIS,
        GraphNode(synthesize, context),
        defer=True,
        retry_policy=retry,
        error_handler=count_and_end,
        metadata={"component": SYNTHESIS},
    )

    async def choose(state: PassState, runtime: Runtime[MirrorContext]) -> list[str | Send]:
        return await choose_thinkers(state, runtime, otherwise=end)

    builder.add_conditional_edges(
        start, GraphNode(choose, context, name="choose"), [*ALL_THINKERS, CUSTOM, JOINT, ANTICIPATION, SYNTHESIS, end]
    )
    builder.add_edge(SYNTHESIS, end)


async def choose_thinkers(state: PassState, runtime: Runtime[MirrorContext], otherwise: str) -> list[str | Send]:
    """Choose who thinks, by `thinking` and `thinkers`. Return `otherwise` if there is nothing to think about.

    If no exchange is new, the synthesis alone records the turn, without a model call.
    """
    context = context_of(runtime)
    state = pending_state(state)
    if context.thinking == "off" or not state["messages"]:
        return [otherwise]
    await scan_ahead(user_messages(state["messages"], state["branch"], last_turn(state["branch"])))
    if not unread_exchanges(state, context):
        return [SYNTHESIS]
    anticipation: list[str | Send] = [ANTICIPATION] if next_to_anticipate(state, context) else []
    if context.thinking == "synthesis_only":
        return anticipation or [SYNTHESIS]
    if context.thinking == "joint":
        return [JOINT, *anticipation]
    # A thinker of the user's own has no node of its own, so it is sent to the shared one.
    chosen = [Send(CUSTOM, {**state, "thinker": name}) if ":" in name else name for name in context.thinkers]
    return [*chosen, *anticipation]
