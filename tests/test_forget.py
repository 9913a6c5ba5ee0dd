"""The graph `forget`, on a server that keeps minds in its store, such as Aegra."""

import logging
import threading
from typing import Any
from uuid import uuid4

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from mirror_graph import ConfigurationError, MirrorContext, build_talker
from mirror_graph.graphs.forget import build_forget
from mirror_graph.graphs.thinker import thinker
from mirror_graph.scheduling.item_store import FORGOTTEN, StoreScheduler
from mirror_graph.testing.endpoint import Answer, Endpoint
from tests.replies import Replies

pytestmark = pytest.mark.enable_socket


class Served:
    """A talker and the graph `forget` over one store, as one process of a server has them."""

    def __init__(self, store: InMemoryStore) -> None:
        self.scheduler = StoreScheduler(thinker)
        self.talker = build_talker(self.scheduler).compile(checkpointer=InMemorySaver(), store=store)
        self._forget = build_forget().compile(store=store)

    async def say(self, thread_id: str, words: str, user_id: str | None) -> dict[str, Any]:
        """Make a turn, and return the thread's state."""
        config: Any = {"configurable": {"thread_id": thread_id}}
        context = MirrorContext(talker_model="openai:test", think_after=0, user_id=user_id)
        message: Any = {"messages": [("user", words)]}
        return dict(await self.talker.ainvoke(message, config, context=context))

    async def settle(self, thread_id: str) -> None:
        """Wait until the pass of a thread has ended."""
        [scheduler] = self.scheduler._schedulers.values()
        assert await scheduler.settle(thread_id) is None

    async def forget(self, user_id: str | None, **asked: Any) -> None:
        """Have something erased, as whoever asks."""
        request: Any = asked
        await self._forget.ainvoke(request, context=MirrorContext(user_id=user_id))


def _words(store: InMemoryStore) -> str:
    return repr(store._data)


@pytest.mark.parametrize("user_id", [None, "ana"])
async def test_a_mind_is_gone_from_the_store_and_the_next_conversation_starts_afresh(
    endpoint: Endpoint, replies: Replies, user_id: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "mirror_graph.audit")
    store, thread_id = InMemoryStore(), str(uuid4())
    served = Served(store)
    await served.say(thread_id, "I am allergic to peanuts.", user_id)
    await served.settle(thread_id)
    assert "peanuts" in _words(store)

    await served.forget(user_id, thread_id=thread_id, user=user_id is not None)

    assert "peanuts" not in _words(store)
    assert [record.getMessage().split()[1] for record in caplog.records] == ["mind", "constraints"][: 1 + bool(user_id)]
    assert thread_id in caplog.text
    assert "peanuts" not in caplog.text
    again = Served(store)
    assert (await again.say(thread_id, "Hello", user_id))["narrative"]["text"] == ""
    await again.settle(thread_id)
    assert (await again.say(thread_id, "Hello again", user_id))["narrative"]["turn"] == 1


async def test_a_pass_that_is_under_way_in_another_process_brings_nothing_back(
    endpoint: Endpoint, replies: Replies
) -> None:
    store, thread_id, hold = InMemoryStore(), str(uuid4()), threading.Event()
    replies.by_component["synthesis"] = Answer("I know that they are allergic to peanuts.", hold=hold)
    thinking, other = Served(store), Served(store)
    await thinking.say(thread_id, "I am allergic to peanuts.", "ana")

    await other.forget("ana", thread_id=thread_id)
    hold.set()
    await thinking.settle(thread_id)

    minds = [item for item in await store.asearch(("mirror", "minds"), limit=10) if item.key != FORGOTTEN]
    assert minds == []


async def test_nobody_erases_what_is_another_users(endpoint: Endpoint, replies: Replies) -> None:
    store, thread_id = InMemoryStore(), str(uuid4())
    served = Served(store)
    await served.say(thread_id, "I am allergic to peanuts.", "ana")
    await served.settle(thread_id)

    for stranger in (None, "bob"):
        await served.forget(stranger, thread_id=thread_id, user=stranger is not None)

    assert (await served.say(thread_id, "Hello", "ana"))["narrative"]["turn"] == 1
    assert "peanuts" in _words(store)


async def test_what_cannot_be_forgotten_is_an_error() -> None:
    served = Served(InMemoryStore())
    with pytest.raises(ConfigurationError, match="nothing to forget"):
        await served.forget("ana")
    with pytest.raises(ConfigurationError, match="no user"):
        await served.forget(None, user=True)
