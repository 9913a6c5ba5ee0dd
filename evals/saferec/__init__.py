"""SafeRec: do recommendations respect what a user cannot bear, and what does that cost them?

The figures measure tags of films and dishes. They do not measure harm.
"""

from mirror_graph.evals.saferec import metrics, oracle, titles
from mirror_graph.evals.saferec.scoring import run

__all__ = ["metrics", "oracle", "run", "titles"]
