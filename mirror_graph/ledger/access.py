"""The ledger in this run: the thread's own, and what the user's store adds to it."""

import time
from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

from langchain_core.messages import AnyMessage
from langgraph.runtime import Runtime

from mirror_graph.calls.model_call import context_of
from mirror_graph.errors import MissingKeyError
from mirror_graph.ledger.repeats import with_provisional
from mirror_graph.ledger.retraction import denied
from mirror_graph.ledger.user_constraints import UserLists, apply_edits, load_lists, publish, publish_provisional
from mirror_graph.ledger.user_messages import UserMessage, scan_ahead, scan_messages, user_messages
from mirror_graph.state import MindState, MirrorContext, MirrorState, SafetyConstraint
from mirror_graph.state.branch import last_turn, read_turn
from mirror_graph.state.constraints import active, ids_of, of_subject, severe, without_ids
from mirror_graph.state.context import check_user_id
from mirror_graph.state.migration import migrate_constraints
from mirror_graph.state.values import AnsweredTurn
from mirror_graph.state.window import messages_after, pending_messages

ANONYMOUS = "anonymous"
"""The identity that a server gives to callers who did not sign in."""


async def load_ledger(state: MindState, runtime: Runtime[MirrorContext]) -> list[SafetyConstraint]:
    """Return the ledger; with a user and a store, what the user stated in other conversations and their own edits."""
    ledger = migrate_constraints(state["constraints"])
    lists = await _users_lists(runtime)
    return ledger if lists is None else apply_edits(ledger, lists.stated, lists.edited)


async def ledger_for_reply(
    state: MirrorState, messages: Sequence[AnyMessage], turn: int, runtime: Runtime[MirrorContext]
) -> tuple[list[SafetyConstraint], str]:
    """Return the constraints that hold for a reply in `turn`, the most severe first, and a failure's class or `""`.

    They are the ledger and what was stated since the last pass. What the user plainly denied since then is left out
    until a pass has read it. If the user's store fails, only the thread's own ledger is returned, with the error's
    class. If single items of the store cannot be read, the rest is returned, with `"UnreadableItem"`.
    """
    branch, user_id = state["branch"], user_of(runtime)
    unread = user_messages(messages_after(messages, read_turn(state), branch), branch, turn, user_id)
    await scan_ahead(unread)
    parts = _split_at_last_reply(unread, messages, branch)
    ledger = with_provisional(migrate_constraints(state["constraints"]), scan_messages(parts.answered))
    edited = await _with_users_lists(ledger, runtime)
    # The user's edits outrank what they stated before, and not what they state now: the latest messages come last.
    constraints = active(with_provisional(edited.ledger, scan_messages(parts.waiting)))
    holding = without_ids(constraints, _denied_since(constraints, unread))
    speaker = parts.waiting[-1].speaker if parts.waiting else ""
    return for_speaker(holding, speaker, user_id), edited.failure


class _Unread(NamedTuple):
    """The user's messages that no pass has read: those that were answered, and those that wait for a reply."""

    answered: list[UserMessage]
    waiting: list[UserMessage]


def _split_at_last_reply(
    unread: Sequence[UserMessage], messages: Sequence[AnyMessage], branch: Sequence[AnsweredTurn]
) -> _Unread:
    pending = {message.id for message in pending_messages(messages, branch)}
    parts = _Unread([], [])
    for message in unread:
        part = parts.waiting if message.message in pending else parts.answered
        part.append(message)
    return parts


class _Edited(NamedTuple):
    """A ledger with the user's own edits, and the class of the failure if not all of them could be read."""

    ledger: list[SafetyConstraint]
    failure: str


async def _with_users_lists(ledger: list[SafetyConstraint], runtime: Runtime[MirrorContext]) -> _Edited:
    try:
        lists = await _users_lists(runtime)
        if lists is None:
            return _Edited(ledger, "")
        edited = apply_edits(ledger, lists.stated, lists.edited)
        whole = with_provisional(edited, lists.provisional_beyond(_thread_or_none(runtime)))
        return _Edited(whole, "UnreadableItem" if lists.unreadable else "")
    except MissingKeyError:
        # A wrong setting is raised: without the key, every reply would lack what the user stated elsewhere.
        raise
    except Exception as error:
        # The thread's own ledger needs no store, so the reply is still held to it, and the failure is counted.
        return _Edited(ledger, type(error).__name__)


def stated_since_last_pass(state: MirrorState, runtime: Runtime[MirrorContext]) -> list[SafetyConstraint]:
    """Return what the user's messages state that no pass has read, without what they plainly deny again."""
    branch = state["branch"]
    messages = messages_after(state["messages"], read_turn(state), branch)
    unread = user_messages(messages, branch, last_turn(branch), user_of(runtime))
    stated = scan_messages(unread)
    return without_ids(stated, _denied_since(stated, unread))


def for_speaker(constraints: list[SafetyConstraint], speaker: str, user_id: str | None) -> list[SafetyConstraint]:
    """Return the constraints as they concern whoever speaks now: in a group, their own are the user's."""
    if not speaker:
        return constraints
    # What the account's owner stated of themselves is another person's to everybody else in the group.
    subjects = {speaker: "user", "user": user_id or "another user"}
    concerning: list[SafetyConstraint] = []
    for constraint in constraints:
        subject = constraint["subject"]
        concerning.append({**constraint, "subject": subjects.get(subject, subject)})
    return concerning


def _denied_since(constraints: Sequence[SafetyConstraint], messages: Sequence[UserMessage]) -> set[str]:
    """Return the ids of the constraints that these messages plainly deny and do not state again later."""
    ids: set[str] = set()
    for message in messages:
        # What is stated again after it was denied holds.
        ids -= ids_of(scan_messages([message]))
        # In a group, a member can deny only what is their own.
        own = of_subject(constraints, message.speaker or "user")
        ids.update(denied(own, message.text))
    return ids


async def commit_ledger(
    state: MindState,
    runtime: Runtime[MirrorContext],
    update: Callable[[list[SafetyConstraint]], list[SafetyConstraint]],
    read: Collection[str],
) -> list[SafetyConstraint]:
    """Return what `update` makes of the ledger, and let the user's other conversations know of it.

    With a user and a store, `update` receives the ledger as a fresh read of the store shows it. Nothing in it is
    provisional in another conversation: only a pass over that one can confirm or drop it. `read` are the ids of the
    messages that have been read.
    """
    own = migrate_constraints(state["constraints"])
    user_id = user_of(runtime)
    if user_id is None or runtime.store is None:
        return update(own)

    def with_edits(lists: UserLists) -> list[SafetyConstraint]:
        updated = update(apply_edits(own, lists.stated, lists.edited))
        # The edits are applied again, because no thought outranks the user's own edit.
        return apply_edits(updated, lists.stated, lists.edited)

    return await publish(runtime.store, user_id, with_edits, read)


async def publish_stated(stated: list[SafetyConstraint], runtime: Runtime[MirrorContext]) -> None:
    """Let the user's other conversations know of constraints that no pass will read."""
    user_id = user_of(runtime)
    if not stated or user_id is None or runtime.store is None:
        return
    now = time.time()

    def with_news(lists: UserLists) -> list[SafetyConstraint]:
        published = {(shared["id"], shared["source"]["quote"]) for shared in lists.stated}
        news: list[SafetyConstraint] = []
        for constraint in stated:
            # A turn states again what earlier turns have published. Only a new statement is written, with this date.
            if (constraint["id"], constraint["source"]["quote"]) not in published:
                news.append(_active_since(now, constraint))
        return apply_edits(news, lists.stated, lists.edited)

    await publish(runtime.store, user_id, with_news, {constraint["source"]["message"] for constraint in stated})


async def publish_found(found: list[SafetyConstraint], runtime: Runtime[MirrorContext]) -> None:
    """Let the user's other conversations know of severe constraints that a pass is still to read.

    `found` is everything that the unread messages state. What the pass rejects, it takes back (`commit_ledger`).
    """
    user_id = user_of(runtime)
    now = time.time()
    # A preference can wait for the pass: no one is hurt if another conversation learns it later.
    urgent = [_dated(now, constraint) for constraint in severe(found)]
    if not urgent or user_id is None or runtime.store is None:
        return
    await publish_provisional(runtime.store, user_id, _thread_or_none(runtime), urgent)


def _active_since(now: float, constraint: SafetyConstraint) -> SafetyConstraint:
    """Return a constraint as active, dated if it has no date yet."""
    return {**_dated(now, constraint), "status": "active"}


def _dated(now: float, constraint: SafetyConstraint) -> SafetyConstraint:
    recorded_at = constraint["source"]["recorded_at"] or now
    return {**constraint, "source": {**constraint["source"], "recorded_at": recorded_at}}


async def _users_lists(runtime: Runtime[MirrorContext]) -> UserLists | None:
    """Return what the user's store holds, or None for a run without a user or a store."""
    user_id = user_of(runtime)
    return None if user_id is None or runtime.store is None else await load_lists(runtime.store, user_id)


def _thread_or_none(runtime: Runtime[MirrorContext]) -> str:
    """Return the thread a run is on, or `""` for a run on none."""
    return (runtime.execution_info.thread_id if runtime.execution_info else None) or ""


def user_of(runtime: Runtime[MirrorContext]) -> str | None:
    """Return the id of the run's user: on a server the signed-in one, whatever the context says; else the context's.

    `anonymous` is no user: it is what a server without sign-in calls everybody.
    """
    server = runtime.server_info
    signed_in = server.user.identity if server is not None and server.user is not None else ANONYMOUS
    # The signed-in user comes first: a caller must not read another user's constraints by writing an id in a context.
    user_id = context_of(runtime).user_id if signed_in == ANONYMOUS else signed_in
    # Without a user nothing is shared. Callers who did not sign in are many people under one name.
    if user_id is None or user_id == ANONYMOUS:
        return None
    check_user_id(user_id)
    return user_id
