"""What a failure leaves behind: a count, and nothing else."""

from typing import Any

from langgraph.errors import NodeError
from langgraph.types import Command

from mirror_graph.errors import CallError, ConfigurationError
from mirror_graph.state import Failure, MirrorState, MirrorUpdate
from mirror_graph.state.window import last_turn


def note_failure(*, then: str) -> Any:
    """Return an error handler that counts the failure and goes on to node `then`.

    A handled failure follows no edge, so a handler that only counted would end the run where it stands.
    Typed `Any` for `add_node(error_handler=...)`, whose type leaves out the `NodeError` that LangGraph injects.
    """

    def count(state: MirrorState, error: NodeError) -> Command[str]:
        return Command(update=_counted(state, error), goto=then)

    return count


def _counted(state: MirrorState, error: NodeError) -> MirrorUpdate:
    """Count a failed component by the class of what went wrong. Its words are never kept.

    A wrong configuration is not answered here: it would fail every turn, so it is raised again.
    """
    if isinstance(error.error, ConfigurationError):
        raise error.error
    component = error.error.component if isinstance(error.error, CallError) else error.node
    cause = getattr(error.error, "cause", None) or error.error
    before: Failure = state["failures"].get(component, {"count": 0, "turn": 0, "error": ""})
    turn = last_turn(state["messages"])
    return {"failures": {component: {"count": before["count"] + 1, "turn": turn, "error": type(cause).__name__}}}
