"""The scheduler on a LangGraph server: a background run on the mind's own thread."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from math import ceil
from typing import Any, cast

from langchain_core.messages import RemoveMessage
from langgraph.graph.message import REMOVE_ALL_MESSAGES
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import ConflictError, NotFoundError, PermissionDeniedError
from langgraph_sdk.schema import RunStatus

from mirror_graph.scheduling.base import ThinkingPass, is_proven, mind_from, mind_thread
from mirror_graph.scheduling.item_store import StoreScheduler, join_minds
from mirror_graph.scheduling.labels import about_run
from mirror_graph.scheduling.thinking_pass import ThinkerGraph
from mirror_graph.state import MindState, Narrative, empty_mind
from mirror_graph.state.constraints import merge_constraints
from mirror_graph.state.context import context_as_json
from mirror_graph.state.values import AnsweredTurn

log = logging.getLogger(__name__)

GRAPH = "thinker"

HISTORY = 40
"""Checkpoints of a mind thread that are searched for an earlier narrative."""

NOT_OURS = (ConflictError, NotFoundError, PermissionDeniedError)
"""How a server answers for a thread of another user."""

_OWN_CALL: ContextVar[bool] = ContextVar("mirror_own_call", default=False)


class ServerScheduler:
    """Schedules passes through the server's in-process client, as the signed-in user.

    The server keeps one run a thread, so a newer pass rolls back a waiting or running one; the mind stays as it
    was before it. Once the mind is `max_lag` turns behind, a running pass is left to finish, and the newer one
    follows it at once, in place of any that still waits. Chat runs never wait: they are on another thread. What the
    calls of a pass took that was rolled back does not count for `thread_tokens`.

    A pass runs in the process of the talker instead, with its mind in the store, if the server has a single worker,
    which every reply would wait for, and if the mind's thread is another user's. A mind is what the two places join to.
    """

    def __init__(self, thinker: ThinkerGraph) -> None:
        self._in_process = StoreScheduler(thinker)

    async def recall(self, thread_id: str, owner: str | None = None, branch: Sequence[AnsweredTurn] = ()) -> MindState:
        """Read the latest state of the mind thread, and the mind in the store."""
        stored = await self._in_process.recall(thread_id, owner, branch)
        if has_one_worker() and stored["turn"]:
            return stored  # every pass ran in this process, and the first one took over what was on a thread
        return join_minds(await _mind_on_thread(thread_id, owner, branch), stored)

    async def narratives(self, thread_id: str, owner: str | None = None) -> list[Narrative]:
        """Read the narratives of the mind thread's last checkpoints."""
        with own_call(), suppress(*NOT_OURS):
            states = await get_client().threads.get_history(mind_thread(thread_id, owner), limit=HISTORY)
            minds = [mind_from(cast("dict[str, Any]", state["values"] or {})) for state in reversed(states)]
            return [mind["narrative"] for mind in minds if mind["narrative"].get("text")]
        return []

    async def schedule(self, work: ThinkingPass) -> None:
        """Create a background run that starts `think_after` seconds from now, or a task of this process."""
        if has_one_worker():
            _explain_one_worker()
            await self._think_here(work)
            return
        try:
            await self._think_on_thread(work)
        except NOT_OURS as error:
            log.warning(
                "the mind's thread of %s is another user's (%s): its thinking runs in this process, and its mind is in "
                "the store",
                work.thread_id,
                type(error).__name__,
            )
            await self._think_here(work)

    async def _think_on_thread(self, work: ThinkingPass) -> None:
        stored = await self._in_process.recall(work.thread_id, work.owner, work.branch)
        with own_call():
            server = get_client()
            if work.behind >= work.context.max_lag:
                await _drop_waiting(server, mind_thread(work.thread_id, work.owner))
            try:
                await _create_run(server, work, stored)
            except NotFoundError:
                # Its first pass. The thread is made by itself, so that it has the owner of this run or fails here.
                earlier = await _mind_on_thread(work.thread_id, work.owner, work.branch)
                await server.threads.create(
                    thread_id=mind_thread(work.thread_id, work.owner),
                    # Not empty: a server loses what a handler of `Auth` adds to metadata that it was not given.
                    metadata={"component": "mind", "conversation_id": work.thread_id},
                    if_exists="raise",
                )
                await _create_run(server, work, join_minds(earlier, stored))

    async def _think_here(self, work: ThinkingPass) -> None:
        """Make the pass in this process. A mind that is on a thread so far goes on in the store."""
        stored = await self._in_process.recall(work.thread_id, work.owner, work.branch)
        on_thread = await _mind_on_thread(work.thread_id, work.owner, work.branch)
        if on_thread["turn"] > stored["turn"]:
            await self._in_process.commit(work, on_thread)
        await self._in_process.schedule(work)


async def forget_mind_thread(thread_id: str, owner: str | None) -> None:
    """Delete the mind's thread, and the one on which an earlier release stored it without an owner."""
    with own_call():
        server = get_client()
        for mind_thread_id in {mind_thread(thread_id, owner), mind_thread(thread_id)}:
            # Of another user's thread the server says that there is none.
            with suppress(NotFoundError, PermissionDeniedError):
                await _cancel_runs(server, mind_thread_id)
                await server.threads.delete(mind_thread_id)


async def _cancel_runs(server: LangGraphClient, thread_id: str) -> None:
    """Cancel every run of a thread: one that ends later would store its result all the same."""
    unfinished: tuple[RunStatus, ...] = ("pending", "running")
    for status in unfinished:
        for run in await server.runs.list(thread_id, status=status, limit=100):
            # It may have ended by itself.
            with suppress(ConflictError, NotFoundError):
                await server.runs.cancel(thread_id, run["run_id"], wait=True)


def is_in_server() -> bool:
    """Say whether this process is a LangGraph server's: the SDK's client would reach no server from any other."""
    return "langgraph_api" in sys.modules


def is_own_call() -> bool:
    """Say whether the request that a handler of `Auth` is about comes from MIRROR itself, and not from a client.

    Only MIRROR writes to a mind's thread.
    """
    return _OWN_CALL.get()


def has_one_worker() -> bool:
    """Say whether the server makes one run at a time, as `langgraph dev` does unless `--n-jobs-per-worker` says more.

    A pass in the background would then hold up every reply of every user.
    """
    config = sys.modules.get("langgraph_api.config")
    return getattr(config, "N_JOBS_PER_WORKER", None) == 1


@contextmanager
def own_call() -> Iterator[None]:
    """Mark what is asked of the server in this block as asked by MIRROR itself."""
    token = _OWN_CALL.set(True)
    try:
        yield
    finally:
        _OWN_CALL.reset(token)


async def _mind_on_thread(thread_id: str, owner: str | None, branch: Sequence[AnsweredTurn]) -> MindState:
    """Return the mind on the thread of its owner, or else one that an earlier release stored there without one."""
    mind = await _values(mind_thread(thread_id, owner))
    if mind is not None or owner is None:
        return mind or empty_mind()
    unowned = await _values(mind_thread(thread_id))
    return unowned if unowned is not None and is_proven(unowned, branch) else empty_mind()


async def _values(mind_thread_id: str) -> MindState | None:
    with own_call():
        try:
            state = await get_client().threads.get_state(mind_thread_id)
        except NOT_OURS:
            return None
    return mind_from(cast("dict[str, Any]", state["values"] or {}))


async def _create_run(server: LangGraphClient, work: ThinkingPass, stored: MindState) -> None:
    is_overdue = work.behind >= work.context.max_lag
    await server.runs.create(
        mind_thread(work.thread_id, work.owner),
        GRAPH,
        input=_input(work, stored),
        context=context_as_json(work.context),
        # `thread_id` is the mind thread's, and reserved; `graph` replaces it in the runs that LangSmith gets.
        metadata={
            "conversation_id": work.thread_id,
            "turn": work.turn,
            "component": "thinking",
            **about_run(work.context.user_id),
        },
        after_seconds=0 if is_overdue else ceil(work.context.think_after),  # a server cuts 0.5 to 0
        multitask_strategy="enqueue" if is_overdue else "rollback",
        if_not_exists="reject",
        durability="exit",
        headers=work.trace,
    )


def _input(work: ThinkingPass, stored: MindState) -> dict[str, Any]:
    """Return what a pass is about, in the place of what an earlier one that failed may have left on the thread.

    `stored` is what is stored of the mind elsewhere. Every channel is a join, so it replaces nothing that is newer.
    """
    messages = [RemoveMessage(id=REMOVE_ALL_MESSAGES), *work.messages]
    known = {**stored} if stored["turn"] else {}
    constraints = merge_constraints(stored["constraints"], work.unread)
    return {**known, "messages": messages, "constraints": constraints, "branch": work.branch}


async def _drop_waiting(server: LangGraphClient, thread_id: str) -> None:
    """Cancel the passes that have not started; a newer one takes over what they were about."""
    with suppress(NotFoundError):
        waiting = await server.runs.list(thread_id, status="pending", limit=100)
        for run in waiting:
            await server.runs.cancel(thread_id, run["run_id"], action="rollback")


@cache
def _explain_one_worker() -> None:
    """Say once per process why no runs of `thinker` are seen."""
    log.warning(
        "this server makes one run at a time, so thinking runs in its process: start it with `--n-jobs-per-worker 10` "
        "for background runs"
    )
