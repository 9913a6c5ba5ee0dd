"""The fan-out that `mirror` and `thinker` share: thinkers side by side, then the synthesis."""

from typing import Any

from langgraph.graph import StateGraph
from langgraph.runtime import Runtime
from langgraph.types import RetryPolicy, Send

from mirror_graph.ledger.hearing import listen, scan_ahead
from mirror_graph.models import is_transient
from mirror_graph.nodes import Thinker, foresee, note_failure, remember, synthesize, think_jointly
from mirror_graph.nodes.anticipate import ANTICIPATION
from mirror_graph.nodes.asking import choices
from mirror_graph.nodes.foresee import unforeseen
from mirror_graph.nodes.remember import MEMORY
from mirror_graph.nodes.think import pending_state, unthought
from mirror_graph.state import ALL_THINKERS, MirrorContext
from mirror_graph.state.branch import last_turn
from mirror_graph.state.mind import PassState

RETRY = RetryPolicy(initial_interval=0.5, max_interval=8.0, max_attempts=3, retry_on=is_transient)
OWN, JOINT, SYNTHESIS = "own", "joint", "synthesis"


def add_thinking(builder: "StateGraph[PassState, MirrorContext, Any, Any]", start: str, end: str) -> None:
    """Let thinking run from node `start` to node `end`: straight there, where nobody is to think."""
    thinkers: dict[str, Any] = {
        "goals": Thinker("goals"),
        "reasoning": Thinker("reasoning"),
        MEMORY: remember,
        OWN: Thinker(),
        JOINT: think_jointly,
        ANTICIPATION: foresee,
    }
    for name, thinker in thinkers.items():
        failed = note_failure(then=SYNTHESIS)
        builder.add_node(name, thinker, retry_policy=RETRY, error_handler=failed, metadata={"component": name})
        builder.add_edge(name, SYNTHESIS)  # one edge each: a joined edge never fires after a handled failure
    told = note_failure(then=end)
    builder.add_node(
        SYNTHESIS, synthesize, defer=True, retry_policy=RETRY, error_handler=told, metadata={"component": SYNTHESIS}
    )

    async def choose(state: PassState, runtime: Runtime[MirrorContext]) -> list[str | Send]:
        return await choose_thinkers(state, runtime, nobody=end)

    builder.add_conditional_edges(start, choose, [*ALL_THINKERS, OWN, JOINT, ANTICIPATION, SYNTHESIS, end])
    builder.add_edge(SYNTHESIS, end)


async def choose_thinkers(state: PassState, runtime: Runtime[MirrorContext], nobody: str) -> list[str | Send]:
    """Choose who thinks, by the context's `thinking` and `thinkers`; `nobody` where nothing was said.

    Where nothing of it is news, the synthesis alone notes the turn, without a model call.
    """
    context = choices(runtime)
    state = pending_state(state)
    if context.thinking == "off" or not state["messages"]:
        return [nobody]
    await scan_ahead(listen(state["messages"], state["branch"], last_turn(state["branch"])))
    if not unthought(state, context):
        return [SYNTHESIS]
    anticipation: list[str | Send] = [ANTICIPATION] if unforeseen(state, context) else []
    if context.thinking == "synthesis_only":
        return anticipation or [SYNTHESIS]
    if context.thinking == "joint":
        return [JOINT, *anticipation]
    own = [Send(OWN, {**state, "voice": voice}) if ":" in voice else voice for voice in context.thinkers]
    return [*own, *anticipation]
