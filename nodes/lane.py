"""Between the lanes: recall the mind before a reply, schedule its thinking after it."""

from dataclasses import dataclass, replace
from typing import cast

from langgraph.runtime import Runtime
from langgraph.types import Overwrite
from langsmith.run_helpers import get_current_run_tree

from mirror_graph.errors import ConfigurationError
from mirror_graph.lanes import Lane, Pass
from mirror_graph.nodes.asking import choices
from mirror_graph.nodes.known import passed_on, whose
from mirror_graph.state import MindState, MirrorContext, MirrorState, MirrorUpdate
from mirror_graph.state.branch import current_branch, is_on_branch, lag_of, last_turn, read_turn, rewind
from mirror_graph.state.constraints import merge_constraints, unread
from mirror_graph.state.usage import thinking_tokens
from mirror_graph.state.window import pending_exchanges


@dataclass(frozen=True)
class Recall:
    """Reads the newest mind of the thread: one read, and never a wait for thinking."""

    lane: Lane

    async def __call__(self, state: MirrorState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
        """Bring the mind into the thread's state, but for its monologue, which only thinkers read.

        A mind that has read a turn which is no longer part of the conversation is taken back to the last one that is.
        """
        thread_id = thread_of(runtime)
        branch = current_branch(state["messages"], state["branch"])
        mind = await self.lane.recall(thread_id)
        turns = max(state["turns"], mind["turn"], last_turn(branch))
        if not is_on_branch(mind, branch):
            mind = rewind(mind, branch, state["messages"], await self.lane.narratives(thread_id))
        constraints = merge_constraints(mind["constraints"], unread(state["constraints"]))
        # The mind's own thread is the authority: whatever this thread holds of the mind is a copy of an earlier one.
        replaced = {
            "narrative": mind["narrative"],
            "thoughts": mind["thoughts"],
            "monologue": [],
            "constraints": constraints,
            "turn": mind["turn"],
            "read": mind["read"],
        }
        counted = {"failures": mind["failures"], "usage": mind["usage"], "schema_version": mind["schema_version"]}
        overwrites = {channel: Overwrite(value) for channel, value in replaced.items()}
        return cast(MirrorUpdate, {**overwrites, **counted, "branch": branch, "turns": turns})


@dataclass(frozen=True)
class Schedule:
    """Hands over what has not been thought about yet. The reply is out and saved by then."""

    lane: Lane

    async def __call__(self, state: MirrorState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
        """Schedule a pass over every exchange since the mind's turn, for the user whose run this is."""
        context = replace(choices(runtime), user_id=whose(runtime))
        branch = state["branch"]
        messages = pending_exchanges(state["messages"], read_turn(state), branch)
        caught = unread(state["constraints"])
        if context.thinking == "off" or not messages or is_exhausted(state, context):
            if caught:  # no pass will tell the user's other conversations
                await passed_on([{**entry, "status": "active"} for entry in caught], runtime)
            return {}
        behind = lag_of(state, branch)
        run = get_current_run_tree()
        trace = dict(run.to_headers()) if run else {}
        work = Pass(thread_of(runtime), last_turn(branch), messages, context, behind, trace, caught, branch)
        await self.lane.schedule(work)
        return {}


def is_exhausted(mind: MindState, context: MirrorContext) -> bool:
    """Say whether the thread's thinking has used up its budget."""
    return context.thread_tokens is not None and thinking_tokens(mind["usage"]) >= context.thread_tokens


def thread_of(runtime: Runtime[MirrorContext]) -> str:
    """Return the thread a run is on."""
    thread_id = runtime.execution_info.thread_id if runtime.execution_info else None
    if not thread_id:
        raise ConfigurationError("no thread_id: the talker keeps its mind by thread, so compile it with a checkpointer")
    return thread_id
