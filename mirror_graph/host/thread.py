"""A thread of a host: its lock, its state and its transcript."""

import logging
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AnyMessage
from langchain_core.runnables import RunnableConfig

from mirror_graph.errors import StorageError
from mirror_graph.host.runtime import HostRuntime
from mirror_graph.state import MirrorContext

log = logging.getLogger("mirror_graph.host.conversation")  # one name for all that a conversation logs


@dataclass(frozen=True)
class Thread:
    """One thread, with the host that it is on and the context that its turns run in.

    `name` is what the caller calls the conversation. `thread_id` identifies it in the database.
    """

    engine: HostRuntime
    thread_id: str
    context: MirrorContext
    name: str

    @property
    def user_id(self) -> str | None:
        """The user whose conversation it is."""
        return self.context.user_id

    def lock(self) -> AbstractAsyncContextManager[None]:
        """Allow one turn at a time, among all hosts of the database."""
        return self.engine.storage.lock(self.thread_id)

    async def values(self) -> dict[str, Any]:
        """Return the stored state, empty before the first turn."""
        return await self.engine.storage.values(self.thread_id)

    async def messages(self) -> list[AnyMessage]:
        """Return the window, oldest message first."""
        return list((await self.values()).get("messages", []))

    async def write(self, values: dict[str, Any]) -> None:
        """Write to the state outside a run. The thread is to be locked."""
        config: RunnableConfig = {"configurable": {"thread_id": self.thread_id, "checkpoint_ns": ""}}
        await self.engine.talker.aupdate_state(config, values, as_node="schedule")

    async def record(self, messages: Sequence[AnyMessage] | None = None) -> None:
        """Bring the transcript up to date, by default with the window, if the host keeps one.

        The thread is to be locked. What fails here is made good by the next turn, so it costs no reply.
        """
        transcripts = self.engine.transcripts
        if transcripts is None:
            return
        try:
            window = await self.messages() if messages is None else messages
            await transcripts.record(self.thread_id, self.user_id, self.name, window)
        except StorageError:
            log.exception("thread %s: the transcript could not be written; the next turn tries again", self.thread_id)
