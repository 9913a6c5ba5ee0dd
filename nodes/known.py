"""The ledger as it holds in this run: the thread's own, and what the user's store adds to it."""

from collections.abc import Sequence

from langchain_core.messages import AnyMessage
from langgraph.runtime import Runtime

from mirror_graph.ledger.hearing import listen, scanned
from mirror_graph.ledger.merging import heeded
from mirror_graph.ledger.sharing import share, shared, with_users_word
from mirror_graph.nodes.asking import choices
from mirror_graph.state import MindState, MirrorContext, SafetyConstraint
from mirror_graph.state.constraints import active
from mirror_graph.state.context import check_user_id
from mirror_graph.state.window import unanswered


async def known(state: MindState, runtime: Runtime[MirrorContext]) -> list[SafetyConstraint]:
    """Return the ledger; with a user and a store, what the user's other conversations told and their own edits."""
    return await _with_users_word(state["constraints"], runtime)


async def to_heed(
    state: MindState, messages: Sequence[AnyMessage], runtime: Runtime[MirrorContext]
) -> tuple[list[SafetyConstraint], str]:
    """Return the dangers a reply is to heed, the gravest first: the ledger, and what was told since the last pass.

    The user's own edits outrank what they said before, and not what they say now. Where the user's store is away,
    it is the thread's own ledger, and the error's class.
    """
    heard = listen(messages, state["turn"])
    new = {message.id for message in unanswered(messages)}
    before, now = (scanned([it for it in heard if (it.message in new) is said]) for said in (False, True))
    ledger, away = heeded(state["constraints"], before), ""
    try:
        ledger = await _with_users_word(ledger, runtime)
    except Exception as error:
        away = type(error).__name__
    return active(heeded(ledger, now)), away


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
