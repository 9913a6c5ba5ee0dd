"""What an agent's thread remembers of MIRROR between its steps and its runs, under one private key of its state."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NotRequired, cast
from uuid import uuid4

from langchain.agents import AgentState
from langchain.agents.middleware.types import PrivateStateAttr
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from typing_extensions import TypedDict

from mirror_graph.state import ComponentUsage, Failure, MindState, SafetyConstraint, empty_mind
from mirror_graph.state.branch import position_of, read_turn
from mirror_graph.state.content import readable
from mirror_graph.state.reducers import MESSAGE_LIMIT
from mirror_graph.state.text import sanitize
from mirror_graph.state.tokens import truncate_middle
from mirror_graph.state.values import AnsweredTurn
from mirror_graph.state.window import is_users

KEY = "mirror"
"""The private key. Other middleware names its keys after what it counts, and none of them is a mirror."""


class Utterance(TypedDict):
    """One message of the user's: its id, its text, and the name of who wrote it, if it has one."""

    id: str
    text: str
    name: str


class Answered(TypedDict):
    """One answered turn that has not been thought about: the user's words, and the text of the reply `reply`."""

    turn: int
    reply: str
    words: list[Utterance]
    text: str


class AgentRecord(TypedDict):
    """One thread of an agent.

    `turn` is the turn under way, and `turns` counts those that were answered. `mind` is what the turn started from,
    without its monologue, and `constraints` are those that hold in this turn. `words` wait for the reply: they are
    held here because other middleware may fold them into a summary in the middle of a turn. `request` is what of them
    is asked for last. `mark` ends the tag around the mind, and is new every turn. `pending` is answered and not
    thought about; of what had to leave it before that, `unread` holds the constraints.
    """

    turn: int
    turns: int
    branch: list[AnsweredTurn]
    mind: MindState
    constraints: list[SafetyConstraint]
    words: list[Utterance]
    request: str
    mark: str
    pending: list[Answered]
    unread: list[SafetyConstraint]
    failures: dict[str, Failure]
    usage: dict[str, ComponentUsage]


class MirrorAgentState(AgentState[Any]):
    """The state of an agent with MIRROR. The record is neither input nor output of the agent."""

    mirror: NotRequired[Annotated[AgentRecord, PrivateStateAttr]]


def empty_record() -> AgentRecord:
    """Return the record of a thread before its first turn."""
    return {
        "turn": 0,
        "turns": 0,
        "branch": [],
        "mind": empty_mind(),
        "constraints": [],
        "words": [],
        "request": "",
        "mark": "",
        "pending": [],
        "unread": [],
        "failures": {},
        "usage": {},
    }


def record_in(values: Mapping[str, Any]) -> AgentRecord:
    """Return the record among a thread's values; what it lacks is as in an empty one."""
    known = values.get(KEY)
    if not isinstance(known, dict):
        return empty_record()
    fields = {name: known[name] for name in AgentRecord.__annotations__ if name in known}
    return cast(AgentRecord, {**empty_record(), **fields})


def utterances_of(messages: Sequence[HumanMessage]) -> list[Utterance]:
    """Return messages of the user's as plain values, each at most as long as a message of a thread may be.

    One without an id gets one of ours: the messages of some agents have none (deepagents).
    """
    return [
        {"id": message.id or str(uuid4()), "text": _text_of(message), "name": message.name or ""}
        for message in messages
    ]


def place_of(utterance: Utterance, messages: Sequence[AnyMessage]) -> int | None:
    """Return where an utterance of the user's stands, looked for from the end; None if it does not."""
    for place in reversed(range(len(messages))):
        message = messages[place]
        if message.id:
            is_it = message.id == utterance["id"]
        else:
            is_it = is_users(message) and _text_of(message) == utterance["text"]
        if is_it:
            return place
    return None


def begins_at(words: Sequence[Utterance], messages: Sequence[AnyMessage]) -> int | None:
    """Return where the first of `words` stands that is still there."""
    return next((place for utterance in words if (place := place_of(utterance, messages)) is not None), None)


def ends_at(words: Sequence[Utterance], messages: Sequence[AnyMessage]) -> int | None:
    """Return where the last of `words` stands that is still there."""
    return begins_at(words[::-1], messages)


def _text_of(message: AnyMessage) -> str:
    return truncate_middle(sanitize(readable(message)), MESSAGE_LIMIT)


def as_messages(words: Sequence[Utterance]) -> list[AnyMessage]:
    """Return words of the user's as messages."""
    return [HumanMessage(utterance["text"], id=utterance["id"], name=utterance["name"] or None) for utterance in words]


def conversation_in(pending: Sequence[Answered]) -> list[AnyMessage]:
    """Return answered turns as the messages that thinking reads."""
    messages: list[AnyMessage] = []
    for answered in pending:
        messages += as_messages(answered["words"])
        messages.append(AIMessage(answered["text"], id=answered["reply"]))
    return messages


def still_pending(pending: Sequence[Answered], mind: MindState, branch: Sequence[AnsweredTurn]) -> list[Answered]:
    """Return what `mind` has not read of the turns that are still part of the conversation."""
    places = {answered["reply"]: place for place, answered in enumerate(branch)}
    position = position_of(read_turn(mind), branch) or 0
    return [answered for answered in pending if places.get(answered["reply"], -1) >= position]
