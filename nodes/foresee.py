"""Between turns: anticipates what a danger will be met by, where the relations that ship do not know it."""

from langgraph.runtime import Runtime

from mirror_graph.ledger.hearing import listen, scanned
from mirror_graph.nodes.anticipate import ANTICIPATION, anticipate
from mirror_graph.nodes.asking import choices
from mirror_graph.nodes.think import pending_state
from mirror_graph.relevance.match import is_related
from mirror_graph.state import MirrorContext, MirrorUpdate, SafetyConstraint
from mirror_graph.state.branch import current_branch, last_turn
from mirror_graph.state.constraints import active
from mirror_graph.state.mind import PassState
from mirror_graph.state.usage import spent


def unforeseen(state: PassState, context: MirrorContext) -> SafetyConstraint | None:
    """Return the weightiest entry that nothing is known to touch and that has not been thought about, one a pass."""
    if context.relevance != "anticipate":
        return None
    state = pending_state(state)
    heard = listen(state["messages"], state["branch"], last_turn(state["branch"]), context.user_id)
    entries = active([*state["constraints"], *scanned(heard)])
    return next((entry for entry in entries if "touches" not in entry and not is_related(entry)), None)


async def foresee(state: PassState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
    """Write down what a request may hold that touches the entry."""
    context = choices(runtime)
    entry = unforeseen(state, context)
    if entry is None:
        return {}
    turn = last_turn(current_branch(state["messages"], state["branch"]))
    answer = await anticipate(entry, context, turn)
    return {"touches": {entry["id"]: answer.touches}, "usage": spent(state, ANTICIPATION, turn, answer.tokens)}
