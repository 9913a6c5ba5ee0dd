"""What is thought about a thread as its conversation stands now, and what is left to think about."""

from typing import Any

from mirror_graph.host.mind import Mind, Paused
from mirror_graph.host.thread import Thread
from mirror_graph.ledger.repeats import with_provisional
from mirror_graph.ledger.user_constraints import apply_edits, is_erased, load_lists
from mirror_graph.nodes.schedule import is_exhausted
from mirror_graph.scheduling import ThinkingPass, mind_thread
from mirror_graph.state import MindState, Narrative, SafetyConstraint
from mirror_graph.state.branch import current_branch, is_on_branch, lag_of, last_turn, read_turn, rewind
from mirror_graph.state.constraints import merge_constraints, unconfirmed
from mirror_graph.state.reducers import merge_failures, merge_usage
from mirror_graph.state.references import nameable_messages
from mirror_graph.state.values import AnsweredTurn
from mirror_graph.state.window import pending_exchanges


async def load_mind(thread: Thread) -> Mind:
    """Return the mind of a thread as users see it."""
    values = await thread.values()
    mind = await _load_state(thread, values)
    usage = merge_usage(mind["usage"], values.get("usage", {}))
    guarded = usage.pop("guard", None)
    return Mind(
        narrative=mind["narrative"]["text"],
        thoughts={thought["thinker"]: thought["text"] for thought in mind["thoughts"]},
        constraints=tuple(await _load_ledger(thread, mind, values)),
        turn=mind["turn"],
        lag=lag_of(mind, _branch_of(values)),
        failures=merge_failures(mind["failures"], values.get("failures", {})),
        usage=usage,
        guarded=guarded["total"]["calls"] if guarded else 0,
        paused=_why_paused(thread, mind),
    )


async def load_narratives(thread: Thread) -> list[Narrative]:
    """Return the stored narratives of a thread, oldest first."""
    return await thread.engine.storage.history(mind_thread(thread.thread_id))


async def find_left_over(thread: Thread) -> ThinkingPass | None:
    """Return the pass that is due and was not made: it failed, or its host was stopped."""
    values = await thread.values()
    mind, branch = await _load_state(thread, values), _branch_of(values)
    waiting = pending_exchanges(values.get("messages", []), read_turn(mind), branch)
    if not waiting or _why_paused(thread, mind):
        return None
    return ThinkingPass(
        thread.thread_id,
        last_turn(branch),
        waiting,
        thread.context,
        lag_of(mind, branch),
        unread=unconfirmed(values.get("constraints", [])),
        branch=branch,
        named_messages=nameable_messages(values),
    )


async def _load_state(thread: Thread, values: dict[str, Any]) -> MindState:
    """Load the newest mind, taken back to the conversation as it stands."""
    mind, branch = await thread.engine.minds.load(thread.thread_id), _branch_of(values)
    if is_on_branch(mind, branch):
        return mind
    return rewind(mind, branch, values.get("messages", []), await load_narratives(thread))


async def _load_ledger(thread: Thread, mind: MindState, values: dict[str, Any]) -> list[SafetyConstraint]:
    """Return the ledger as the user left it, with what was written down as words left the window unthought."""
    ledger = merge_constraints(mind["constraints"], values.get("constraints", []))
    if thread.user_id is not None:
        lists = await load_lists(thread.engine.storage.store, thread.user_id)
        ledger = apply_edits(ledger, lists.stated, lists.edited)
        ledger = with_provisional(ledger, lists.provisional_beyond(thread.thread_id))
    return [constraint for constraint in ledger if not is_erased(constraint)]


def _why_paused(thread: Thread, mind: MindState) -> Paused:
    if thread.context.thinking == "off":
        return "off"
    if is_exhausted(mind, thread.context):
        return "thread budget"
    return "daily budget" if thread.engine.scheduler.budget.is_spent else ""


def _branch_of(values: dict[str, Any]) -> list[AnsweredTurn]:
    return current_branch(values.get("messages", []), values.get("branch", []))
