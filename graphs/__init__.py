"""Three graphs over the same nodes, as uncompiled builders."""

from mirror_graph.graphs.mirror import build_mirror
from mirror_graph.graphs.talker import build_talker
from mirror_graph.graphs.thinker import build_thinker

__all__ = ["build_mirror", "build_talker", "build_thinker"]
