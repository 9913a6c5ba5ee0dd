"""The ledger as it holds in this run: the thread's own, and what the user's store adds to it."""

from collections.abc import Callable, Sequence

from langchain_core.messages import AnyMessage
from langgraph.runtime import Runtime

from mirror_graph.calls.model_call import context_of
from mirror_graph.ledger.repeats import with_provisional
from mirror_graph.ledger.retraction import denied
from mirror_graph.ledger.user_constraints import UserLists, apply_edits, load_lists, publish
from mirror_graph.ledger.user_messages import UserMessage, scan_ahead, scan_messages, user_messages
from mirror_graph.state import MindState, MirrorContext, MirrorState, SafetyConstraint
from mirror_graph.state.branch import read_turn
from mirror_graph.state.constraints import active
from mirror_graph.state.context import check_user_id
from mirror_graph.state.migration import migrate_constraints
from mirror_graph.state.window import messages_after, pending_messages


async def load_ledger(state: MindState, runtime: Runtime[MirrorContext]) -> list[SafetyConstraint]:
    """Return the ledger; with a user and a store, what the user's other conversations told and their own edits."""
    ledger = migrate_constraints(state["constraints"])
    lists = await _users_lists(runtime)
    return ledger if lists is None else apply_edits(ledger, lists.told, lists.edited)


async def ledger_for_reply(
    state: MirrorState, messages: Sequence[AnyMessage], turn: int, runtime: Runtime[MirrorContext]
) -> tuple[list[SafetyConstraint], str]:
    """Return the dangers a reply in `turn` is to heed, the gravest first: the ledger, and what was told since the pass.

    The user's own edits outrank what they said before, and not what they say now. What the user plainly denied since
    the last pass is left out, until a pass has thought about it. Where the user's store is away, it is the thread's
    own ledger, and the error's class; where only items of it cannot be read, it is the rest, and `"UnreadableItem"`.
    """
    branch, user_id = state["branch"], user_of(runtime)
    heard = user_messages(messages_after(messages, read_turn(state), branch), branch, turn, user_id)
    await scan_ahead(heard)
    waiting = pending_messages(messages, branch)
    new = {message.id for message in waiting}
    earlier = [message for message in heard if message.message not in new]
    latest = [message for message in heard if message.message in new]
    ledger, away = with_provisional(migrate_constraints(state["constraints"]), scan_messages(earlier)), ""
    try:
        lists = await _users_lists(runtime)
        if lists is not None:
            ledger = apply_edits(ledger, lists.told, lists.edited)
            away = "UnreadableItem" if lists.unreadable else ""
    except Exception as error:
        away = type(error).__name__
    constraints = active(with_provisional(ledger, scan_messages(latest)))
    over = _denied_since(constraints, heard)
    holding = [constraint for constraint in constraints if constraint["id"] not in over]
    return for_speaker(holding, latest[-1].speaker if latest else "", user_id), away


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


def _denied_since(constraints: Sequence[SafetyConstraint], heard: Sequence[UserMessage]) -> set[str]:
    """Return the ids of the constraints that these messages plainly deny and do not state again later."""
    over: set[str] = set()
    for message in heard:
        over -= {constraint["id"] for constraint in scan_messages([message])}
        subject = message.speaker or "user"  # in a group nobody denies what is somebody else's
        over |= set(
            denied([constraint for constraint in constraints if constraint["subject"] == subject], message.text)
        )
    return over


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
        updated = update(apply_edits(own, lists.told, lists.edited))
        return apply_edits(updated, lists.told, lists.edited)  # no thought outranks the user's own edit

    return await publish(runtime.store, user_id, with_edits)


async def publish_ledger(ledger: list[SafetyConstraint], runtime: Runtime[MirrorContext]) -> None:
    """Let the user's other conversations know of `ledger`."""
    user_id = user_of(runtime)
    if user_id is not None and runtime.store is not None:
        await publish(runtime.store, user_id, lambda lists: apply_edits(ledger, lists.told, lists.edited))


async def _users_lists(runtime: Runtime[MirrorContext]) -> UserLists | None:
    """Return what the user's store holds, or None for a run without a user or a store."""
    user_id = user_of(runtime)
    return None if user_id is None or runtime.store is None else await load_lists(runtime.store, user_id)


def user_of(runtime: Runtime[MirrorContext]) -> str | None:
    """Return whose run it is: the signed-in user on a server, whatever the context says; else the context's."""
    server = runtime.server_info
    if server is not None and server.user is not None:
        check_user_id(server.user.identity)
        return server.user.identity
    return context_of(runtime).user_id
