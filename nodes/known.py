"""The ledger as it holds in this run: the thread's own, and what the user's store adds to it."""

from langgraph.runtime import Runtime

from mirror_graph.ledger.sharing import share, shared, with_users_word
from mirror_graph.nodes.asking import choices
from mirror_graph.state import MindState, MirrorContext, SafetyConstraint


async def known(state: MindState, runtime: Runtime[MirrorContext]) -> list[SafetyConstraint]:
    """Return the ledger; with a user and a store, what the user's other conversations told and their own edits."""
    return await _with_users_word(state["constraints"], runtime)


async def known_or_stored(state: MindState, runtime: Runtime[MirrorContext]) -> tuple[list[SafetyConstraint], str]:
    """Return the ledger as `known` does; where the user's store is away, the thread's own, and the error's class."""
    try:
        return await known(state, runtime), ""
    except Exception as error:
        return state["constraints"], type(error).__name__


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
        return str(server.user.identity)
    return choices(runtime).user_id
