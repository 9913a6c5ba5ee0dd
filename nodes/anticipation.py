"""`anticipation`: generate triggers of a constraint that the built-in relations do not know."""

from langgraph.runtime import Runtime

from mirror_graph.calls.model_call import context_of
from mirror_graph.ledger.user_messages import scan_messages, user_messages
from mirror_graph.nodes.thinker import pending_state
from mirror_graph.relevance.generated_triggers import ANTICIPATION, generate_triggers
from mirror_graph.relevance.match import is_related
from mirror_graph.state import MirrorContext, MirrorUpdate, SafetyConstraint
from mirror_graph.state.branch import current_branch, last_turn
from mirror_graph.state.constraints import active
from mirror_graph.state.schema import PassState
from mirror_graph.state.usage import add_usage


def next_to_anticipate(state: PassState, context: MirrorContext) -> SafetyConstraint | None:
    """Return the most important constraint without known relations and without triggers: one per pass."""
    if context.relevance != "anticipate":
        return None
    state = pending_state(state)
    heard = user_messages(state["messages"], state["branch"], last_turn(state["branch"]), context.user_id)
    entries = active([*state["constraints"], *scan_messages(heard)])
    return next((entry for entry in entries if "triggers" not in entry and not is_related(entry)), None)


async def anticipate(state: PassState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
    """Write down what a request may hold that touches the entry."""
    context = context_of(runtime)
    entry = next_to_anticipate(state, context)
    if entry is None:
        return {}
    turn = last_turn(current_branch(state["messages"], state["branch"]))
    answer = await generate_triggers(entry, context, turn)
    return {"triggers": {entry["id"]: answer.touches}, "usage": add_usage(state, ANTICIPATION, turn, answer.tokens)}
