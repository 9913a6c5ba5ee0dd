"""The wiring: three graphs over the same nodes as builders for others to compile, and one node for their graphs."""

from mirror_graph.graphs.mirror import build_mirror
from mirror_graph.graphs.mirror_node import mirror_node
from mirror_graph.graphs.talker import build_talker
from mirror_graph.graphs.thinker import build_thinker

__all__ = ["build_mirror", "build_talker", "build_thinker", "mirror_node"]
