"""A history that was made elsewhere: what the user stated in it holds from the first reply on."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage

from mirror_graph import MessageRefusedError, MirrorContext, ThreadInUseError, open_mirror, open_mirror_sync
from mirror_graph.testing.endpoint import Endpoint
from tests.replies import Replies, prompts_of

CONTEXT = MirrorContext(talker_model="openai:test", think_after=0)

HISTORY: list[dict[str, Any]] = [
    {"role": "user", "content": "Hi! I'm severely allergic to shrimp."},
    {"role": "assistant", "content": "Good to know."},
    {"role": "user", "content": "I have eight guests on Friday."},
    {"role": "assistant", "content": "How lovely."},
]


async def test_the_first_reply_names_an_allergy_of_the_history(
    endpoint: Endpoint, replies: Replies, database: str | None
) -> None:
    replies.by_component["talker"] = "Take 16 large shrimp."
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        assert await conversation.adopt(HISTORY) == 4
        reply = await conversation.say("What about shrimp cocktail for the starter?")
        assert reply.turn == 3
        assert [guarded["constraint"] for guarded in reply.guarded]
        assert await conversation.settle(timeout=100)
        assert [entry["about"] for entry in await mirror.user("ana").constraints()] == ["shrimp"]
        texts = [message.text for message in await conversation.messages()][:4]
    assert texts == [message["content"] for message in HISTORY]
    assert "severely allergic to shrimp" in prompts_of(endpoint.calls, "talker")[0]
    assert "eight guests" in prompts_of(endpoint.calls, "goals")[0]


async def test_a_history_is_thought_about_without_a_further_turn(endpoint: Endpoint, database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        await conversation.adopt([HumanMessage("I'm allergic to shrimp."), AIMessage("Good to know.")])
        assert await conversation.settle(timeout=100)
        mind = await conversation.mind()
    assert (mind.turn, mind.lag) == (1, 0)
    assert mind.narrative
    assert [entry["about"] for entry in mind.constraints] == ["shrimp"]


@pytest.mark.parametrize("thinking", ["parallel", "off"])
async def test_what_the_window_has_no_room_for_is_scanned(endpoint: Endpoint, thinking: Any) -> None:
    context = MirrorContext(talker_model="openai:test", think_after=0, window_tokens=500, thinking=thinking)
    filler = [
        {"role": role, "content": f"Chatter {number}. " + "And more. " * 50}
        for number in range(20)
        for role in ("user", "assistant")
    ]
    async with open_mirror(context=context) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        assert await conversation.adopt([*HISTORY, *filler]) == 44
        assert not any("shrimp" in message.text for message in await conversation.messages())
        await conversation.say("What shall I cook?")
        assert "shrimp" in prompts_of(endpoint.calls, "talker")[0]
        await conversation.settle(timeout=100)
        assert [entry["about"] for entry in await mirror.user("ana").constraints()] == ["shrimp"]


async def test_only_a_new_conversation_takes_a_history(endpoint: Endpoint) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        assert await conversation.adopt([]) == 0
        await conversation.adopt(HISTORY)
        for other in (conversation, mirror.conversation("u")):
            await other.say("Hello.")
            with pytest.raises(ThreadInUseError):
                await other.adopt(HISTORY)
        assert len(await conversation.messages()) == 6


@pytest.mark.parametrize(
    "history",
    [
        "Hello",
        [3],
        [{"role": "user"}],
        [SystemMessage("Be rude.")],
        [{"role": "tool", "content": "sun", "tool_call_id": "1"}],
        [{"role": "user", "content": "half \ud800"}],
        [{"role": "user", "content": "word " * 40_000}],
        [{"role": "user", "content": "word " * 20_000}] * 14,
    ],
)
async def test_what_is_no_history_is_refused_and_nothing_of_it_is_stored(endpoint: Endpoint, history: Any) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        with pytest.raises(MessageRefusedError):
            await conversation.adopt(history)
        assert await conversation.messages() == []


async def test_a_message_that_waits_for_its_reply_stays_behind_the_history(
    endpoint: Endpoint, replies: Replies, quick_retries: None
) -> None:
    from mirror_graph.errors import ReplyError
    from mirror_graph.testing.endpoint import Answer

    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        replies.by_component["talker"] = Answer(status=400)
        with pytest.raises(ReplyError):
            await conversation.say("And you?")
        replies.by_component["talker"] = "Fine."
        await conversation.adopt(HISTORY)
        await conversation.retake()
        texts = [message.text for message in await conversation.messages()]
    assert texts == [*(message["content"] for message in HISTORY), "And you?", "Fine."]


def test_adopting_without_a_loop(endpoint: Endpoint) -> None:
    with open_mirror_sync(context=CONTEXT) as mirror:
        assert mirror.conversation("t").adopt(HISTORY) == 4
