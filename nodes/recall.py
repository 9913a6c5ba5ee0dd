"""`recall`: read the mind of the thread before a reply."""

from dataclasses import dataclass
from typing import cast

from langgraph.runtime import Runtime
from langgraph.types import Overwrite

from mirror_graph.calls.model_call import thread_of
from mirror_graph.ledger.access import user_of
from mirror_graph.scheduling import Scheduler
from mirror_graph.state import MirrorContext, MirrorState, MirrorUpdate
from mirror_graph.state.branch import current_branch, is_on_branch, last_turn, rewind
from mirror_graph.state.constraints import merge_constraints, unconfirmed
from mirror_graph.state.references import named_messages, with_references


@dataclass(frozen=True)
class Recall:
    """Reads the newest mind of the thread: one read, and never a wait for thinking."""

    scheduler: Scheduler

    async def __call__(self, state: MirrorState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
        """Load the mind into the thread's state, without its monologue, which only thinkers read.

        A mind that has read a turn which is no longer part of the conversation is taken back to the last one that is.
        """
        thread_id, owner = thread_of(runtime), user_of(runtime)
        branch = current_branch(state["messages"], state["branch"])
        mind = await self.scheduler.recall(thread_id, owner, branch)
        turns = max(state["turns"], mind["turn"], last_turn(branch))
        # The user edited a message or asked for another reply while a pass was reading the old one.
        if not is_on_branch(mind, branch):
            mind = rewind(mind, branch, state["messages"], await self.scheduler.narratives(thread_id, owner))
        # What was scanned in messages that left the window is on this thread only, until a pass confirms it.
        constraints = merge_constraints(mind["constraints"], unconfirmed(state["constraints"]))
        # The mind's own thread is the authority: whatever this thread holds of the mind is a copy of an earlier one.
        replaced = {
            "narrative": mind["narrative"],
            "thoughts": mind["thoughts"],
            "monologue": [],
            "constraints": constraints,
            "turn": mind["turn"],
            "read": mind["read"],
        }
        nameable = named_messages(with_references(mind["monologue"], state["messages"]))
        counted = {
            "failures": mind["failures"],
            "usage": mind["usage"],
            "schema_version": mind["schema_version"],
            "departed": [message for message in state.get("departed", []) if message.id in nameable],
            "nameable": sorted(nameable),
        }
        overwrites = {channel: Overwrite(value) for channel, value in replaced.items()}
        return cast(MirrorUpdate, {**overwrites, **counted, "turns": turns})
