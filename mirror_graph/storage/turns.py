"""What is stored of a turn's run: the user's words before the reply, and the reply."""

from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
)


class TurnSaver(BaseCheckpointSaver[str]):
    """Stores of a run's steps only those that bring news, two of five, in a saver of LangGraph's.

    No host resumes a run: what was under way when one died is said again, and goes on from what was stored. So neither
    the steps between nor their pending writes are ever read.
    """

    def __init__(self, saver: BaseCheckpointSaver[str]) -> None:
        super().__init__(serde=saver.serde)
        self._saver = saver

    def get_next_version(self, current: str | None, channel: None) -> str:
        """Number a channel's versions as the saver does."""
        return self._saver.get_next_version(current, channel)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return the newest checkpoint of a thread."""
        return await self._saver.aget_tuple(config)

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Store a step that brings news, with every channel: the steps left out before it have stored none."""
        recalled = "narrative" in new_versions  # no news: the mind is kept on a thread of its own
        if "messages" not in new_versions and ("failures" not in new_versions or recalled):
            return config
        return await self._saver.aput(config, checkpoint, metadata, checkpoint["channel_versions"])

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store nothing."""
