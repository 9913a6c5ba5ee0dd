"""The error handler of a node: it counts the failure and stores nothing else."""

from collections.abc import Mapping
from typing import Any

from langgraph.errors import NodeError
from langgraph.types import Command

from mirror_graph.errors import CallError, ConfigurationError
from mirror_graph.state import Failure, MindState, MirrorState, MirrorUpdate
from mirror_graph.state.branch import current_branch, last_turn


def count_failure(*, then: str) -> Any:
    """Return an error handler that counts the failure and continues with node `then`.

    A handled failure follows no edge, so a handler that only counted would end the run where it stands.
    Typed `Any` for `add_node(error_handler=...)`, whose type leaves out the `NodeError` that LangGraph injects.
    """

    def count(state: MirrorState, error: NodeError) -> Command[str]:
        return Command(update=_failed(state, error), goto=then)

    return count


def with_failure(state: MindState, component: str, turn: int, error: str) -> dict[str, Failure]:
    """Return a component's failures with one more, by the class of what went wrong.

    The words of an error are not stored: they may hold what the user wrote, or a key.
    """
    before: Failure = state["failures"].get(component, {"count": 0, "turn": 0, "error": ""})
    return {component: {"count": before["count"] + 1, "turn": turn, "error": error}}


def with_failures(state: MindState, turn: int, errors: Mapping[str, str]) -> dict[str, Failure]:
    """Return the failures of the components that failed in `turn`, each with one more.

    `errors` holds the class of each component's failure, or `""` if it did not fail.
    """
    failures: dict[str, Failure] = {}
    for component, error in errors.items():
        if error:
            failures |= with_failure(state, component, turn, error)
    return failures


def _failed(state: MirrorState, error: NodeError) -> MirrorUpdate:
    """Count a failed node, or raise the error again if a wrong setting caused it."""
    # It would fail every turn, and only whoever wrote the setting can mend it.
    if isinstance(error.error, ConfigurationError):
        raise error.error
    # A call knows the component it was made for. A node may make calls for several.
    component = error.error.component if isinstance(error.error, CallError) else error.node
    cause = getattr(error.error, "cause", None) or error.error
    turn = last_turn(current_branch(state["messages"], state["branch"]))
    return {"failures": with_failure(state, component, turn, type(cause).__name__)}
