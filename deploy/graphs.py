"""The graphs that Aegra serves. It loads files, and thinking runs in its own process."""

from mirror_graph.graphs.forget import build_forget
from mirror_graph.graphs.recommend import build_recommend
from mirror_graph.graphs.talker import build_talker
from mirror_graph.serve.aegra_runs import one_run_per_thread

talker = one_run_per_thread(build_talker().compile(name="talker"))
recommend = one_run_per_thread(build_recommend().compile(name="recommend"))
forget = build_forget().compile(name="forget")
