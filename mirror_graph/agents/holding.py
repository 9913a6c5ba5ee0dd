"""Middleware that holds the tool calls of an agent, and of the agents to which it hands work."""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from langchain.agents import AgentState
from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import ToolCallRequest
from langchain_core.messages import ToolMessage
from langgraph.types import Command, interrupt
from langsmith.run_helpers import get_current_run_tree

from mirror_graph.agents.actions import OnAction, Outcome, hold, is_approval, mark, question, refusal
from mirror_graph.agents.record import AgentRecord, empty_record

_under_way: ContextVar[AgentRecord | None] = ContextVar("mirror_turn_under_way", default=None)
"""The record of the turn in which a tool runs. What the tool starts, such as another agent, inherits it."""


class HoldingMiddleware(AgentMiddleware[AgentState[Any], Any, Any]):
    """Hold the tool calls of an agent to the constraints of the user whose turn it is."""

    def __init__(self, on_action: OnAction) -> None:
        super().__init__()
        self._on_action: OnAction = on_action

    def wrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]
    ) -> ToolMessage | Command[Any]:
        """Run a tool, unless its call touches a severe constraint of the user's."""
        record = self._record_of(request)
        verdict = self._judge(request, record)
        if isinstance(verdict, ToolMessage):
            return verdict
        with _turn_under_way(record):
            return _with_mark(handler(request), verdict)

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """Run a tool, unless its call touches a severe constraint of the user's."""
        record = self._record_of(request)
        verdict = self._judge(request, record)
        if isinstance(verdict, ToolMessage):
            return verdict
        with _turn_under_way(record):
            return _with_mark(await handler(request), verdict)

    def _record_of(self, request: ToolCallRequest) -> AgentRecord:
        """Return the record of the turn that a call belongs to: the one of the agent that handed this one its work."""
        return _under_way.get() or empty_record()

    def _judge(self, request: ToolCallRequest, record: AgentRecord) -> ToolMessage | Mapping[str, Any]:
        """Return the refusal of a call, or what its result notes if it runs: nothing, if nothing is touched."""
        held = hold(request.tool_call, request.tool, record)
        if held is None:
            return {}
        outcome: Outcome = "allowed"
        if self._on_action == "refuse":
            outcome = "refused"
        elif self._on_action == "interrupt":
            outcome = "approved" if is_approval(interrupt(question(held))) else "refused"
        noted = mark(held, outcome)
        _trace(noted)
        return refusal(held) if outcome == "refused" else noted


@contextmanager
def _turn_under_way(record: AgentRecord) -> Iterator[None]:
    token = _under_way.set(record)
    try:
        yield
    finally:
        _under_way.reset(token)


def _with_mark(result: ToolMessage | Command[Any], noted: Mapping[str, Any]) -> ToolMessage | Command[Any]:
    if not noted or not isinstance(result, ToolMessage):
        return result
    return result.model_copy(update={"response_metadata": {**result.response_metadata, **noted}})


def _trace(noted: Mapping[str, Any]) -> None:
    """Note in the trace what became of a call: the outcome and the constraints' ids, and no words."""
    run = get_current_run_tree()
    if run is not None:
        run.add_metadata(
            {"mirror_action": noted["mirror"]["action"], "mirror_constraints": noted["mirror"]["constraints"]}
        )
