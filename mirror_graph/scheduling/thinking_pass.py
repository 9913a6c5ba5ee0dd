"""A pass in this process: the mind is loaded, updated, counted and committed, wherever minds are stored."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast
from uuid import UUID

from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import CompiledStateGraph
from langsmith.run_helpers import tracing_context

from mirror_graph.scheduling.base import ThinkingPass, mind_from
from mirror_graph.scheduling.labels import Labels, about_run
from mirror_graph.state import ComponentUsage, MindState, MirrorContext, MirrorState, Narrative, Thought
from mirror_graph.state.branch import after_other_branch, current_branch, is_on_branch, rewind
from mirror_graph.state.constraints import merge_constraints
from mirror_graph.state.reducers import merge_usage
from mirror_graph.state.references import with_words
from mirror_graph.state.schema import PassState
from mirror_graph.state.usage import add_usage, usage_of
from mirror_graph.state.values import AnsweredTurn

ThinkerGraph = CompiledStateGraph[PassState, MirrorContext, MirrorState, MirrorState]


async def run_pass(work: ThinkingPass, minds: "MindStore", spend: Callable[[int], None]) -> None:
    """Make a pass and commit it, all or nothing; `spend` receives the tokens of each model call as it returns.

    A pass that is cancelled or fails commits what its calls took and nothing else.
    """
    work, before = await _load_for(work, minds)
    mind = before
    meter = Meter(before, work.turn, spend)
    try:
        mind = await minds.think(before, work, meter)
    finally:
        counted: MindState = {**mind, "usage": merge_usage(mind["usage"], meter.usage)}
        if counted != before:
            await _finish_despite_cancel(minds.commit(work, counted))


async def _load_for(work: ThinkingPass, minds: "MindStore") -> tuple[ThinkingPass, MindState]:
    """Load the mind that a pass continues: the newest, taken back to the branch that the pass is about."""
    stored = await minds.load(work.thread_id, work.owner, work.branch)
    mind: MindState = {**stored, "monologue": with_words(stored["monologue"], work.named_messages)}
    branch = current_branch(work.messages, work.branch)
    if not branch or is_on_branch(mind, branch) or mind["turn"] > work.turn:
        return work, mind  # a mind that is ahead of a late pass stays as it is
    earlier = rewind(mind, branch, work.messages, await minds.narratives(work.thread_id, work.owner))
    return replace(work, branch=after_other_branch(branch, mind["turn"])), earlier


class Meter(AsyncCallbackHandler):
    """Counts the model calls of a pass as they return: `usage` is the mind's with theirs added.

    What a provider bills for a call that was cut off is not known here, and not counted.
    """

    def __init__(self, mind: MindState, turn: int, spend: Callable[[int], None]) -> None:
        self._mind: MindState = mind
        self._turn = turn
        self._spend = spend
        self._asked: dict[UUID, str] = {}

    @property
    def usage(self) -> dict[str, ComponentUsage]:
        """The mind's usage so far."""
        return self._mind["usage"]

    async def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Note which component asks."""
        self._asked[run_id] = (metadata or {})["component"]

    async def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        """Count what the answer took."""
        answer = response.generations[0][0]
        if isinstance(answer, ChatGeneration) and isinstance(answer.message, AIMessage):
            tokens = usage_of(answer.message)
            usage = add_usage(self._mind, self._asked.pop(run_id), self._turn, tokens)
            self._mind = {**self._mind, "usage": {**self._mind["usage"], **usage}}
            self._spend(tokens["input"] + tokens["output"])


class MindStore(Protocol):
    """Where minds are stored, and how a pass updates one."""

    async def load(self, thread_id: str, owner: str | None = None, branch: Sequence[AnsweredTurn] = ()) -> MindState:
        """Return the newest mind of a thread of `owner`; `branch` is as in `Scheduler.recall`."""
        ...

    async def narratives(self, thread_id: str, owner: str | None = None) -> list[Narrative]:
        """Return the stored narratives of a thread, oldest first."""
        ...

    async def think(self, mind: MindState, work: ThinkingPass, meter: Meter) -> MindState:
        """Return `mind` after a pass, its model calls counted by `meter`. Nothing is stored."""
        ...

    async def commit(self, work: ThinkingPass, mind: MindState) -> None:
        """Merge what `work` made of a mind into the stored one, all or nothing."""
        ...


def _ignore(thought: Thought) -> None:
    """Take no notice of a thought."""


async def think(
    thinker: ThinkerGraph,
    mind: MindState,
    work: ThinkingPass,
    meter: Meter,
    labels: Labels | None = None,
    on_thought: Callable[[Thought], None] = _ignore,
) -> MindState:
    """Run `thinker` over a pass and return the mind after it. The pass is traced as part of its turn.

    `on_thought` is called with each thought as its thinker finishes, before anything is committed.
    """
    labels = labels or Labels()
    ours = {"thread_id": work.thread_id, "turn": work.turn, "component": "thinking"}
    config: RunnableConfig = {
        "run_name": "thinking",
        "tags": list(labels.tags),
        "metadata": {**labels.metadata, **ours, **about_run(work.context.user_id)},
        "callbacks": [meter],
    }
    with tracing_context(parent=work.trace or None):
        ledger = merge_constraints(mind["constraints"], work.unread)
        conversation = {"messages": work.messages, "branch": work.branch, "turns": work.turn}
        given = cast(MirrorState, {**mind, "constraints": ledger, **conversation})
        values: dict[str, Any] = {}
        events = thinker.astream(given, config, context=work.context, stream_mode=["updates", "values"])
        async for mode, event in cast("AsyncIterator[tuple[str, Any]]", events):
            if mode == "values":
                values = event
            else:
                for thought in _thoughts_in(event):
                    on_thought(thought)
    return mind_from(values)


def _thoughts_in(updates: Mapping[str, Any]) -> list[Thought]:
    """Return the thoughts among what the nodes of a step wrote."""
    written = [update for update in updates.values() if isinstance(update, dict)]
    return [draft for update in written for draft in update.get("drafts", [])]


async def _finish_despite_cancel(work: Coroutine[Any, Any, None]) -> None:
    """Await `work` to its end, and only then let a cancellation through: a commit is all or nothing."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()
