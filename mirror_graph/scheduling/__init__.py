"""Scheduling: how what was said reaches the thinkers, and how the mind comes back."""

from mirror_graph.scheduling.base import Scheduler, ThinkingPass, mind_thread

__all__ = ["Scheduler", "ThinkingPass", "mind_thread"]
