"""The graphs that Aegra serves. It loads files, and thinking runs in its own process."""

from mirror_graph.graphs.recommend import build_recommend
from mirror_graph.graphs.talker import build_talker

talker = build_talker().compile(name="talker")
recommend = build_recommend().compile(name="recommend")
