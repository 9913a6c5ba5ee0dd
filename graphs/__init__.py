"""Four graphs over the same nodes, as uncompiled builders, and one node for a graph of your own."""

from mirror_graph.graphs.mirror import build_mirror
from mirror_graph.graphs.mirror_node import MirrorNode, mirror_node
from mirror_graph.graphs.recommend import build_recommend
from mirror_graph.graphs.talker import build_talker
from mirror_graph.graphs.thinker import build_thinker

__all__ = ["MirrorNode", "build_mirror", "build_recommend", "build_talker", "build_thinker", "mirror_node"]
