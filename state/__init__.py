"""What a thread remembers: plain values, the rules that merge them, and the choices of a run."""

from mirror_graph.state.context import ALL_THINKERS, MirrorContext, Thinking
from mirror_graph.state.mind import (
    SCHEMA_VERSION,
    ComponentUsage,
    Exchange,
    Failure,
    MindState,
    MirrorState,
    MirrorUpdate,
    Narrative,
    Passage,
    SafetyConstraint,
    Thought,
    Tokens,
    empty_mind,
)

__all__ = [
    "ALL_THINKERS",
    "SCHEMA_VERSION",
    "ComponentUsage",
    "Exchange",
    "Failure",
    "MindState",
    "MirrorContext",
    "MirrorState",
    "MirrorUpdate",
    "Narrative",
    "Passage",
    "SafetyConstraint",
    "Thinking",
    "Thought",
    "Tokens",
    "empty_mind",
]
