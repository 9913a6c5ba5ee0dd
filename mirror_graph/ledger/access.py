"""The ledger in this run: the thread's own, and what the user's store adds to it."""

import time
from collections.abc import Callable, Sequence

from langchain_core.messages import AnyMessage
from langgraph.runtime import Runtime

from mirror_graph.calls.model_call import context_of
from mirror_graph.errors import MissingKeyError
from mirror_graph.ledger.repeats import with_provisional
from mirror_graph.ledger.retraction import denied
from mirror_graph.ledger.user_constraints import UserLists, apply_edits, load_lists, publish
from mirror_graph.ledger.user_messages import UserMessage, scan_ahead, scan_messages, user_messages
from mirror_graph.state import MindState, MirrorContext, MirrorState, SafetyConstraint
from mirror_graph.state.branch import last_turn, read_turn
from mirror_graph.state.constraints import active
from mirror_graph.state.context import check_user_id
from mirror_graph.state.migration import migrate_constraints
from mirror_graph.state.window import messages_after, pending_messages

ANONYMOUS = "anonymous"
"""The identity that a server gives to callers who did not sign in."""


async def load_ledger(state: MindState, runtime: Runtime[MirrorContext]) -> list[SafetyConstraint]:
    """Return the ledger; with a user and a store, what the user's other conversations told and their own edits."""
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
    waiting = {message.id for message in pending_messages(messages, branch)}
    earlier = [message for message in unread if message.message not in waiting]
    latest = [message for message in unread if message.message in waiting]
    ledger = with_provisional(migrate_constraints(state["constraints"]), scan_messages(earlier))
    failure = ""
    try:
        # The user's own edits outrank what they said before, and not what they say now.
        lists = await _users_lists(runtime)
        if lists is not None:
            ledger = apply_edits(ledger, lists.stated, lists.edited)
            failure = "UnreadableItem" if lists.unreadable else ""
    except MissingKeyError:
        raise  # as any wrong setting: without the key, every reply would lack what the user stated elsewhere
    except Exception as error:
        failure = type(error).__name__
    constraints = active(with_provisional(ledger, scan_messages(latest)))
    denied_ids = _denied_since(constraints, unread)
    holding = [constraint for constraint in constraints if constraint["id"] not in denied_ids]
    return for_speaker(holding, latest[-1].speaker if latest else "", user_id), failure


def stated_since_last_pass(state: MirrorState, runtime: Runtime[MirrorContext]) -> list[SafetyConstraint]:
    """Return what the user's messages state that no pass has read, without what they plainly deny again."""
    branch = state["branch"]
    messages = messages_after(state["messages"], read_turn(state), branch)
    unread = user_messages(messages, branch, last_turn(branch), user_of(runtime))
    stated = scan_messages(unread)
    denied_ids = _denied_since(stated, unread)
    return [constraint for constraint in stated if constraint["id"] not in denied_ids]


def for_speaker(constraints: list[SafetyConstraint], speaker: str, user_id: str | None) -> list[SafetyConstraint]:
    """Return the constraints as they concern whoever speaks now: in a group, their own are the user's."""
    if not speaker:
        return constraints
    owner = user_id or "another user"
    subjects = {speaker: "user", "user": owner}
    return [
        {**constraint, "subject": subjects.get(constraint["subject"], constraint["subject"])}
        for constraint in constraints
    ]


def _denied_since(constraints: Sequence[SafetyConstraint], messages: Sequence[UserMessage]) -> set[str]:
    """Return the ids of the constraints that these messages plainly deny and do not state again later."""
    ids: set[str] = set()
    for message in messages:
        # What is stated again after it was denied holds.
        ids -= {constraint["id"] for constraint in scan_messages([message])}
        # In a group, a member can deny only what is their own.
        subject = message.speaker or "user"
        own = [constraint for constraint in constraints if constraint["subject"] == subject]
        ids.update(denied(own, message.text))
    return ids


async def commit_ledger(
    state: MindState,
    runtime: Runtime[MirrorContext],
    update: Callable[[list[SafetyConstraint]], list[SafetyConstraint]],
) -> list[SafetyConstraint]:
    """Return what `update` makes of the ledger, and let the user's other conversations know of it.

    With a user and a store, `update` receives the ledger as a fresh read of the store shows it.
    """
    own = migrate_constraints(state["constraints"])
    user_id = user_of(runtime)
    if user_id is None or runtime.store is None:
        return update(own)

    def with_edits(lists: UserLists) -> list[SafetyConstraint]:
        updated = update(apply_edits(own, lists.stated, lists.edited))
        return apply_edits(updated, lists.stated, lists.edited)  # no thought outranks the user's own edit

    return await publish(runtime.store, user_id, with_edits)


async def publish_stated(stated: list[SafetyConstraint], runtime: Runtime[MirrorContext]) -> None:
    """Let the user's other conversations know of constraints that no pass will read."""
    user_id = user_of(runtime)
    if not stated or user_id is None or runtime.store is None:
        return
    now = time.time()

    def with_news(lists: UserLists) -> list[SafetyConstraint]:
        known = {(shared["id"], shared["source"]["quote"]) for shared in lists.stated}
        # A turn publishes again what earlier turns published. Only a new statement is written, with today's date.
        news = [constraint for constraint in stated if (constraint["id"], constraint["source"]["quote"]) not in known]
        active_news = [_active_since(now, constraint) for constraint in news]
        return apply_edits(active_news, lists.stated, lists.edited)

    await publish(runtime.store, user_id, with_news)


def _active_since(now: float, constraint: SafetyConstraint) -> SafetyConstraint:
    """Return a constraint as active, dated if it has no date yet."""
    recorded_at = constraint["source"]["recorded_at"] or now
    return {**constraint, "status": "active", "source": {**constraint["source"], "recorded_at": recorded_at}}


async def _users_lists(runtime: Runtime[MirrorContext]) -> UserLists | None:
    """Return what the user's store holds, or None for a run without a user or a store."""
    user_id = user_of(runtime)
    return None if user_id is None or runtime.store is None else await load_lists(runtime.store, user_id)


def user_of(runtime: Runtime[MirrorContext]) -> str | None:
    """Return the id of the run's user: on a server the signed-in one, whatever the context says; else the context's.

    `anonymous` is no user: it is what a server without sign-in calls everybody.
    """
    server = runtime.server_info
    signed_in = server.user.identity if server is not None and server.user is not None else ANONYMOUS
    user_id = context_of(runtime).user_id if signed_in == ANONYMOUS else signed_in
    if user_id is None or user_id == ANONYMOUS:
        return None
    check_user_id(user_id)
    return user_id
