"""Holds a model's replies to the user's constraints: rules and relations, no model call."""

from mirror_graph.guard.model import GuardedModel, guarded
from mirror_graph.guard.reading import Finding, TouchedBy
from mirror_graph.guard.touching import Touch
from mirror_graph.guard.watch import Rule

__all__ = ["Finding", "GuardedModel", "Rule", "Touch", "TouchedBy", "guarded"]
