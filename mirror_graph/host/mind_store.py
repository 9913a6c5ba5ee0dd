"""Minds in a database: loaded, updated and committed."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, cast

from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableConfig
from langgraph.store.base import BaseStore, Op, PutOp, Result

from mirror_graph.graphs import build_thinker
from mirror_graph.host.watching import Watchers
from mirror_graph.scheduling import ThinkingPass, mind_thread
from mirror_graph.scheduling.base import mind_from
from mirror_graph.scheduling.labels import Labels
from mirror_graph.scheduling.thinking_pass import Meter, think
from mirror_graph.state import MindState, Narrative
from mirror_graph.state.branch import current_branch
from mirror_graph.state.references import with_references
from mirror_graph.state.values import AnsweredTurn
from mirror_graph.storage import Storage


class CheckpointMindStore:
    """Minds as checkpoints of the graph `thinker`, one thread each."""

    def __init__(self, storage: Storage, labels: Labels | None = None, watchers: Watchers | None = None) -> None:
        self._labels = labels or Labels()
        self._watchers = watchers or Watchers()
        self._storage = storage
        self._stored = build_thinker().compile(checkpointer=storage.minds, name="thinker")
        self._thinker = self._stored.copy({"checkpointer": None})

    async def load(self, thread_id: str, owner: str | None = None, branch: Sequence[AnsweredTurn] = ()) -> MindState:
        """Return the newest mind of a thread. The owner needs no check here: a host's thread ids derive from it.

        Raises `StorageError` for one that a later release has written.
        """
        return mind_from(await self._storage.values(mind_thread(thread_id), f"the mind of thread {thread_id}"))

    async def narratives(self, thread_id: str, owner: str | None = None) -> list[Narrative]:
        """Return the stored narratives of a thread, oldest first."""
        return await self._storage.history(mind_thread(thread_id))

    async def think(self, mind: MindState, work: ThinkingPass, meter: Meter) -> MindState:
        """Return `mind` after a pass over `work`; nothing is stored but what it tells the user's other threads."""
        thinker = self._thinker.copy({"store": self._storage.sealed(_PassStore(work, self._storage))})
        show = partial(self._watchers.show_thought, work.thread_id)
        return await think(thinker, mind, work, meter, self._labels, show)

    async def commit(self, work: ThinkingPass, mind: MindState) -> None:
        """Merge `mind` into the stored one under the thread's lock, in one write.

        The channels are joins, so that whatever another host has committed since `load` stays where it is
        newer. A thread that has been forgotten in the meantime stays forgotten. Of a pass about a reply that the
        thread no longer holds, only what its calls took is stored.
        """
        thread_id = mind_thread(work.thread_id)
        async with self._storage.lock(thread_id):
            conversation = await self._storage.values(work.thread_id)
            window = conversation.get("messages", [])
            values = cast("dict[str, Any]", {**mind, "monologue": with_references(mind["monologue"], window)})
            if _is_current(work, conversation):
                await self._stored.aupdate_state(_config(thread_id), values, as_node="commit")
                await self._storage.save_version(thread_id, mind["narrative"])
                await self._storage.prune(thread_id)
            elif {message.id for message in work.messages} & {message.id for message in window}:
                await self._stored.aupdate_state(_config(thread_id), {"usage": mind["usage"]}, as_node="commit")
                await self._storage.prune(thread_id)
        self._watchers.note_change(work.thread_id, work.context.user_id)


class _PassStore(BaseStore):
    """The store as a pass may write it: not at all once its thread has been forgotten, here or by another host."""

    def __init__(self, work: ThinkingPass, storage: Storage) -> None:
        self._work = work
        self._storage = storage

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """Refuse: thinking is asynchronous."""
        raise NotImplementedError

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Read at once, and write under the lock that forgetting takes too."""
        asked = list(ops)
        if not any(isinstance(op, PutOp) for op in asked):
            return await self._storage.items.abatch(asked)
        async with self._storage.lock(mind_thread(self._work.thread_id)):
            if _is_current(self._work, await self._storage.values(self._work.thread_id)):
                return await self._storage.items.abatch(asked)
        return [None] * len(asked)


def _is_current(work: ThinkingPass, values: dict[str, Any]) -> bool:
    """Say whether the conversation still holds the last reply that `work` is about: it was not forgotten since."""
    branch = current_branch(values.get("messages", []), values.get("branch", []))
    # Not the last message: a message without a reply may stand behind it.
    last_reply = next((message.id for message in reversed(work.messages) if isinstance(message, AIMessage)), None)
    return any(answered["reply"] == last_reply for answered in branch)


def _config(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}
