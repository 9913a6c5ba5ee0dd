"""The thinking lane: how what was said reaches the thinkers, and how the mind comes back."""

from mirror_graph.lanes.base import Lane, Pass, mind_thread

__all__ = ["Lane", "Pass", "mind_thread"]
