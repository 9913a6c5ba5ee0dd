"""The state of a thread: `MirrorState` is the window of messages plus the mind."""

from typing import Annotated

from langchain_core.messages import AnyMessage, RemoveMessage
from typing_extensions import TypedDict

from mirror_graph.state.constraints import merge_constraints
from mirror_graph.state.reducers import (
    count_failures,
    count_usage,
    keep_messages,
    later,
    latest_pass,
    merge_read,
    newest_monologue,
    newest_narrative,
    replace_branch,
)
from mirror_graph.state.values import (
    AnsweredTurn,
    ComponentUsage,
    Exchange,
    Failure,
    Narrative,
    Notes,
    Passage,
    SafetyConstraint,
    Thought,
    Tokens,
)

__all__ = [
    "SCHEMA_VERSION",
    "AnsweredTurn",
    "ComponentUsage",
    "Exchange",
    "Failure",
    "MindState",
    "MirrorInput",
    "MirrorState",
    "MirrorUpdate",
    "Narrative",
    "Notes",
    "PassState",
    "Passage",
    "SafetyConstraint",
    "Thought",
    "Tokens",
    "empty_mind",
]

SCHEMA_VERSION = 1


class MindState(TypedDict):
    """What is thought about a conversation. Every channel merges as a join (reducers.py).

    `read` is the last turn that has been thought about, and `turn` its number; 0 before the first pass.
    """

    narrative: Annotated[Narrative, newest_narrative]
    thoughts: Annotated[list[Thought], latest_pass]
    monologue: Annotated[list[Passage], newest_monologue]
    constraints: Annotated[list[SafetyConstraint], merge_constraints]
    turn: Annotated[int, later]
    read: Annotated[AnsweredTurn, merge_read]
    failures: Annotated[dict[str, Failure], count_failures]
    usage: Annotated[dict[str, ComponentUsage], count_usage]
    schema_version: Annotated[int, later]


class MirrorState(MindState):
    """A thread: the mind, and the conversation it is about.

    `messages` is the window, oldest first. `branch` holds the last answered turns of the conversation as it stands,
    the last 32 of them. `turns` counts every turn that was ever answered on the thread, and only grows.
    """

    messages: Annotated[list[AnyMessage], keep_messages]
    branch: Annotated[list[AnsweredTurn], replace_branch]
    turns: Annotated[int, later]


class MirrorInput(TypedDict):
    """What a caller sends: messages, in any form LangGraph takes."""

    messages: list[AnyMessage]


class PassState(MirrorState):
    """A thread while it is being thought about.

    `drafts`, `notes` and `touches` are what the fan-out thought, noted for the ledger and anticipated of it, before the
    synthesis commits it with the narrative, so that a pass cut off halfway leaves the last good mind.
    """

    drafts: Annotated[list[Thought], latest_pass]
    notes: Notes
    touches: dict[str, list[str]]


class MirrorUpdate(TypedDict, total=False):
    """What a node may return. LangGraph drops an unknown key in silence; a type checker does not."""

    narrative: Narrative
    thoughts: list[Thought]
    monologue: list[Passage]
    constraints: list[SafetyConstraint]
    turn: int
    read: AnsweredTurn
    failures: dict[str, Failure]
    usage: dict[str, ComponentUsage]
    schema_version: int
    messages: list[AnyMessage | RemoveMessage]
    branch: list[AnsweredTurn]
    turns: int
    drafts: list[Thought]
    notes: Notes
    touches: dict[str, list[str]]


def empty_mind() -> MindState:
    """Return the mind of a thread nobody has thought about yet."""
    return {
        "narrative": {"turn": 0, "text": ""},
        "thoughts": [],
        "monologue": [],
        "constraints": [],
        "turn": 0,
        "read": {"turn": 0, "reply": ""},
        "failures": {},
        "usage": {},
        "schema_version": SCHEMA_VERSION,
    }
