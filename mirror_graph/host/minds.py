"""The minds of a database: loaded, thought further, and committed."""

from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langsmith.run_helpers import tracing_context

from mirror_graph.errors import StorageError
from mirror_graph.graphs import build_thinker
from mirror_graph.lanes import Pass, mind_thread
from mirror_graph.state import SCHEMA_VERSION, MindState, empty_mind
from mirror_graph.storage import Storage


class StoredMinds:
    """Minds as checkpoints of the graph `thinker`, one thread each."""

    def __init__(self, storage: Storage) -> None:
        builder = build_thinker()
        self._storage = storage
        self._thinker = builder.compile(store=storage.store, name="thinker")
        self._stored = builder.compile(checkpointer=storage.saver)

    async def load(self, thread_id: str) -> MindState:
        """Return the newest mind of a thread.

        Raises `StorageError` for one that a later release has written.
        """
        found = await self._storage.saver.aget_tuple(_config(thread_id))
        if found is None:
            return empty_mind()
        values = found.checkpoint["channel_values"]
        if values.get("schema_version", 0) > SCHEMA_VERSION:
            raise StorageError(
                f"thread {thread_id}: its mind has schema {values['schema_version']}, this release reads up to "
                f"{SCHEMA_VERSION}: upgrade mirror-graph"
            )
        return cast(
            MindState, {**empty_mind(), **{key: values[key] for key in MindState.__annotations__ if key in values}}
        )

    async def think(self, mind: MindState, work: Pass) -> MindState:
        """Return `mind` after a pass over `work`; nothing is stored. The pass is traced as part of its turn."""
        config: RunnableConfig = {
            "run_name": "thinking",
            "metadata": {"thread_id": work.thread_id, "turn": work.turn, "component": "thinking"},
        }
        with tracing_context(parent=work.trace or None):
            thought = await self._thinker.ainvoke(
                {**mind, "messages": work.messages},
                config,
                context=work.context,
            )
        return cast(MindState, {key: thought[key] for key in MindState.__annotations__ if key in thought})

    async def commit(self, thread_id: str, mind: MindState) -> None:
        """Merge `mind` into the stored one under the thread's lock, in one write.

        The channels are joins, so that whatever another host has committed since `load` stays where it is
        newer. A thread that has been forgotten in the meantime stays forgotten.
        """
        async with self._storage.lock(mind_thread(thread_id)):
            if await self._storage.saver.aget_tuple({"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}):
                await self._stored.aupdate_state(_config(thread_id), cast("dict[str, Any]", mind), as_node="commit")
                await self._storage.keep(mind_thread(thread_id), mind["narrative"])
                await self._storage.prune(mind_thread(thread_id))


def _config(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": mind_thread(thread_id), "checkpoint_ns": ""}}
