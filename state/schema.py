"""The state of a thread: `MirrorState` is the window of messages plus the mind."""

from typing import Annotated, NotRequired

from langchain_core.messages import AnyMessage, RemoveMessage
from langgraph.channels import UntrackedValue
from typing_extensions import TypedDict

from mirror_graph.state.constraints import merge_constraints
from mirror_graph.state.reducers import (
    merge_failures,
    merge_messages,
    merge_monologue,
    merge_narrative,
    merge_read,
    merge_thoughts,
    merge_turn,
    merge_usage,
    replace_branch,
)
from mirror_graph.state.values import (
    AnsweredTurn,
    ComponentUsage,
    Exchange,
    Failure,
    MonologueEntry,
    Narrative,
    Notes,
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
    "MonologueEntry",
    "Narrative",
    "Notes",
    "PassState",
    "SafetyConstraint",
    "Thought",
    "Tokens",
    "empty_mind",
]

SCHEMA_VERSION = 3


class MindState(TypedDict):
    """What is thought about a conversation. Every channel merges as a join (reducers.py).

    `read` is the last turn that has been thought about, and `turn` its number; 0 before the first pass.
    """

    narrative: Annotated[Narrative, merge_narrative]
    thoughts: Annotated[list[Thought], merge_thoughts]
    monologue: Annotated[list[MonologueEntry], merge_monologue]
    constraints: Annotated[list[SafetyConstraint], merge_constraints]
    turn: Annotated[int, merge_turn]
    read: Annotated[AnsweredTurn, merge_read]
    failures: Annotated[dict[str, Failure], merge_failures]
    usage: Annotated[dict[str, ComponentUsage], merge_usage]
    schema_version: Annotated[int, merge_turn]


class MirrorState(MindState):
    """A thread: the mind, and the conversation it is about.

    `messages` is the window, oldest first. `departed` are messages that have left it and that the stored monologue
    names or may still name. `nameable` are the ids of what it names or quotes; it is in no checkpoint. `branch` holds
    the last answered turns of the conversation as it stands, the last 32 of them. `turns` counts every turn that was
    ever answered on the thread, and only grows.
    """

    messages: Annotated[list[AnyMessage], merge_messages]
    departed: NotRequired[list[AnyMessage]]
    nameable: NotRequired[Annotated[list[str], UntrackedValue]]
    branch: Annotated[list[AnsweredTurn], replace_branch]
    turns: Annotated[int, merge_turn]


class MirrorInput(TypedDict):
    """What a caller sends: messages, in any form LangGraph takes."""

    messages: list[AnyMessage]


class PassState(MirrorState):
    """A thread while it is being thought about.

    `drafts`, `notes` and `triggers` are what the fan-out thought, noted for the ledger and anticipated. The synthesis
    commits them together with the narrative, so that a pass that is cut off leaves the last good mind.
    """

    drafts: Annotated[list[Thought], merge_thoughts]
    notes: Notes
    triggers: dict[str, list[str]]


class MirrorUpdate(TypedDict, total=False):
    """What a node may return. LangGraph drops an unknown key in silence; a type checker does not."""

    narrative: Narrative
    thoughts: list[Thought]
    monologue: list[MonologueEntry]
    constraints: list[SafetyConstraint]
    turn: int
    read: AnsweredTurn
    failures: dict[str, Failure]
    usage: dict[str, ComponentUsage]
    schema_version: int
    messages: list[AnyMessage | RemoveMessage]
    departed: list[AnyMessage]
    nameable: list[str]
    branch: list[AnsweredTurn]
    turns: int
    drafts: list[Thought]
    notes: Notes
    triggers: dict[str, list[str]]


def empty_mind() -> MindState:
    """Return the mind of a thread that has not been thought about yet."""
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
