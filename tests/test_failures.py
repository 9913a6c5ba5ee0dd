"""Any call may fail: the reply is saved, the last good mind stays, the failure is counted and never told."""

import re
from itertools import combinations
from typing import Any

import pytest

from mirror_graph import Conversation, MirrorContext, open_mirror
from mirror_graph.errors import ReplyError
from mirror_graph.graphs import retry
from mirror_graph.models import is_transient
from mirror_graph.testing.endpoint import Answer, Call, Endpoint
from tests.replies import Replies, component_of, prompts_of

CONTEXT = MirrorContext(talker_model="openai:test", think_after=0)
THINKERS = ("goals", "memory", "reasoning")
BROKEN = Answer(status=400, error="XYZZY the request is broken")
SUBSETS = [failing for size in range(4) for failing in combinations(THINKERS, size)]


async def everything_stored(conversation: Conversation) -> str:
    """Return all that a user or a model may ever see of a thread."""
    return repr((await conversation.messages(), await conversation.mind()))


@pytest.mark.parametrize("failing", SUBSETS, ids="+".join)
async def test_any_subset_of_thinkers_may_fail(endpoint: Endpoint, replies: Replies, failing: tuple[str, ...]) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("first")
        await conversation.settle()
        replies.by_component |= dict.fromkeys(failing, BROKEN)
        replies.by_component["synthesis"] = "A new account."
        assert (await conversation.say("second")).text == "I hear you."
        caught_up = await conversation.settle()
        mind = await conversation.mind()
        assert "XYZZY" not in await everything_stored(conversation)

    everyone = len(failing) == 3
    assert caught_up is not everyone
    assert (mind.turn, mind.lag) == ((1, 1) if everyone else (2, 0))
    assert mind.narrative == ("I know that they are allergic to peanuts." if everyone else "A new account.")
    assert mind.thoughts.keys() == (set(THINKERS) if everyone else set(THINKERS) - set(failing))
    assert mind.failures.keys() == set(failing)
    assert {failure["error"] for failure in mind.failures.values()} <= {"OpenAIInvalidRequestError"}


async def test_a_failing_synthesis_leaves_the_last_good_mind(endpoint: Endpoint, replies: Replies) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("first")
        await conversation.settle()
        before = await conversation.mind()
        replies.by_component["synthesis"] = BROKEN
        await conversation.say("second")
        assert not await conversation.settle()
        after = await conversation.mind()
        replies.by_component["synthesis"] = "I caught up with both."
        await conversation.say("third")
        assert await conversation.settle()
        last = await conversation.mind()
    assert (after.narrative, after.thoughts, after.turn) == (before.narrative, before.thoughts, before.turn)
    assert after.failures["synthesis"]["turn"] == 2
    assert (last.narrative, last.turn) == ("I caught up with both.", 3)
    handed_over = prompts_of(endpoint.calls, "goals")[-1]
    assert '"second"' in handed_over
    assert '"third"' in handed_over


@pytest.mark.parametrize(
    ("empty", "error"),
    [("", "CallError"), ("  \n ", "CallError"), (Answer("", refusal="I cannot help with that."), "RefusalError")],
)
async def test_an_empty_or_refused_answer_is_a_failure_and_not_a_thought(
    endpoint: Endpoint, replies: Replies, empty: Any, error: str, quick_retries: None
) -> None:
    replies.by_component["memory"] = empty
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        await conversation.settle()
        mind = await conversation.mind()
    assert mind.thoughts.keys() == {"goals", "reasoning"}
    assert mind.failures["memory"]["error"] == error


async def test_a_slow_thinker_is_given_up(endpoint: Endpoint, replies: Replies, quick_retries: None) -> None:
    replies.by_component["goals"] = Answer("too late", delay=9)
    context = MirrorContext(talker_model="openai:test", think_after=0, thinker_timeout=0.6)
    async with open_mirror(context=context) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        assert await conversation.settle(timeout=100)
        mind = await conversation.mind()
    assert mind.thoughts.keys() == {"memory", "reasoning"}
    assert mind.failures["goals"]["error"] == "TimeoutError"
    assert len(prompts_of(endpoint.calls, "goals")) == 3


TRANSIENT = [
    Answer(status=429),
    Answer(status=500),
    Answer(status=503),
    Answer("One two", cut_after=0),
    Answer("", finish_reason=None),
]


@pytest.mark.parametrize("fault", TRANSIENT, ids=["429", "500", "503", "cut before the first token", "nothing at all"])
async def test_what_passes_is_tried_again(
    endpoint: Endpoint, replies: Replies, fault: Answer, quick_retries: None
) -> None:
    replies.by_component["talker"] = [fault, fault, "Here I am."]
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        pieces = [piece async for piece in conversation.stream("hello")]
        assert "".join(pieces) == "Here I am."
        assert [message.text for message in await conversation.messages()] == ["hello", "Here I am."]
    assert len(prompts_of(endpoint.calls, "talker")) == 3


async def test_a_reply_that_is_nothing_but_the_tag_around_the_mind_is_asked_for_again(
    endpoint: Endpoint, replies: Replies, quick_retries: None
) -> None:
    def copied(call: Call) -> str:
        [mark] = set(re.findall(r"mirror-[0-9a-f]{8}", str(call.messages[-1]["content"])))
        return f"<{mark}>\n</{mark}>"

    safe = "Avoid the satay, with your allergy."
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I'm severely allergic to peanuts.")
        await conversation.settle()
        replies.by_component["talker"] = [copied, copied, safe]
        pieces = [piece async for piece in conversation.stream("What about the peanut satay?")]
        last = (await conversation.messages())[-1].text
        replies.by_component["talker"] = "<mirror-0badcafe>"
        asked_for = await conversation.say("Write <mirror-0badcafe> and nothing else.")
    assert ("".join(pieces), last) == (safe, safe)
    assert asked_for.text == "<mirror-0badcafe>"


LASTING = [
    Answer(status=401),
    Answer(status=400),
    Answer(status=404),
    Answer(status=429, error_code="insufficient_quota"),
    Answer("One two three", cut_after=2),
    Answer("One two three", finish_reason=None),
]


@pytest.mark.parametrize("fault", LASTING, ids=["401", "400", "404", "no quota", "cut", "no end"])
async def test_a_lasting_failure_is_raised_once_and_the_message_can_be_sent_again(
    endpoint: Endpoint, replies: Replies, fault: Answer, quick_retries: None
) -> None:
    replies.by_component["talker"] = fault
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        await_before = await conversation.messages()
        with pytest.raises(ReplyError) as failed:
            await conversation.say("hello")
        assert await_before == []
        assert len(endpoint.calls) == 1
        assert "One two three".startswith(failed.value.partial.strip())
        assert [message.text for message in await conversation.messages()] == ["hello"]
        replies.by_component["talker"] = "I hear you now."
        reply = await conversation.say("hello")
        assert (reply.text, reply.turn) == ("I hear you now.", 1)
        assert [message.text for message in await conversation.messages()] == ["hello", "I hear you now."]


async def test_another_message_after_a_failed_reply_is_answered_with_the_first(
    endpoint: Endpoint, replies: Replies
) -> None:
    replies.by_component["talker"] = BROKEN
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        with pytest.raises(ReplyError):
            await conversation.say("I'm allergic to nuts.")
        replies.by_component["talker"] = "Understood."
        assert (await conversation.say("What can I eat?")).turn == 1
        await conversation.settle()
    assert endpoint.calls[1].messages[-1]["content"].endswith("now:\nI'm allergic to nuts.\n\nWhat can I eat?")
    assert "allergic to nuts" in prompts_of(endpoint.calls, "memory")[0]


async def test_a_silent_talker_is_given_up(
    endpoint: Endpoint, replies: Replies, quick_retries: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures: list[BaseException] = []  # counted here: on a busy machine a call may not reach the endpoint in time

    def is_tried_again(error: Exception) -> bool:
        failures.append(error)
        return is_transient(error)

    monkeypatch.setattr(retry, "RETRY", retry.RETRY._replace(retry_on=is_tried_again))
    replies.by_component["talker"] = Answer("never", delay=5)
    context = MirrorContext(talker_model="openai:test", talker_timeout=0.2)
    async with open_mirror(context=context) as mirror:
        with pytest.raises(ReplyError, match=r"no text for 0\.2 s"):
            await mirror.conversation("t").say("hello")
    assert len(failures) == 3


async def test_an_error_about_a_missing_endpoint_names_its_cause(
    monkeypatch: pytest.MonkeyPatch, quick_retries: None
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        with pytest.raises(ReplyError) as failed:
            await conversation.say("hello")
        assert failed.value.cause is not None
        assert len(await conversation.messages()) == 1


async def test_failures_of_one_turn_are_counted_once_each(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component |= {"goals": BROKEN, "memory": BROKEN}
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        for turn in (1, 2, 3):
            await conversation.say(f"message {turn}")
            await conversation.settle()
            failures = (await conversation.mind()).failures
            assert {name: (failure["count"], failure["turn"]) for name, failure in failures.items()} == {
                "goals": (turn, turn),
                "memory": (turn, turn),
            }
    assert {component_of(call) for call in endpoint.calls} == {"talker", *THINKERS, "synthesis"}
