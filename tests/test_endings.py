"""A reply gives the reason why it ended, a refusal is one, and what was cut at its bound ends with a sentence."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.memory import InMemorySaver

from mirror_graph import MirrorContext, build_mirror, open_mirror
from mirror_graph.errors import ReplyError
from mirror_graph.models import ending
from mirror_graph.testing.endpoint import Answer, Endpoint
from tests.replies import Replies, prompts_of

CONTEXT = MirrorContext(talker_model="openai:test", think_after=0)


@pytest.mark.parametrize(
    ("answer", "text", "reason"),
    [
        (Answer("I hear you."), "I hear you.", "stop"),
        (Answer("I hear", finish_reason="length"), "I hear", "length"),
        (Answer("I hear", finish_reason="content_filter"), "I hear", "content_filter"),
        (Answer(refusal="I cannot help with that."), "I cannot help with that.", "refusal"),
    ],
    ids=["stop", "length", "content filter", "refusal"],
)
async def test_a_reply_says_why_it_ended(
    endpoint: Endpoint, replies: Replies, answer: Answer, text: str, reason: str
) -> None:
    replies.by_component["talker"] = answer
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        stream = conversation.stream("hello")
        assert "".join([piece async for piece in stream]) == text
        assert (stream.reply.text, stream.reply.finish_reason) == (text, reason)
        [_, stored] = await conversation.messages()
        assert stored.response_metadata["mirror"]["finish_reason"] == reason
        await conversation.say("again")
        assert (await conversation.messages())[1].response_metadata["mirror"]["finish_reason"] == reason
    state = (
        await build_mirror()
        .compile(checkpointer=InMemorySaver())
        .ainvoke({"messages": [HumanMessage("hello")]}, {"configurable": {"thread_id": "t"}}, context=CONTEXT)
    )
    assert state["messages"][-1].response_metadata["mirror"]["finish_reason"] == reason


async def test_a_reply_that_the_filter_held_back_is_not_paid_three_times(
    endpoint: Endpoint, replies: Replies, quick_retries: None
) -> None:
    replies.by_component["talker"] = Answer("", finish_reason="content_filter")
    async with open_mirror(context=CONTEXT) as mirror:
        with pytest.raises(ReplyError, match="content filter") as failed:
            await mirror.conversation("t").say("hello")
    assert not failed.value.transient
    assert len(endpoint.calls) == 1


@pytest.mark.parametrize("answer", [Answer(refusal="No."), Answer("They w", finish_reason="content_filter")])
@pytest.mark.parametrize("component", ["goals", "memory", "synthesis"])
async def test_a_thinker_that_refuses_is_counted_as_refusing(
    endpoint: Endpoint, replies: Replies, component: str, answer: Answer, quick_retries: None
) -> None:
    replies.by_component[component] = answer
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        await conversation.settle()
        mind = await conversation.mind()
    failure = mind.failures[component]
    assert failure["error"] == "RefusalError"
    assert len(prompts_of(endpoint.calls, component)) == failure["count"]


async def test_what_is_cut_at_its_bound_ends_with_a_sentence(endpoint: Endpoint, replies: Replies) -> None:
    cut = Answer("They are careful. They asked for a din", finish_reason="length", plain=True)
    replies.by_component |= {"goals": cut, "memory": cut, "synthesis": cut}
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        assert await conversation.settle(timeout=100)
        mind = await conversation.mind()
    assert mind.narrative == "They are careful."
    assert (mind.thoughts["goals"], mind.thoughts["memory"]) == ("They are careful.", "They are careful.")


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"finish_reason": "stop"}, "stop"),
        ({"stop_reason": "end_turn"}, "stop"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"stop_reason": "refusal"}, "refusal"),
        ({"finish_reason": "MAX_TOKENS"}, "length"),
        ({"finish_reason": "SAFETY"}, "content_filter"),
        ({"done_reason": "length"}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"finish_reason": "something new"}, "unknown"),
        ({}, "unknown"),
    ],
)
def test_every_providers_word_is_one_of_ours(metadata: dict[str, Any], reason: str) -> None:
    assert ending(AIMessage("hi", response_metadata=metadata)) == reason


def test_a_refusal_in_a_block_is_one() -> None:
    assert ending(AIMessage([{"type": "refusal", "refusal": "No."}], response_metadata={"status": "completed"})) == (
        "refusal"
    )
