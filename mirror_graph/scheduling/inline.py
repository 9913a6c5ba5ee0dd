"""A scheduler for batch work and tests: a turn's run ends when its thinking does."""

from collections.abc import Sequence

from mirror_graph.scheduling.base import ThinkingPass
from mirror_graph.scheduling.thinking_pass import MindStore, run_pass
from mirror_graph.state import MindState, Narrative
from mirror_graph.state.values import AnsweredTurn


class InlineScheduler:
    """Thinks in `schedule` itself: no task, no pause, the mind is never behind."""

    def __init__(self, minds: MindStore) -> None:
        self._minds = minds

    async def recall(self, thread_id: str, owner: str | None = None, branch: Sequence[AnsweredTurn] = ()) -> MindState:
        """Read the newest mind from the database."""
        return await self._minds.load(thread_id, owner, branch)

    async def narratives(self, thread_id: str, owner: str | None = None) -> list[Narrative]:
        """Read the stored narratives from the database."""
        return await self._minds.narratives(thread_id, owner)

    async def schedule(self, work: ThinkingPass) -> None:
        """Make the pass now."""
        await run_pass(work, self._minds, spend=lambda tokens: None)
