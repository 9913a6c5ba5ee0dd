"""When thinking runs, and how the mind gets back to the talker."""

from mirror_graph.scheduling.base import Scheduler, ThinkingPass, mind_thread

__all__ = ["Scheduler", "ThinkingPass", "mind_thread"]
