"""Which checkpoints of a turn are stored: the user's message before the reply, and the reply."""

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata

from mirror_graph.storage.guarding import GuardedSaver


class TurnSaver(GuardedSaver):
    """Stores of a run's steps only those that bring news, two of five, in a saver of LangGraph's.

    No host resumes a run: what was under way when one died is said again, and goes on from what was stored. So neither
    the steps between nor their pending writes are ever read.
    """

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
        return await super().aput(config, checkpoint, metadata, checkpoint["channel_versions"])
