"""`forget`: erase what a server stores of a thread or of a user outside of the thread itself."""

from langgraph.runtime import Runtime

from mirror_graph.errors import ConfigurationError
from mirror_graph.ledger.access import user_of
from mirror_graph.ledger.user_constraints import erase
from mirror_graph.scheduling.erasure import forget_mind
from mirror_graph.scheduling.labels import about_run
from mirror_graph.state import MirrorContext
from mirror_graph.state.erasure import ForgetState
from mirror_graph.storage.audit import log_erased


async def forget(state: ForgetState, runtime: Runtime[MirrorContext]) -> ForgetState:
    """Erase the mind of `thread_id`, and with `user` all constraints of whoever asks.

    What is another user's is not found, and so it stays. Raises `ConfigurationError` if nothing is asked for, and if
    `user` is set and the run has no user.
    """
    thread_id, is_user = state.get("thread_id"), state.get("user", False)
    user_id = user_of(runtime)
    if not thread_id and not is_user:
        raise ConfigurationError("nothing to forget: expected `thread_id`, or `user`, or both")
    if thread_id:
        await forget_mind(thread_id, user_id, runtime.store)
        log_erased("mind", thread=thread_id, reason="request")
    if is_user:
        if user_id is None or runtime.store is None:
            raise ConfigurationError("there is no user whose constraints could be erased: sign in, or pass `user_id`")
        await erase(runtime.store, user_id)
        log_erased("constraints", user=about_run(user_id)["mirror_user"], id="all")
    return state
