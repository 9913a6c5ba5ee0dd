"""A user's safety facts follow them into every conversation, and are theirs to change. Two users never meet."""

import asyncio
import json
import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from mirror_graph import MirrorContext, NoRoomError, UnknownConstraintError, User, build_talker, open_mirror
from mirror_graph.errors import ConfigurationError
from mirror_graph.host.conversation import Conversation
from mirror_graph.ledger.identity import constraint_id
from mirror_graph.ledger.user_constraints import EDITED, STATED, load_lists, namespace, publish, tombstone
from mirror_graph.scheduling.base import mind_from
from mirror_graph.state import SafetyConstraint
from mirror_graph.state.validation import is_constraint
from mirror_graph.testing.endpoint import Endpoint
from tests.replies import prompts_of

CONTEXT = MirrorContext(talker_model="openai:test", think_after=0, relevance="talker")


def abouts(entries: Any) -> list[str]:
    return sorted(entry["about"] for entry in entries if entry["status"] == "active")


async def test_a_fact_follows_its_user_into_a_new_conversation(endpoint: Endpoint, database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        first = mirror.conversation("first", user_id="ana@example.org")
        await first.say("I'm allergic to peanuts.")
        assert await first.settle(timeout=100)
        await mirror.conversation("second", user_id="ana@example.org").say("Satay tonight?")
        assert '"peanuts"' in prompts_of(endpoint.calls, "talker")[-1]
        await mirror.conversation("second", user_id="bo").say("Satay tonight?")
        assert "peanuts" not in prompts_of(endpoint.calls, "talker")[-1]
        await mirror.conversation("second").say("Satay tonight?")
        assert "peanuts" not in prompts_of(endpoint.calls, "talker")[-1]
        assert abouts(await mirror.user("ana@example.org").constraints()) == ["peanuts"]


async def test_what_left_the_window_unthought_follows_too(endpoint: Endpoint, database: str | None) -> None:
    """Whether nobody thinks at all, or only later: a budget was spent, a provider was away."""
    quiet = replace(CONTEXT, thinking="off", window_tokens=500)
    async with open_mirror(database, context=quiet) as mirror:
        await tell_and_talk_on(mirror.conversation("t", user_id="ana"))
        assert abouts(await mirror.user("ana").constraints()) == ["peanuts"]
        await mirror.conversation("other", user_id="ana").say("Satay tonight?")
        assert '"peanuts"' in prompts_of(endpoint.calls, "talker")[-1]
        await tell_and_talk_on(mirror.conversation("t"))
    if database is None:
        return
    async with open_mirror(database, context=replace(quiet, thinking="parallel")) as mirror:
        conversation = mirror.conversation("t")
        assert await conversation.settle(timeout=100)
        [entry] = (await conversation.mind()).constraints
        assert (entry["about"], entry["status"]) == ("peanuts", "active")


async def test_with_thinking_off_other_conversations_learn_a_constraint_at_once(
    endpoint: Endpoint, database: str | None
) -> None:
    async with open_mirror(database, context=replace(CONTEXT, thinking="off")) as mirror:
        conversation = mirror.conversation("monday", user_id="ana")
        await conversation.say("I'm severely allergic to peanuts.")
        await conversation.say("What shall we do tomorrow?")
        [constraint] = await mirror.user("ana").constraints()
        assert (constraint["about"], constraint["status"]) == ("peanuts", "active")
        assert constraint["source"]["recorded_at"] > 0
        await mirror.conversation("friday", user_id="ana").say("Satay tonight?")
        assert '"peanuts"' in prompts_of(endpoint.calls, "talker")[-1]


async def tell_and_talk_on(conversation: Conversation) -> None:
    await conversation.say("I'm severely allergic to peanuts.")
    for turn in range(15):
        await conversation.say(f"{turn} " + "word " * 60)
    assert not any("peanuts" in message.text for message in await conversation.messages())


async def test_a_corrected_entry_keeps_nothing_of_the_wrong_words(endpoint: Endpoint, database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation, ana = mirror.conversation("t", user_id="ana"), mirror.user("ana")
        await conversation.say("I'm allergic to peanuts.")
        await conversation.settle(timeout=100)
        [entry] = await ana.constraints()
        await ana.edit(entry["id"], about="walnuts")
        await mirror.conversation("other", user_id="ana").say("Which cake?")
    last = prompts_of(endpoint.calls, "talker")[-1]
    assert '"walnuts"' in last
    assert "peanuts" not in last


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"about": ""}, "about is '': expected one line of 1 to 100 characters"),
        ({"about": "peanut " * 20}, "about is .*: expected one line"),
        ({"about": "peanuts\nand more"}, "about is .*: expected one line"),
        ({"about": "bees", "severity": "deadly"}, "unknown severity 'deadly': expected one of life-threatening"),
        ({"about": "bees", "kind": "sting"}, "unknown kind 'sting': expected one of allergy"),
        ({"about": "bees", "subject": ""}, "subject is '': expected one line of 1 to 60"),
    ],
)
async def test_what_cannot_be_stored_is_refused(changes: Any, problem: str) -> None:
    ana = User(InMemoryStore(), "ana")
    with pytest.raises(ConfigurationError, match=problem):
        await ana.add(**changes)
    known = await ana.add("latex")
    with pytest.raises(ConfigurationError, match=problem):
        await ana.edit(known["id"], **changes)
    assert abouts(await ana.constraints()) == ["latex"]


async def test_control_characters_are_stored_by_neither_a_new_constraint_nor_an_edited_one() -> None:
    ana = User(InMemoryStore(), "ana")  # PostgreSQL stores no NUL
    added = await ana.add("bees\x00 ", subject="my\x00 sister")
    edited = await ana.edit(added["id"], about=" latex\x00\u2028", subject="my\x1b brother ")
    assert (added["about"], added["subject"]) == ("bees", "my sister")
    assert (edited["about"], edited["subject"], edited["source"]["quote"]) == ("latex", "my brother", "latex")
    with pytest.raises(ConfigurationError, match="about is ''"):
        await ana.edit(added["id"], about="\x00")


class SlowStore(InMemoryStore):
    """A store that is as far away as a database."""

    async def abatch(self, ops: Any) -> Any:
        await asyncio.sleep(0.001)
        return await super().abatch(ops)


async def test_what_two_conversations_tell_at_once_is_joined() -> None:
    store = SlowStore()
    mild, later = shared_constraint("peanuts", turn=2), shared_constraint("peanuts", turn=3)
    await asyncio.gather(publish(store, "ana", lambda _: [later]), publish(store, "ana", lambda _: [mild]))
    [entry] = await User(store, "ana").constraints()
    assert entry["source"]["turn"] == 3


async def test_the_users_own_edit_wins_over_a_later_thought(endpoint: Endpoint, database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation, ana = mirror.conversation("t", user_id="ana"), mirror.user("ana")
        await conversation.say("I'm allergic to peanuts.")
        await conversation.settle(timeout=100)
        [entry] = await ana.constraints()
        await ana.edit(entry["id"], severity="life-threatening")
        await ana.add("latex", kind="allergy")
        await conversation.say("As I said, I'm allergic to peanuts, but only mildly.")
        await conversation.settle(timeout=100)
        listed = {constraint["about"]: constraint["severity"] for constraint in await ana.constraints()}
        assert listed == {"peanuts": "life-threatening", "latex": "serious"}
        await ana.edit(entry["id"], status="retracted")
        await conversation.say("And I'm allergic to peanuts, did I say?")
        await conversation.settle(timeout=100)
        await conversation.say("Satay tonight?")
        assert 'allergy: "peanuts"' not in prompts_of(endpoint.calls, "talker")[-1]
        assert 'allergy: "latex"' in prompts_of(endpoint.calls, "talker")[-1]


async def test_what_a_user_erases_stays_erased_while_its_words_are_in_the_window(
    endpoint: Endpoint, database: str | None
) -> None:
    async with open_mirror(database, context=replace(CONTEXT, thinking="off")) as mirror:
        conversation, ana = mirror.conversation("t", user_id="ana"), mirror.user("ana")
        await conversation.say("I'm allergic to peanuts.")
        await ana.forget(constraint_id("allergy", "peanuts", "user"))
        await conversation.say("What shall we do tomorrow?")
        assert 'allergy: "peanuts"' not in prompts_of(endpoint.calls, "talker")[-1]
        await conversation.say("The test came back: I'm allergic to peanuts after all.")
        assert 'allergy: "peanuts"' in prompts_of(endpoint.calls, "talker")[-1]


async def test_what_a_user_erases_stays_erased(endpoint: Endpoint, database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation, ana = mirror.conversation("t", user_id="ana"), mirror.user("ana")
        await conversation.say("I'm allergic to peanuts. I'm afraid of spiders.")
        await conversation.settle(timeout=100)
        [peanuts] = [entry for entry in await ana.constraints() if entry["about"] == "peanuts"]
        await ana.forget(peanuts["id"])
        await conversation.say("What shall we do tomorrow?")
        assert 'allergy: "peanuts"' not in prompts_of(endpoint.calls, "talker")[-1]
        await conversation.settle(timeout=100)
        assert abouts(await ana.constraints()) == ["spiders"]
        assert abouts((await conversation.mind()).constraints) == ["spiders"]
        await ana.forget()
        assert await ana.constraints() == []
        with pytest.raises(UnknownConstraintError, match="mirror user list"):
            await ana.edit(peanuts["id"], severity="serious")


async def test_an_export_is_json_with_the_users_words(endpoint: Endpoint) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t", user_id="ana")
        await conversation.say("Ich bin allergisch gegen Erdnüsse.")
        await conversation.settle(timeout=100)
        exported = json.loads(await mirror.user("ana").export())
    assert exported["user"] == "ana"
    assert "Erdnüsse" in exported["constraints"][0]["source"]["quote"]


async def test_many_users_at_once_never_meet(endpoint: Endpoint, tmp_path: Path) -> None:
    fruits = ["apples", "pears", "plums", "figs", "dates", "limes", "kiwis", "grapes"]
    order = random.Random(20261121)
    async with open_mirror(tmp_path / "mirror.db", context=CONTEXT) as mirror:

        async def live(user: int) -> None:
            for thread in range(2):
                conversation = mirror.conversation(str(thread), user_id=f"user {user}")
                await asyncio.sleep(order.random() / 10)
                await conversation.say(f"I'm allergic to {fruits[user]}.")
                await conversation.settle(timeout=100)
                await conversation.say(f"user {user} asks")

        await asyncio.gather(*(live(user) for user in range(len(fruits))))
        for user, fruit in enumerate(fruits):
            assert abouts(await mirror.user(f"user {user}").constraints()) == [fruit]
    for prompt in prompts_of(endpoint.calls, "talker"):
        named = {fruit for fruit in fruits if f'"{fruit}"' in prompt}
        assert len(named) <= 1


async def test_a_pass_in_a_servers_process_is_the_signed_in_users_whatever_the_context_says(endpoint: Endpoint) -> None:
    store = InMemoryStore()
    graph = build_talker().compile(checkpointer=InMemorySaver(), store=store)
    config: Any = {"configurable": {"thread_id": str(uuid4()), "langgraph_auth_user": SimpleNamespace(identity="bo")}}
    said: Any = {"messages": [("user", "I'm allergic to peanuts.")]}
    await graph.ainvoke(said, config, context=replace(CONTEXT, user_id="ana"))
    async with asyncio.timeout(30):
        while abouts(await User(store, "bo").constraints()) != ["peanuts"]:  # noqa: ASYNC110  # no event
            await asyncio.sleep(0.02)
    assert await User(store, "ana").constraints() == []


async def test_what_is_stored_of_a_user_is_bounded_and_listed_whole(database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        ana, store = mirror.user("ana"), mirror._engine.storage.store
        deadly = await ana.add("venom", severity="life-threatening")
        for turn in range(1, 71):  # one conversation after the other
            await publish(store, "ana", lambda _, turn=turn: [shared_constraint(f"food {turn}", turn)])
        listed = {entry["about"] for entry in await ana.constraints()}
        assert listed == {"venom", *(f"food {turn}" for turn in range(8, 71))}
        assert await ana.evicted() == 7
        await ana.add("latex", severity="serious")
        assert abouts(await ana.constraints()) == sorted(listed - {"food 8"} | {"latex"})
        stored = [await store.asearch(namespace("ana", kind), limit=1_000) for kind in (STATED, EDITED)]
        assert sum(map(len, stored)) == 64

        # An old conversation goes on: no room, and not counted twice.
        await publish(store, "ana", lambda _: [shared_constraint("food 3", 3)])
        assert await ana.evicted() == 8
        await ana.forget(deadly["id"])
        await publish(store, "ana", lambda _: [shared_constraint("food 3", 3)])
        assert abouts(await ana.constraints()) == sorted(listed - {"food 8", "venom"} | {"latex", "food 3"})
        await ana.forget()
        assert (await ana.constraints(), await ana.evicted()) == ([], 0)


async def test_a_full_list_refuses_what_weighs_less() -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        ana = mirror.user("ana")
        for number in range(64):
            await ana.add(f"venom {number}", severity="life-threatening")
        with pytest.raises(NoRoomError, match="64 constraints"):
            await ana.add("coriander", severity="preference")
        assert len(await ana.constraints()) == 64
        assert await ana.evicted() == 0


def shared_constraint(about: str, turn: int) -> SafetyConstraint:
    return {
        "id": constraint_id("dietary", about, "user"),
        "kind": "dietary",
        "about": about,
        "severity": "preference",
        "subject": "user",
        "status": "active",
        "source": {"message": "m", "turn": turn, "quote": about, "language": "en", "recorded_at": 1.0},
        "first_turn": turn,
    }


@pytest.mark.parametrize(
    "junk",
    [
        {"junk": 1},
        {},
        {"about": "figs"},
        {"id": "x", "kind": "allergy"},
        {**dict.fromkeys(("id", "kind", "about", "severity", "subject", "status"), "x"), "source": {}, "first_turn": 0},
    ],
)
async def test_an_item_that_is_no_constraint_costs_no_other_fact(junk: Any, endpoint: Endpoint) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        first = mirror.conversation("first", user_id="ana")
        await first.say("I'm allergic to peanuts.")
        assert await first.settle(timeout=100)
        store = mirror.user("ana")._store
        await store.aput(namespace("ana", STATED), "junk", junk, index=False)
        await store.aput(namespace("ana", EDITED), "junk", junk, index=False)
        second = mirror.conversation("second", user_id="ana")
        await second.say("Satay tonight?")
        assert '"peanuts"' in prompts_of(endpoint.calls, "talker")[-1]
        assert abouts(await mirror.user("ana").constraints()) == ["peanuts"]
        assert (await load_lists(store, "ana")).unreadable == 2
        assert (await second.mind()).failures["recall"]["error"] == "UnreadableItem"
        assert await second.settle(timeout=100)
        await mirror.user("ana").add("figs", kind="allergy")
        assert abouts(await mirror.user("ana").constraints()) == ["figs", "peanuts"]


constraints = st.builds(
    lambda about, at: {
        "id": "x",
        "kind": "allergy",
        "about": about,
        "severity": "serious",
        "subject": "user",
        "status": "active",
        "source": {"message": "", "turn": 1, "quote": about, "language": "", "recorded_at": at},
        "first_turn": 1,
    },
    st.text(),
    st.floats(0, 1e10),
)


@given(constraints, st.data())
def test_only_what_has_all_keys_and_no_other_is_a_constraint(constraint: dict[str, Any], data: Any) -> None:
    assert is_constraint(constraint)
    key = data.draw(st.sampled_from(sorted(constraint)))
    other = data.draw(st.one_of(st.none(), st.binary(), st.lists(st.integers()), st.floats(max_value=-1)))
    assert not is_constraint({**constraint, key: other})
    assert not is_constraint({name: value for name, value in constraint.items() if name != key})
    assert not is_constraint({**constraint, "another": 1})
    assert not is_constraint([constraint])


def test_a_mind_is_read_without_what_is_no_constraint() -> None:
    good = {**tombstone("x", 1.0), "about": "figs"}
    mind = mind_from({"constraints": [good, {"junk": 1}, "boo", None]})
    assert mind["constraints"] == [good]
