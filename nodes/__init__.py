"""The nodes of the graphs, one file each."""

from mirror_graph.nodes.anticipation import anticipate
from mirror_graph.nodes.commit import commit
from mirror_graph.nodes.failures import count_failure
from mirror_graph.nodes.forget import forget
from mirror_graph.nodes.joint import think_jointly
from mirror_graph.nodes.memory import remember
from mirror_graph.nodes.offer import offer
from mirror_graph.nodes.propose import Propose
from mirror_graph.nodes.recall import Recall
from mirror_graph.nodes.schedule import Schedule
from mirror_graph.nodes.screen import screen_proposed
from mirror_graph.nodes.synthesis import synthesize
from mirror_graph.nodes.talker import talk
from mirror_graph.nodes.thinker import Thinker

__all__ = [
    "Propose",
    "Recall",
    "Schedule",
    "Thinker",
    "anticipate",
    "commit",
    "count_failure",
    "forget",
    "offer",
    "remember",
    "screen_proposed",
    "synthesize",
    "talk",
    "think_jointly",
]
