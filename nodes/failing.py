"""What a failure leaves behind: a count, and nothing else."""

from typing import Any

from langgraph.errors import NodeError

from mirror_graph.errors import CallError, ConfigurationError
from mirror_graph.state import Failure, MirrorState, MirrorUpdate
from mirror_graph.state.window import last_turn


def _note_failure(state: MirrorState, error: NodeError) -> MirrorUpdate:
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


note_failure: Any = _note_failure
"""For `add_node(error_handler=...)`, whose type leaves out the `NodeError` that LangGraph injects."""
