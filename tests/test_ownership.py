"""Whose a mind and a fact are: reuse of a thread's id, items that are not ours, and stores of earlier releases."""

from typing import Any
from uuid import uuid4

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.runtime import Runtime, ServerInfo
from langgraph.store.memory import InMemoryStore
from langgraph_sdk.auth.types import MinimalUser

from mirror_graph import MirrorContext, build_talker
from mirror_graph.encryption import Keyring, SealedStore, new_key
from mirror_graph.graphs.thinker import thinker
from mirror_graph.ledger.access import user_of
from mirror_graph.ledger.user_constraints import STATED, load_lists, namespace, owner_mark
from mirror_graph.scheduling import mind_thread
from mirror_graph.scheduling.item_store import StoreScheduler
from mirror_graph.testing.endpoint import Endpoint
from tests.replies import Replies

pytestmark = pytest.mark.enable_socket


class Person:
    """A user of a talker that keeps its minds in a store, as Aegra serves it."""

    def __init__(self, endpoint: Endpoint, store: InMemoryStore, user_id: str | None) -> None:
        self.scheduler = StoreScheduler(thinker)
        self._graph = build_talker(self.scheduler).compile(checkpointer=InMemorySaver(), store=store)
        self._context = MirrorContext(talker_model="openai:test", think_after=0, user_id=user_id)

    async def say(self, thread_id: str, words: str) -> dict[str, Any]:
        """Make a turn and its thinking, and return the thread's state."""
        config: Any = {"configurable": {"thread_id": thread_id}}
        said: Any = {"messages": [("user", words)]}
        state = await self._graph.ainvoke(said, config, context=self._context)
        [scheduler] = self.scheduler._schedulers.values()
        assert await scheduler.settle(thread_id) is None
        return dict(state)


@pytest.fixture
def store() -> InMemoryStore:
    return InMemoryStore()


async def minds_in(store: InMemoryStore) -> list[Any]:
    return await store.asearch(("mirror", "minds"), limit=100)


async def test_a_stranger_who_makes_a_thread_of_a_deleted_id_gets_an_empty_mind(
    endpoint: Endpoint, replies: Replies, store: InMemoryStore
) -> None:
    thread_id = str(uuid4())
    await Person(endpoint, store, "ana").say(thread_id, "I am allergic to XYZZY peanuts.")
    asked = len(endpoint.calls)

    state = await Person(endpoint, store, "bob").say(thread_id, "What shall we cook?")

    assert state["narrative"] == {"turn": 0, "text": ""}
    assert not any("XYZZY" in str(call.messages) for call in endpoint.calls[asked:])
    assert len(await minds_in(store)) == 2  # and ana's is untouched


async def test_a_run_without_a_user_reads_no_users_mind(
    endpoint: Endpoint, replies: Replies, store: InMemoryStore
) -> None:
    thread_id = str(uuid4())
    await Person(endpoint, store, "ana").say(thread_id, "I am allergic to XYZZY peanuts.")

    state = await Person(endpoint, store, None).say(thread_id, "What shall we cook?")

    assert state["narrative"]["text"] == ""


async def test_a_mind_that_was_copied_to_another_owner_is_not_read(
    endpoint: Endpoint, replies: Replies, store: InMemoryStore
) -> None:
    thread_id = str(uuid4())
    await Person(endpoint, store, "ana").say(thread_id, "I am allergic to XYZZY peanuts.")
    [item] = await minds_in(store)
    await store.aput(("mirror", "minds", mind_thread(thread_id), owner_mark("bob")), item.key, item.value)

    state = await Person(endpoint, store, "bob").say(thread_id, "What shall we cook?")

    assert state["narrative"]["text"] == ""


async def test_a_mind_of_an_earlier_release_goes_to_the_conversation_whose_reply_it_has_read(
    endpoint: Endpoint, replies: Replies, store: InMemoryStore
) -> None:
    thread_id, ana = str(uuid4()), Person(endpoint, store, "ana")
    await ana.say(thread_id, "I am allergic to XYZZY peanuts.")
    [item] = await minds_in(store)
    unowned = ("mirror", "minds", mind_thread(thread_id))
    await store.adelete(item.namespace, item.key)
    await store.aput(unowned, item.key, {key: value for key, value in item.value.items() if key != "owner"})

    stranger = await Person(endpoint, store, "bob").say(thread_id, "What shall we cook?")
    state = await ana.say(thread_id, "What shall we cook?")

    assert stranger["narrative"]["text"] == ""
    assert state["narrative"]["turn"] == 1
    owners = sorted(item.namespace[3:] for item in await minds_in(store))
    assert owners == sorted([(owner_mark("ana"),), (owner_mark("bob"),)])


@pytest.mark.parametrize(
    "junk", [{"narrative": 5}, {"thoughts": "XYZZY"}, {"constraints": [5]}, {"turn": -1}, {"read": "XYZZY"}]
)
async def test_one_item_that_is_no_mind_costs_no_other(
    endpoint: Endpoint, replies: Replies, store: InMemoryStore, junk: dict[str, Any]
) -> None:
    thread_id, ana = str(uuid4()), Person(endpoint, store, "ana")
    await ana.say(thread_id, "I am allergic to peanuts.")
    place = ("mirror", "minds", mind_thread(thread_id), owner_mark("ana"))
    await store.aput(place, "junk", {**junk, "owner": owner_mark("ana")})

    state = await ana.say(thread_id, "What shall we cook?")

    assert state["narrative"]["turn"] == 1
    assert state["failures"] == {}


async def test_one_changed_item_of_an_encrypted_store_costs_no_other_fact() -> None:
    inner, keyring = InMemoryStore(), Keyring(new_key())
    store = SealedStore(inner, keyring)
    place = namespace("ana", STATED)
    fact = constraint("peanuts")
    await store.aput(place, fact["id"], fact)
    sealed = await inner.aget(place, fact["id"])
    assert sealed is not None
    await inner.aput(place, "moved", sealed.value)

    lists = await load_lists(store, "ana")

    assert [found["about"] for found in lists.stated] == ["peanuts"]
    assert lists.unreadable == 1


async def test_a_fact_of_another_owner_or_place_is_not_read_and_one_without_an_owner_is() -> None:
    store, place = InMemoryStore(), namespace("ana", STATED)
    foreign, below, earlier = constraint("eggs"), constraint("soy"), constraint("milk")
    await store.aput(place, foreign["id"], {**foreign, "owner": owner_mark("bob")})
    await store.aput((*place, "below"), below["id"], {**below, "owner": owner_mark("ana")})
    await store.aput(place, earlier["id"], earlier)

    lists = await load_lists(store, "ana")

    assert [found["about"] for found in lists.stated] == ["milk"]
    assert lists.unreadable == 2


def constraint(about: str) -> dict[str, Any]:
    return {
        "id": f"allergy:{about}",
        "kind": "allergy",
        "about": about,
        "severity": "serious",
        "subject": "user",
        "status": "active",
        "source": {"message": "m1", "turn": 1, "quote": f"allergic to {about}", "language": "en", "recorded_at": 1.0},
        "first_turn": 1,
    }


@pytest.mark.parametrize(
    ("signed_in", "claimed", "expected"),
    [
        ("anonymous", None, None),
        ("anonymous", "ana", "ana"),
        ("anonymous", "anonymous", None),
        (None, "anonymous", None),
        ("bob", "ana", "bob"),
        (None, "ana", "ana"),
    ],
)
def test_anonymous_is_no_user(signed_in: str | None, claimed: str | None, expected: str | None) -> None:
    user: Any = User(signed_in) if signed_in else None
    server = ServerInfo(assistant_id="", graph_id="", user=user)
    assert user_of(Runtime(context=MirrorContext(user_id=claimed), server_info=server)) == expected


class User(MinimalUser):
    """A signed-in user, as a server hands it over."""

    def __init__(self, identity: str) -> None:
        self._identity = identity

    @property
    def identity(self) -> str:
        return self._identity


def test_two_owners_of_one_thread_id_have_two_minds() -> None:
    thread_id = str(uuid4())
    ids = {mind_thread(thread_id, owner) for owner in (None, "ana", "bob")}
    assert len(ids) == 3
