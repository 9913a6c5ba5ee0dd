"""What the scanner finds severe reaches a user's other conversations with the reply, and goes if a pass rejects it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from langchain_core.messages import HumanMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from mirror_graph import MirrorContext, User, build_talker, open_mirror
from mirror_graph.ledger.user_constraints import load_lists
from mirror_graph.testing.endpoint import Endpoint
from tests.replies import Replies, prompts_of

WAITING = MirrorContext(talker_model="openai:test", think_after=3_600, relevance="talker")
"""No pass is made before `settle`."""

NOTHING_DANGEROUS = json.dumps({"thought": "A figure of speech.", "told": [], "taken_back": [], "no_danger": [1]})


async def listed(user: User) -> dict[str, str]:
    return {entry["about"]: entry["status"] for entry in await user.constraints()}


async def test_another_conversation_knows_a_danger_before_any_pass(endpoint: Endpoint, tmp_path: Path) -> None:
    async with open_mirror(tmp_path / "mirror.db", context=WAITING) as mirror:
        await mirror.conversation("monday", user_id="ana").say("I'm severely allergic to peanuts.")
        assert await listed(mirror.user("ana")) == {"peanuts": "provisional"}
        friday = mirror.conversation("friday", user_id="ana")
        await friday.say("Satay tonight?")
        assert [entry["about"] for entry in (await friday.mind()).constraints] == ["peanuts"]
        await mirror.conversation("friday", user_id="bo").say("Satay tonight?")
        ana, bo = prompts_of(endpoint.calls, "talker")[-2:]
        assert '"peanuts"' in ana
        assert "peanuts" not in bo
        assert not prompts_of(endpoint.calls, "memory")
    async with open_mirror(tmp_path / "mirror.db", context=WAITING) as mirror:  # the pass was never made
        await mirror.conversation("sunday", user_id="ana").say("Satay tonight?")
        assert '"peanuts"' in prompts_of(endpoint.calls, "talker")[-1]


async def test_a_pass_confirms_what_was_shared(endpoint: Endpoint, tmp_path: Path) -> None:
    async with open_mirror(tmp_path / "mirror.db", context=WAITING) as mirror:
        monday = mirror.conversation("monday", user_id="ana")
        await monday.say("I'm severely allergic to peanuts.")
        assert await monday.settle(timeout=100)
        assert await listed(mirror.user("ana")) == {"peanuts": "active"}
        assert (await load_lists(mirror.store, "ana")).provisional == {}


async def test_what_a_pass_rejects_is_known_nowhere_afterwards(
    endpoint: Endpoint, replies: Replies, tmp_path: Path
) -> None:
    async with open_mirror(tmp_path / "mirror.db", context=WAITING) as mirror:
        monday, friday = (mirror.conversation(name, user_id="ana") for name in ("monday", "friday"))
        await monday.say("I'm terrified of heights.")
        await friday.say("Which tower shall I climb?")
        assert '"heights"' in prompts_of(endpoint.calls, "talker")[-1]
        replies.by_component["memory"] = "They plan a trip."
        assert await friday.settle(timeout=100)  # a pass of another conversation takes over nothing provisional
        assert await listed(mirror.user("ana")) == {"heights": "provisional"}
        replies.by_component["memory"] = NOTHING_DANGEROUS
        assert await monday.settle(timeout=100)
        assert await listed(mirror.user("ana")) == {}
        for conversation in (monday, friday, mirror.conversation("sunday", user_id="ana")):
            await conversation.say("Which tower shall I climb?")
            assert '"heights"' not in prompts_of(endpoint.calls, "talker")[-1]
            assert not (await conversation.mind()).constraints


async def test_what_another_conversation_states_too_stays(endpoint: Endpoint, replies: Replies, tmp_path: Path) -> None:
    async with open_mirror(tmp_path / "mirror.db", context=WAITING) as mirror:
        monday, friday = (mirror.conversation(name, user_id="ana") for name in ("monday", "friday"))
        await monday.say("I'm terrified of heights.")
        await friday.say("I'm really terrified of heights, you know.")
        replies.by_component["memory"] = NOTHING_DANGEROUS
        assert await monday.settle(timeout=100)
        assert await listed(mirror.user("ana")) == {"heights": "provisional"}
        replies.by_component["memory"] = "They fear heights."
        assert await friday.settle(timeout=100)
        assert await listed(mirror.user("ana")) == {"heights": "active"}
        await monday.say("I'm terrified of heights, as a figure of speech.")
        replies.by_component["memory"] = NOTHING_DANGEROUS
        assert await monday.settle(timeout=100)
        assert await listed(mirror.user("ana")) == {"heights": "active"}


async def test_an_edit_takes_back_what_was_shared_before_any_pass(endpoint: Endpoint, tmp_path: Path) -> None:
    async with open_mirror(tmp_path / "mirror.db", context=WAITING) as mirror:
        monday = mirror.conversation("monday", user_id="ana")
        await monday.say("I'm severely allergic to peanuts.")
        await monday.edit("I'm severely allergic to celery.")
        assert await listed(mirror.user("ana")) == {"celery": "provisional"}
        await monday.edit("What a day.")
        assert await listed(mirror.user("ana")) == {}


async def test_an_edit_through_a_graph_is_no_longer_shared(endpoint: Endpoint) -> None:
    store = InMemoryStore()
    graph = build_talker().compile(checkpointer=InMemorySaver(), store=store)
    config: Any = {"configurable": {"thread_id": str(uuid4())}}
    context = replace(WAITING, user_id="ana")
    for words in ("I'm severely allergic to peanuts.", "I'm severely allergic to celery."):
        said: Any = {"messages": [HumanMessage(words, id="one")]}
        await graph.ainvoke(said, config, context=context)
    assert await listed(User(store, "ana")) == {"celery": "provisional"}
    assert "peanuts" not in prompts_of(endpoint.calls, "talker")[-1]


async def test_the_users_own_edit_stands_above_what_is_provisional(endpoint: Endpoint, tmp_path: Path) -> None:
    async with open_mirror(tmp_path / "mirror.db", context=WAITING) as mirror:
        monday, ana = mirror.conversation("monday", user_id="ana"), mirror.user("ana")
        await monday.say("I'm severely allergic to peanuts and I'm terrified of heights.")
        peanuts, heights = sorted(await ana.constraints(), key=lambda entry: entry["about"], reverse=True)
        await ana.forget(peanuts["id"])
        edited = await ana.edit(heights["id"], severity="preference")
        assert edited["status"] == "active"
        await monday.say("What shall we do tomorrow?")
        assert await listed(ana) == {"heights": "active"}
        assert (await load_lists(mirror.store, "ana")).provisional == {}


async def test_a_mere_preference_waits_for_its_pass(endpoint: Endpoint, tmp_path: Path) -> None:
    async with open_mirror(tmp_path / "mirror.db", context=WAITING) as mirror:
        monday = mirror.conversation("monday", user_id="ana")
        await monday.say("I'm vegetarian.")
        assert await listed(mirror.user("ana")) == {}
        assert await monday.settle(timeout=100)
        assert await listed(mirror.user("ana")) == {"vegetarian": "active"}
