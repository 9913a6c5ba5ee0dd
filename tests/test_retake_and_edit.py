"""A user regenerates a reply or edits a message: what went is in no later prompt, and what came earlier stays."""

import asyncio
from typing import Any

import pytest

from mirror_graph import Conversation, MirrorContext, UnknownMessageError, open_mirror, open_mirror_sync
from mirror_graph.host import replacing
from mirror_graph.scheduling import mind_thread
from mirror_graph.testing.endpoint import Call, Endpoint
from tests.replies import Replies, prompts_of

CONTEXT = MirrorContext(talker_model="openai:test", think_after=0, guard="off")


def echo(call: Call) -> str:
    """Think of the last words that were said."""
    return "I noticed: " + str(call.messages[-1]["content"])[:4_000]


@pytest.fixture
def echoing(replies: Replies) -> Replies:
    """Thinkers and a synthesis that write down all they read: what is left of it later has been left by the code."""
    for component in ("goals", "reasoning", "synthesis"):
        replies.by_component[component] = echo
    replies.by_component["talker"] = [f"Reply number {number}." for number in range(1, 100)]
    return replies


async def active_dangers(conversation: Conversation) -> set[str]:
    """Return what holds in the ledger of a conversation."""
    constraints = (await conversation.mind()).constraints
    return {entry["about"] for entry in constraints if entry["status"] in ("active", "provisional")}


async def test_a_retaken_reply_leaves_nothing_behind(
    endpoint: Endpoint, echoing: Replies, database: str | None
) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        await conversation.say("I'm allergic to celery.")
        await conversation.settle(timeout=100)
        await conversation.say("I also hate zebras. What shall I cook?")
        await conversation.settle(timeout=100)
        again = await conversation.retake()
        assert again.text == "Reply number 3."
        assert [message.text for message in await conversation.messages()][2:] == [
            "I also hate zebras. What shall I cook?",
            "Reply number 3.",
        ]
        await conversation.settle(timeout=100)
        await conversation.say("And then?")
        assert await active_dangers(conversation) == {"celery"}
    for prompt in prompts_of(endpoint.calls, "talker")[-2:]:
        assert "Reply number 2" not in prompt
        assert prompt.count("celery") >= 1


async def test_an_edited_message_is_in_no_later_prompt(
    endpoint: Endpoint, echoing: Replies, database: str | None
) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        await conversation.say("I'm allergic to celery.")
        await conversation.settle(timeout=100)
        await conversation.say("I'm allergic to sesame. What shall I cook?")
        await conversation.settle(timeout=100)
        assert await active_dangers(conversation) == {"celery", "sesame"}
        calls = len(endpoint.calls)
        await conversation.edit("I'm allergic to kiwi. What shall I cook?")
        await conversation.settle(timeout=100)
        await conversation.say("And then?")
        await conversation.settle(timeout=100)
        assert await active_dangers(conversation) == {"celery", "kiwi"}
        other = mirror.conversation("lunch", user_id="ana")
        await other.say("What's for lunch?")
        users = {entry["about"] for entry in await mirror.user("ana").constraints() if entry["status"] == "active"}
        assert users == {"celery", "kiwi"}
    for component in ("talker", "goals", "reasoning", "memory", "synthesis"):
        for prompt in prompts_of(endpoint.calls[calls:], component):
            assert "sesame" not in prompt, component
            assert "Reply number 2" not in prompt


async def test_an_earlier_message_is_edited_by_its_id(endpoint: Endpoint, echoing: Replies) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        for text in ("I'm allergic to celery.", "I love zebras.", "I love giraffes."):
            await conversation.say(text)
            await conversation.settle(timeout=100)
        second = (await conversation.messages())[2]
        calls = len(endpoint.calls)
        await conversation.edit("I love lions.", message_id=second.id)
        await conversation.settle(timeout=100)
        shown = [message.text for message in await conversation.messages()]
        assert shown == ["I'm allergic to celery.", "Reply number 1.", "I love lions.", "Reply number 4."]
        assert await active_dangers(conversation) == {"celery"}
    assert not any(
        "giraffes" in str(call.messages) or "zebras" in str(call.messages) for call in endpoint.calls[calls:]
    )


@pytest.mark.parametrize("thinks_at_once", [True, False])
async def test_an_allergy_that_has_left_the_window_survives_every_edit(
    endpoint: Endpoint, echoing: Replies, thinks_at_once: bool
) -> None:
    context = MirrorContext(talker_model="openai:test", think_after=0, guard="off", window_tokens=500)
    async with open_mirror(context=context) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I'm allergic to celery.")
        if thinks_at_once:
            await conversation.settle(timeout=100)
        while any("celery" in message.text for message in await conversation.messages()):
            await conversation.say("Tell me more about it. " + "And more. " * 60)
            await conversation.settle(timeout=100)
        for message in reversed(await conversation.messages()):
            if message.type == "human":
                await conversation.edit("Something else. " + "And more. " * 60, message_id=message.id)
                assert "celery" in await active_dangers(conversation)
                await conversation.retake()
                await conversation.settle(timeout=100)
                assert "celery" in await active_dangers(conversation)
    assert all("celery" in prompt for prompt in prompts_of(endpoint.calls, "talker"))


async def test_there_must_be_a_message_to_answer_again(endpoint: Endpoint) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        with pytest.raises(UnknownMessageError):
            await conversation.retake()
        await conversation.say("Hello.")
        with pytest.raises(UnknownMessageError, match="'abc'"):
            await conversation.edit("Hello", message_id="abc")
        assert len(await conversation.messages()) == 2


async def test_a_conversation_has_instructions_of_its_own(endpoint: Endpoint) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        await mirror.conversation("t", instructions="Answer in verse.").say("Hello.")
        await mirror.conversation("t").say("Hello again.")
    with_verse, without = prompts_of(endpoint.calls, "talker")
    assert "Answer in verse." in with_verse
    assert "Answer in verse." not in without


def test_it_works_without_a_loop(endpoint: Endpoint, echoing: Replies) -> None:
    with open_mirror_sync(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        conversation.say("Hello.")
        assert conversation.retake().text == "Reply number 2."
        assert "".join(conversation.retake_stream()) == "Reply number 3."
        assert conversation.edit("Hi.").text == "Reply number 4."
        assert "".join(conversation.edit_stream("Hey.")) == "Reply number 5."
        assert [message.text for message in conversation.messages()] == ["Hey.", "Reply number 5."]


async def test_an_edit_waits_for_the_user_while_no_mind_is_locked(
    endpoint: Endpoint, echoing: Replies, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pass that shares what it has read takes the user's lock, and then its mind's."""
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t", user_id="ana")
        storage = mirror._engine.storage
        is_free: list[bool] = []
        withdraw = replacing.withdraw

        async def checked(*arguments: Any) -> None:
            async with asyncio.timeout(100), storage.lock(mind_thread(conversation.thread_id)):
                is_free.append(True)
            await withdraw(*arguments)

        monkeypatch.setattr(replacing, "withdraw", checked)
        await conversation.say("I'm allergic to celery.")
        await conversation.edit("I'm allergic to kiwi.")
        assert is_free == [True]
