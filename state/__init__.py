"""What a thread remembers: plain values, the rules that merge them, and the choices of a run."""

from mirror_graph.state.context import ALL_THINKERS, MirrorContext, Thinking
from mirror_graph.state.schema import (
    SCHEMA_VERSION,
    ComponentUsage,
    Exchange,
    Failure,
    MindState,
    MirrorState,
    MirrorUpdate,
    MonologueEntry,
    Narrative,
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
    "MonologueEntry",
    "Narrative",
    "SafetyConstraint",
    "Thinking",
    "Thought",
    "Tokens",
    "empty_mind",
]
