"""What a mind does, one model call a node: talk, think, synthesize; and recall and schedule between the lanes."""

from mirror_graph.nodes.failing import note_failure
from mirror_graph.nodes.foresee import foresee
from mirror_graph.nodes.joint import think_jointly
from mirror_graph.nodes.lane import Recall, Schedule
from mirror_graph.nodes.remember import remember
from mirror_graph.nodes.synthesize import commit, synthesize
from mirror_graph.nodes.talk import talk
from mirror_graph.nodes.think import Thinker

__all__ = [
    "Recall",
    "Schedule",
    "Thinker",
    "commit",
    "foresee",
    "note_failure",
    "remember",
    "synthesize",
    "talk",
    "think_jointly",
]
