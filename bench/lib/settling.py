"""Waiting for a thought, in a run where none may be missing."""

from mirror_graph import Conversation
from mirror_graph.errors import CallError


async def settle(conversation: Conversation) -> None:
    """Wait until thinking has caught up. Raises `CallError` where it has not: the figures would mean something else."""
    if not await conversation.settle():
        raise CallError("thinking", f"did not catch up: {dict((await conversation.mind()).failures)}")
