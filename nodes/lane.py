"""Between the lanes: recall the mind before a reply, schedule its thinking after it."""

from dataclasses import dataclass, replace
from typing import cast

from langgraph.runtime import Runtime
from langsmith.run_helpers import get_current_run_tree

from mirror_graph.errors import ConfigurationError
from mirror_graph.lanes import Lane, Pass
from mirror_graph.nodes.asking import choices
from mirror_graph.nodes.known import passed_on, whose
from mirror_graph.state import MindState, MirrorContext, MirrorState, MirrorUpdate
from mirror_graph.state.constraints import unread
from mirror_graph.state.usage import thinking_tokens
from mirror_graph.state.window import last_turn, messages_since


@dataclass(frozen=True)
class Recall:
    """Reads the newest mind of the thread: one read, and never a wait for thinking."""

    lane: Lane

    async def __call__(self, state: MirrorState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
        """Bring the mind into the thread's state, but for its monologue, which only thinkers read."""
        mind = await self.lane.recall(thread_of(runtime))
        return cast(MirrorUpdate, {**mind, "monologue": []})


@dataclass(frozen=True)
class Schedule:
    """Hands over what has not been thought about yet. The reply is out and saved by then."""

    lane: Lane

    async def __call__(self, state: MirrorState, runtime: Runtime[MirrorContext]) -> MirrorUpdate:
        """Schedule a pass over every exchange since the mind's turn, for the user whose run this is."""
        context = replace(choices(runtime), user_id=whose(runtime))
        messages = messages_since(state["messages"], state["turn"])
        caught = unread(state["constraints"])
        if context.thinking == "off" or not messages or is_exhausted(state, context):
            if caught:  # no pass will tell the user's other conversations
                await passed_on([{**entry, "status": "active"} for entry in caught], runtime)
            return {}
        turn = last_turn(state["messages"])
        run = get_current_run_tree()
        trace = dict(run.to_headers()) if run else {}
        await self.lane.schedule(Pass(thread_of(runtime), turn, messages, context, turn - state["turn"], trace, caught))
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
