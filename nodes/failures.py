"""The error handler of a node: it counts the failure and stores nothing else."""

from typing import Any

from langgraph.errors import NodeError
from langgraph.types import Command

from mirror_graph.errors import CallError, ConfigurationError
from mirror_graph.state import Failure, MindState, MirrorState, MirrorUpdate
from mirror_graph.state.branch import current_branch, last_turn


def count_failure(*, then: str) -> Any:
    """Return an error handler that counts the failure and goes on to node `then`.

    A handled failure follows no edge, so a handler that only counted would end the run where it stands.
    Typed `Any` for `add_node(error_handler=...)`, whose type leaves out the `NodeError` that LangGraph injects.
    """

    def count(state: MirrorState, error: NodeError) -> Command[str]:
        return Command(update=_failed(state, error), goto=then)

    return count


def with_failure(state: MindState, component: str, turn: int, error: str) -> dict[str, Failure]:
    """Return a component's failures with one more, by the class of what went wrong. Its words are never kept."""
    before: Failure = state["failures"].get(component, {"count": 0, "turn": 0, "error": ""})
    return {component: {"count": before["count"] + 1, "turn": turn, "error": error}}


def _failed(state: MirrorState, error: NodeError) -> MirrorUpdate:
    """Count a failed node. A wrong configuration is raised again: it would fail every turn."""
    if isinstance(error.error, ConfigurationError):
        raise error.error
    component = error.error.component if isinstance(error.error, CallError) else error.node
    cause = getattr(error.error, "cause", None) or error.error
    turn = last_turn(current_branch(state["messages"], state["branch"]))
    return {"failures": with_failure(state, component, turn, type(cause).__name__)}
