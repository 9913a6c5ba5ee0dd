"""How often a turn and its thinking pass read: each message is scanned once, and the user's lists rarely searched."""

import sys
from collections.abc import Iterable
from typing import Any
from uuid import uuid4

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph.state import CompiledStateGraph
from langgraph.store.base import SearchOp
from langgraph.store.memory import InMemoryStore

from mirror_graph import MirrorContext, build_mirror, build_talker
from mirror_graph.graphs.thinker import thinker
from mirror_graph.ledger.user_constraints import EDITED, STATED
from mirror_graph.scheduling.item_store import ItemMindStore
from mirror_graph.scheduling.local import LocalScheduler

CONTEXT = MirrorContext(talker_model="scripted:demo", user_id="ana", think_after=0)


class CountingStore(InMemoryStore):
    """A store that counts how often the lists of a user are searched."""

    searches = 0

    async def abatch(self, ops: Iterable[Any]) -> Any:
        listed = list(ops)
        for operation in listed:
            if isinstance(operation, SearchOp) and operation.namespace_prefix[-1] in (STATED, EDITED):
                self.searches += 1
        return await super().abatch(listed)


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that the scanner has worked through, without those that it remembered."""
    texts: list[str] = []
    scanner = sys.modules["mirror_graph.ledger.scan"]  # the package names its function the same
    scan_slices = scanner._slices

    def counted(text: str) -> Any:
        texts.append(text)
        return scan_slices(text)

    monkeypatch.setattr(scanner, "_slices", counted)
    return texts


async def say(graph: "CompiledStateGraph[Any, Any, Any, Any]", thread_id: str, words: str) -> None:
    config: Any = {"configurable": {"thread_id": thread_id}}
    await graph.ainvoke({"messages": [("user", words)]}, config, context=CONTEXT)


async def test_a_reply_and_its_sharing_search_each_list_once_and_its_pass_twice(scanned: list[str]) -> None:
    store = CountingStore()
    scheduler, thread_id = LocalScheduler(ItemMindStore(store, thinker)), str(uuid4())
    graph = build_talker(scheduler).compile(checkpointer=InMemorySaver(), store=store)
    words = f"I'm allergic to peanuts, see {uuid4()}."
    await say(graph, thread_id, words)
    assert store.searches == 2 + 2  # the reply, and what the scanner found, which is shared at once
    assert await scheduler.settle(thread_id) is None
    assert store.searches == 4 + 4
    assert scanned == [words]
    await say(graph, thread_id, "What a day.")
    assert store.searches == 8 + 2  # nothing to share


async def test_a_whole_turn_in_one_run_scans_a_message_once_and_searches_six_times(scanned: list[str]) -> None:
    store = CountingStore()
    graph = build_mirror().compile(checkpointer=InMemorySaver(), store=store)
    words = f"I'm allergic to peanuts, see {uuid4()}."
    await say(graph, str(uuid4()), words)
    assert store.searches == 6  # the reply, the memory thinker, and the fresh read at commit: each both lists
    assert scanned == [words]
