"""The mind of a thread, erased wherever a server keeps it."""

from langgraph.store.base import BaseStore

from mirror_graph.scheduling.item_store import forget_items
from mirror_graph.scheduling.server import forget_mind_thread, is_in_server


async def forget_mind(thread_id: str, owner: str | None, store: BaseStore | None) -> None:
    """Erase the mind of a thread of `owner`, a user or None. A pass that is under way commits nothing any more."""
    if store is not None:
        await forget_items(store, thread_id, owner)
    if is_in_server():
        await forget_mind_thread(thread_id, owner)
