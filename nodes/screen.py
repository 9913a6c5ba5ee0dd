"""`screen`: which of the proposed items touch a constraint."""

from typing import Literal

from langgraph.runtime import Runtime

from mirror_graph.calls.model_call import context_of
from mirror_graph.errors import ReplyError
from mirror_graph.ledger.access import ledger_for_reply
from mirror_graph.nodes.failures import with_failures
from mirror_graph.nodes.turn import begin_turn
from mirror_graph.relevance.screen_items import SCREEN, screen_items
from mirror_graph.state import MirrorContext
from mirror_graph.state.constraints import lethal_ids
from mirror_graph.state.offering import MOST_ROUNDS, offerable
from mirror_graph.state.recommendation import RecommendState, RecommendUpdate
from mirror_graph.state.usage import add_usage


async def screen_proposed(state: RecommendState, runtime: Runtime[MirrorContext]) -> RecommendUpdate:
    """Screen what was proposed against the constraints that hold for a reply to the user's last words."""
    check_whole(state)
    context = context_of(runtime)
    turn = begin_turn(state, context)
    constraints, away = await ledger_for_reply(turn.thread, turn.messages, turn.number, runtime)
    screening = await screen_items(constraints, state["proposed"], context, turn.number)
    verdicts = [*state.get("verdicts", []), *screening.verdicts]
    failed = {"recall": away, SCREEN: screening.failure}
    # The verdicts stand even if a call failed: what the relations could not decide stays "unknown", and is offered
    # only if it can kill no one.
    update: RecommendUpdate = {
        "verdicts": verdicts,
        "missing": state["k"] - len(offerable(verdicts, lethal_ids(constraints))[: state["k"]]),
        "failures": with_failures(state, turn.number, failed),
    }
    if screening.tokens:
        update["usage"] = add_usage(state, SCREEN, turn.number, screening.tokens)
    return update


def choose_next(state: RecommendState) -> Literal["propose", "offer"]:
    """Propose again if places are left, the last round brought something new, and there are rounds left."""
    # A model that has nothing new to propose would only repeat itself.
    if not state["missing"] or not state["proposed"]:
        return "offer"
    return "propose" if state["rounds"] < MOST_ROUNDS else "offer"


def check_whole(state: RecommendState) -> None:
    """Raise `ReplyError` in a run that was resumed in its middle: no checkpoint holds what was proposed."""
    if "proposed" not in state:
        raise ReplyError("a recommendation cannot be resumed in its middle: send the message again")
