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
    """Return the most important constraint without known triggers, or None. A pass anticipates one.

    `state` is a `pending_state`.
    """
    if context.relevance != "anticipate":
        return None
    messages = user_messages(state["messages"], state["branch"], last_turn(state["branch"]), context.user_id)
    for constraint in active([*state["constraints"], *scan_messages(messages)]):
        if "triggers" not in constraint and not is_related(constraint):
            return constraint
    return None


async def anticipate(state: PassState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
    """Generate the triggers of one constraint: what a request may hold that touches it."""
    context = context_of(runtime)
    turn = last_turn(current_branch(state["messages"], state["branch"]))
    constraint = next_to_anticipate(pending_state(state), context)
    if constraint is None:
        return {}
    answer = await generate_triggers(constraint, context, turn)
    return {
        "triggers": {constraint["id"]: answer.phrases},
        "usage": add_usage(state, ANTICIPATION, turn, answer.tokens),
    }
