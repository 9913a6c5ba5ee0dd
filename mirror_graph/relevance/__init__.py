"""Which of a user's constraints a text is relevant to: relations and comparisons, no model call."""

from mirror_graph.relevance.exposure import Exposure, can_touch
from mirror_graph.relevance.levels import Level, levels, relevant
from mirror_graph.relevance.match import is_related, warm_up, what_touches

__all__ = ["Exposure", "Level", "can_touch", "is_related", "levels", "relevant", "warm_up", "what_touches"]
