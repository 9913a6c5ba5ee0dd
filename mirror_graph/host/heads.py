"""The hashes by which a server finds a thread again from its transcript, erased with the thread."""

from langgraph.store.base import BaseStore

from mirror_graph.ledger.user_constraints import namespace

HEADS = "heads"
"""The namespace of a user's transcripts: the hash of each, with the thread that ends there."""

HEADS_SEARCHED = 10_000
"""How many ends of a user's threads are looked through for one that is erased."""


async def forget_heads(store: BaseStore, user_id: str, thread: str) -> None:
    """Forget where the thread named `thread` ended."""
    for item in await store.asearch(namespace(user_id, HEADS), limit=HEADS_SEARCHED):
        if item.value.get("thread") == thread:
            await store.adelete(item.namespace, item.key)
