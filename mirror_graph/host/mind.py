"""The mind of a conversation, as a host returns it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mirror_graph.state import ComponentUsage, Failure, SafetyConstraint

Paused = Literal["", "off", "thread budget", "daily budget"]


@dataclass(frozen=True)
class Mind:
    """The mind of a conversation after `turn`, `lag` turns behind the conversation.

    `thoughts` maps each thinker to its thought, and `failures` each component to its failures. `usage` covers the
    whole thread, including the talker. `guarded` counts the replies to which the guard added something. `paused` says
    why thinking has stopped, and is `""` if it has not.
    """

    narrative: str
    thoughts: Mapping[str, str]
    constraints: tuple[SafetyConstraint, ...]
    turn: int
    lag: int
    failures: Mapping[str, Failure]
    usage: Mapping[str, ComponentUsage]
    paused: Paused = ""
    guarded: int = 0
