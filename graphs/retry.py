"""How a graph makes a step again whose model call failed."""

from langgraph.types import RetryPolicy

from mirror_graph.models import is_transient

RETRY = RetryPolicy(initial_interval=0.5, max_interval=8.0, max_attempts=3, retry_on=is_transient)
"""Three attempts at what may succeed the next time. `retry=` of a builder replaces it."""


def default_retry() -> RetryPolicy:
    """Return the policy of a graph that was built without one."""
    return RETRY
