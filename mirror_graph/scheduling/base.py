"""The interface of a scheduler: `recall` before a reply, `schedule` after it."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, cast
from uuid import UUID, uuid5

from langchain_core.messages import AnyMessage

from mirror_graph.errors import StorageError
from mirror_graph.ledger.user_constraints import owner_mark
from mirror_graph.state import SCHEMA_VERSION, MindState, MirrorContext, Narrative, SafetyConstraint, empty_mind
from mirror_graph.state.migration import migrate_mind
from mirror_graph.state.validation import is_constraint
from mirror_graph.state.values import AnsweredTurn

THREAD_NAMES = UUID("2f5d3c0e-7a44-5c55-8a53-0f6f3c1d9b61")
"""The namespace in which a thread id that is no UUID becomes one."""


@dataclass(frozen=True)
class ThinkingPass:
    """One pass of thinking to be made: every exchange after the last turn that was thought about.

    `behind` says how many turns the mind has not read, this one included: at least 1.
    `trace` names the LangSmith run of the turn, if it is traced. `unread` are constraints that the scanner found in
    messages that left the window before a pass read them. `branch` is the conversation's, up to this turn.
    `named_messages` are the messages of the thread that the stored monologue may name.
    """

    thread_id: str
    turn: int
    messages: list[AnyMessage]
    context: MirrorContext
    behind: int
    trace: dict[str, str] = field(default_factory=dict)
    unread: list[SafetyConstraint] = field(default_factory=list)
    branch: list[AnsweredTurn] = field(default_factory=list)
    named_messages: list[AnyMessage] = field(default_factory=list)
    scheduled_at: float = field(default_factory=time.time, compare=False)

    @property
    def owner(self) -> str | None:
        """The user whose conversation it is, or None."""
        return self.context.user_id


class Scheduler(Protocol):
    """Runs thinking independently of talking. Each thread has one mind, which only its passes write."""

    async def recall(self, thread_id: str, owner: str | None = None, branch: Sequence[AnsweredTurn] = ()) -> MindState:
        """Return the newest mind of a thread of `owner`, a user or None: one read, never a wait for a pass.

        Another owner's mind is never returned. A mind that an earlier release stored without an owner is returned if
        it has read a reply of `branch`, the conversation's answered turns.
        """
        ...

    async def narratives(self, thread_id: str, owner: str | None = None) -> list[Narrative]:
        """Return the stored narratives of a thread, oldest first.

        A mind goes back to one of them if its branch is abandoned.
        """
        ...

    async def schedule(self, work: ThinkingPass) -> None:
        """Take over a pass, which starts `think_after` seconds from now unless a newer one comes first."""
        ...


def mind_thread(thread_id: str, owner: str | None = None) -> str:
    """Return the id of the thread that holds the mind of `thread_id` (uuid5, so always the same).

    A thread id that was deleted may be used again by another owner, who gets another mind.
    """
    mind = uuid5(thread_uuid(thread_id), "mind")
    return str(mind if owner is None else uuid5(mind, owner_mark(owner)))


def is_proven(mind: MindState, branch: Sequence[AnsweredTurn]) -> bool:
    """Say whether a mind without an owner is of the conversation with these turns: it has read one of its replies.

    The ids of replies cannot be guessed, and a deleted conversation's replies are in no other.
    """
    reply = mind["read"].get("reply")
    return bool(reply) and any(answered["reply"] == reply for answered in branch)


def thread_uuid(thread_id: str) -> UUID:
    """Return the UUID that a thread id spells, or else one derived from its text. Always the same for the same id."""
    try:
        return UUID(thread_id)
    except ValueError:
        return uuid5(THREAD_NAMES, thread_id)


def mind_from(values: Mapping[str, Any]) -> MindState:
    """Return the mind among a thread's stored `values`; what they lack is as in an empty one.

    What stands in its ledger and is no constraint is left out: a client may have written there.

    Raises `StorageError` for one that a later release has written.
    """
    schema = values.get("schema_version", 0)
    if schema > SCHEMA_VERSION:
        raise StorageError(
            f"the mind has schema {schema}, and this release reads schemas up to {SCHEMA_VERSION}: upgrade mirror-graph"
        )
    stored = migrate_mind(values)
    mind = {**empty_mind(), **{key: stored[key] for key in MindState.__annotations__ if key in stored}}
    mind["constraints"] = [constraint for constraint in mind["constraints"] if is_constraint(constraint)]
    return cast(MindState, mind)
