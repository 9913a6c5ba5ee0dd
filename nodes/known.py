"""The ledger as it holds in this run: the thread's own, and what the user's store adds to it."""

from collections.abc import Sequence

from langchain_core.messages import AnyMessage
from langgraph.runtime import Runtime

from mirror_graph.ledger.hearing import listen, scanned
from mirror_graph.ledger.merging import heeded
from mirror_graph.ledger.sharing import share, shared, with_users_word
from mirror_graph.nodes.asking import choices
from mirror_graph.state import MindState, MirrorContext, MirrorState, SafetyConstraint
from mirror_graph.state.branch import read_turn
from mirror_graph.state.constraints import active
from mirror_graph.state.context import check_user_id
from mirror_graph.state.window import messages_after, unanswered


async def known(state: MindState, runtime: Runtime[MirrorContext]) -> list[SafetyConstraint]:
    """Return the ledger; with a user and a store, what the user's other conversations told and their own edits."""
    return await _with_users_word(state["constraints"], runtime)


async def to_heed(
    state: MirrorState, messages: Sequence[AnyMessage], turn: int, runtime: Runtime[MirrorContext]
) -> tuple[list[SafetyConstraint], str]:
    """Return the dangers a reply in `turn` is to heed, the gravest first: the ledger, and what was told since the pass.

    The user's own edits outrank what they said before, and not what they say now. Where the user's store is away,
    it is the thread's own ledger, and the error's class.
    """
    branch, user_id = state["branch"], whose(runtime)
    heard = listen(messages_after(messages, read_turn(state), branch), branch, turn, user_id)
    waiting = unanswered(messages, branch)
    new = {message.id for message in waiting}
    earlier = [message for message in heard if message.message not in new]
    latest = [message for message in heard if message.message in new]
    ledger, away = heeded(state["constraints"], scanned(earlier)), ""
    try:
        ledger = await _with_users_word(ledger, runtime)
    except Exception as error:
        away = type(error).__name__
    speaker = latest[-1].speaker if latest else ""
    return for_speaker(active(heeded(ledger, scanned(latest))), speaker, user_id), away


def for_speaker(entries: list[SafetyConstraint], speaker: str, user_id: str | None) -> list[SafetyConstraint]:
    """Return the constraints as they concern whoever speaks now: in a group, their own are the user's."""
    if not speaker:
        return entries
    owner = user_id or "another user"
    subjects = {speaker: "user", "user": owner}
    return [{**entry, "whose": subjects.get(entry["whose"], entry["whose"])} for entry in entries]


async def passed_on(ledger: list[SafetyConstraint], runtime: Runtime[MirrorContext]) -> list[SafetyConstraint]:
    """Let the user's other conversations know of `ledger`, and return it with the user's own edits kept."""
    ledger = await _with_users_word(ledger, runtime)
    user_id = whose(runtime)
    if user_id is not None and runtime.store is not None:
        await share(runtime.store, user_id, ledger)  # what was erased is superseded by now, and not shared
    return ledger


async def _with_users_word(ledger: list[SafetyConstraint], runtime: Runtime[MirrorContext]) -> list[SafetyConstraint]:
    user_id = whose(runtime)
    if user_id is None or runtime.store is None:
        return ledger
    return with_users_word(ledger, *await shared(runtime.store, user_id))


def whose(runtime: Runtime[MirrorContext]) -> str | None:
    """Return whose run it is: the signed-in user on a server, whatever the context says; else the context's."""
    server = runtime.server_info
    if server is not None and server.user is not None:
        check_user_id(server.user.identity)
        return server.user.identity
    return choices(runtime).user_id
