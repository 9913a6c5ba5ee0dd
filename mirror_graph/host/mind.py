"""The mind of a conversation, as a host returns it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mirror_graph.state import ComponentUsage, Failure, SafetyConstraint

Paused = Literal["", "off", "thread budget", "daily budget"]


@dataclass(frozen=True)
class Mind:
    """The mind of a conversation after `turn`, `lag` turns behind the conversation.

    `thoughts` and `failures` are by thinker and component; `usage` is the whole thread's, the talker's
    included. `guarded` is to how many replies the guard added something. `paused` says why nothing more is thought
    for now, and is `""` while thinking goes on.
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
