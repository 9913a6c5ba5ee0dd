"""`schedule`: hand over the thinking after a reply."""

from dataclasses import dataclass, replace

from langgraph.runtime import Runtime
from langsmith.run_helpers import get_current_run_tree

from mirror_graph.calls.model_call import context_of, thread_of
from mirror_graph.ledger.access import publish_found, publish_stated, stated_since_last_pass, user_of
from mirror_graph.ledger.repeats import with_provisional
from mirror_graph.scheduling import Scheduler, ThinkingPass
from mirror_graph.scheduling.spending import record_spending
from mirror_graph.state import MindState, MirrorContext, MirrorState, MirrorUpdate
from mirror_graph.state.branch import lag_of, last_turn, read_turn
from mirror_graph.state.constraints import unconfirmed
from mirror_graph.state.references import nameable_messages
from mirror_graph.state.usage import thinking_tokens
from mirror_graph.state.window import pending_exchanges


@dataclass(frozen=True)
class Schedule:
    """Hands over what has not been thought about yet. The reply is out and saved by then."""

    scheduler: Scheduler

    async def __call__(self, state: MirrorState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
        """Schedule a pass over every exchange since the mind's turn, for the user whose run this is."""
        # The pass runs later, outside of this request, so it is given the user who signed in to this one.
        context = replace(context_of(runtime), user_id=user_of(runtime))
        if context.user_id is not None and runtime.store is not None:
            await record_spending(runtime.store, context.user_id, thread_of(runtime), state)
        branch = state["branch"]
        messages = pending_exchanges(state["messages"], read_turn(state), branch)
        # A pass reads no message that has left the window, so what was scanned in those goes with it.
        caught = unconfirmed(state["constraints"])
        stated = with_provisional(caught, stated_since_last_pass(state, runtime))
        if context.thinking == "off" or not messages or is_exhausted(state, context):
            # No pass will read these messages, so what they state reaches the user's other conversations from here.
            await publish_stated(stated, runtime)
            return {}
        behind = lag_of(state, branch)
        run = get_current_run_tree()
        trace = dict(run.to_headers()) if run else {}
        work = ThinkingPass(
            thread_of(runtime),
            last_turn(branch),
            messages,
            context,
            behind,
            trace,
            caught,
            branch,
            nameable_messages(state),
        )
        try:
            # Before the pass, which takes back what it rejects: it may never be made, or not for a long time.
            await publish_found(stated, runtime)
        finally:
            await self.scheduler.schedule(work)
        return {}


def is_exhausted(mind: MindState, context: MirrorContext) -> bool:
    """Say whether the thread's thinking has used up its budget."""
    return context.thread_tokens is not None and thinking_tokens(mind["usage"]) >= context.thread_tokens
