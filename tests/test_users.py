"""A user's safety facts follow them into every conversation, and are theirs to change. Two users never meet."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

from mirror_graph import MirrorContext, open_mirror
from mirror_graph.benchmarks.endpoint import Endpoint
from mirror_graph.host.user import UnknownConstraintError
from tests.voices import asked

CONTEXT = MirrorContext(talker_model="openai:test", think_after=0, relevance="talker")


def abouts(entries: Any) -> list[str]:
    return sorted(entry["about"] for entry in entries if entry["status"] == "active")


async def test_a_fact_follows_its_user_into_a_new_conversation(endpoint: Endpoint, database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        first = mirror.conversation("first", user_id="ana@example.org")
        await first.say("I'm allergic to peanuts.")
        assert await first.settle(timeout=10)
        await mirror.conversation("second", user_id="ana@example.org").say("Satay tonight?")
        assert '"peanuts"' in asked(endpoint.calls, "talker")[-1]
        await mirror.conversation("second", user_id="bo").say("Satay tonight?")
        assert "peanuts" not in asked(endpoint.calls, "talker")[-1]
        await mirror.conversation("second").say("Satay tonight?")
        assert "peanuts" not in asked(endpoint.calls, "talker")[-1]
        assert abouts(await mirror.user("ana@example.org").constraints()) == ["peanuts"]


async def test_the_users_own_edit_wins_over_a_later_thought(endpoint: Endpoint, database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation, ana = mirror.conversation("t", user_id="ana"), mirror.user("ana")
        await conversation.say("I'm allergic to peanuts.")
        await conversation.settle(timeout=10)
        [entry] = await ana.constraints()
        await ana.edit(entry["id"], severity="life-threatening")
        await ana.add("latex", kind="allergy")
        await conversation.say("As I said, I'm allergic to peanuts, but only mildly.")
        await conversation.settle(timeout=10)
        kept = {it["about"]: it["severity"] for it in await ana.constraints()}
        assert kept == {"peanuts": "life-threatening", "latex": "serious"}
        await ana.edit(entry["id"], status="retracted")
        await conversation.say("And I'm allergic to peanuts, did I say?")
        await conversation.settle(timeout=10)
        await conversation.say("Satay tonight?")
        assert 'allergy: "peanuts"' not in asked(endpoint.calls, "talker")[-1]
        assert 'allergy: "latex"' in asked(endpoint.calls, "talker")[-1]


async def test_what_a_user_erases_stays_erased(endpoint: Endpoint, database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation, ana = mirror.conversation("t", user_id="ana"), mirror.user("ana")
        await conversation.say("I'm allergic to peanuts. I'm afraid of spiders.")
        await conversation.settle(timeout=10)
        [peanuts] = [entry for entry in await ana.constraints() if entry["about"] == "peanuts"]
        await ana.forget(peanuts["id"])
        await conversation.say("What shall we do tomorrow?")
        assert 'allergy: "peanuts"' not in asked(endpoint.calls, "talker")[-1]
        await conversation.settle(timeout=10)
        assert abouts(await ana.constraints()) == ["spiders"]
        assert abouts((await conversation.mind()).constraints) == ["spiders"]
        await ana.forget()
        assert await ana.constraints() == []
        with pytest.raises(UnknownConstraintError, match="lists the ids"):
            await ana.edit(peanuts["id"], severity="serious")


async def test_an_export_is_json_with_the_users_words(endpoint: Endpoint) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t", user_id="ana")
        await conversation.say("Ich bin allergisch gegen Erdnüsse.")
        await conversation.settle(timeout=10)
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
                await conversation.settle(timeout=30)
                await conversation.say(f"user {user} asks")

        await asyncio.gather(*(live(user) for user in range(len(fruits))))
        for user, fruit in enumerate(fruits):
            assert abouts(await mirror.user(f"user {user}").constraints()) == [fruit]
    for prompt in asked(endpoint.calls, "talker"):
        told = {fruit for fruit in fruits if f'"{fruit}"' in prompt}
        assert len(told) <= 1
