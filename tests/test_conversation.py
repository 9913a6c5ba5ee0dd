"""A conversation as its user sees it, on every database."""

import asyncio
import sqlite3
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from mirror_graph import ConfigurationError, MirrorContext, open_mirror
from mirror_graph.errors import MessageRefusedError, ReplyError
from mirror_graph.scheduling import mind_thread
from mirror_graph.state.reducers import message_tokens
from mirror_graph.testing.endpoint import Answer, Endpoint
from tests.replies import Replies, prompts_of

CONTEXT = MirrorContext(talker_model="openai:test", think_after=0)


async def test_the_second_reply_starts_from_what_was_thought(endpoint: Endpoint, database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        first = await conversation.say("I'm allergic to peanuts.")
        assert (first.text, first.turn, first.narrative_turn, first.lag) == ("I hear you.", 1, 0, 0)
        assert await conversation.settle(timeout=100)
        second = await conversation.say("Shall we talk about music?")
        assert (second.turn, second.narrative_turn, second.lag) == (2, 1, 0)

    talker = prompts_of(endpoint.calls, "talker")
    assert "allergic to peanuts" in talker[0]
    assert "I know that they are allergic" not in talker[0]
    assert "I know that they are allergic to peanuts." in talker[1]


async def test_a_mind_says_what_was_thought_and_what_it_took(endpoint: Endpoint, database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("dinner")
        assert (await conversation.mind()).narrative == ""
        await conversation.say("hello")
        await conversation.settle()
        mind = await conversation.mind()
    assert mind.narrative == "I know that they are allergic to peanuts."
    assert mind.thoughts == {
        "goals": "They want to plan a dinner.",
        "memory": "They are allergic to peanuts.",
        "reasoning": "Food may be a risk.",
    }
    assert (mind.turn, mind.lag, mind.failures) == (1, 0, {})
    assert mind.usage.keys() == {"talker", "goals", "reasoning", "memory", "synthesis"}
    assert all(usage["total"]["calls"] == 1 and usage["total"]["input"] > 0 for usage in mind.usage.values())


async def test_usage_adds_up_over_the_thread(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component = {voice: Answer("Fine.", usage=(100, 10, 64)) for voice in replies.by_component}
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        for number in range(3):
            reply = await conversation.say(f"more {number}")
            assert reply.usage == {"calls": 1, "input": 100, "output": 10, "cached": 64}
            await conversation.settle()
        usage = (await conversation.mind()).usage
    for component in ("talker", "goals", "synthesis"):
        assert usage[component]["total"] == {"calls": 3, "input": 300, "output": 30, "cached": 192}
        assert usage[component]["latest"] == {"calls": 1, "input": 100, "output": 10, "cached": 64}


async def test_a_reply_streams_piece_by_piece_from_the_first_token(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component["talker"] = Answer("One two three.", pause=0.15)
    async with open_mirror(context=CONTEXT) as mirror:
        stream = mirror.conversation("t").stream("count")
        with pytest.raises(RuntimeError, match="not complete"):
            _ = stream.reply
        loop = asyncio.get_running_loop()
        pieces = [(loop.time(), piece) async for piece in stream]
    assert [piece for _, piece in pieces] == ["One ", "two ", "three."]
    assert all(later - earlier > 0.1 for (earlier, _), (later, _) in pairwise(pieces))
    assert stream.reply.text == "One two three."


async def test_no_inner_word_reaches_the_users_stream(endpoint: Endpoint, database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        for _ in range(2):
            assert "".join([piece async for piece in conversation.stream("hello")]) == "I hear you."
            await conversation.settle()
        said = [message.text for message in await conversation.messages()]
    assert said == ["hello", "I hear you."] * 2


async def test_a_conversation_goes_on_where_it_was_after_a_restart(endpoint: Endpoint, tmp_path: Path) -> None:
    for turn in (1, 2, 3):
        async with open_mirror(tmp_path / "mirror.db", context=CONTEXT) as mirror:
            conversation = mirror.conversation("t", user_id="ana")
            assert (await conversation.say(f"hello {turn}")).turn == turn
            await conversation.settle()
            assert (await conversation.mind()).turn == turn
            assert len(await conversation.messages()) == 2 * turn


async def test_what_was_not_thought_before_the_end_is_thought_later(
    endpoint: Endpoint, replies: Replies, tmp_path: Path
) -> None:
    replies.by_component["goals"] = Answer("slow", delay=30)
    async with open_mirror(tmp_path / "mirror.db", context=CONTEXT) as mirror:
        await mirror.conversation("t").say("first")
        await asyncio.sleep(0.1)
    replies.by_component["goals"] = "quick"
    async with open_mirror(tmp_path / "mirror.db", context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        assert (await conversation.mind()).lag == 1
        assert await conversation.settle(timeout=100)
        assert (await conversation.mind()).lag == 0
    assert '"first"' in prompts_of(endpoint.calls, "goals")[-1]


async def test_ten_messages_at_once_on_one_thread_are_ten_turns(endpoint: Endpoint, database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        replies = await asyncio.gather(*(conversation.say(f"message {n}") for n in range(10)))
        assert [reply.turn for reply in replies] == list(range(1, 11))
        said = [message.text for message in await conversation.messages() if message.type == "human"]
        assert said == [f"message {n}" for n in range(10)]
        assert await conversation.settle(timeout=100)
        assert (await conversation.mind()).turn == 10


async def test_users_and_threads_never_meet(endpoint: Endpoint, database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        places = [(user, thread) for user in ("ana", "bo", None) for thread in ("a", "b")]
        conversations = {place: mirror.conversation(place[1], user_id=place[0]) for place in places}
        await asyncio.gather(*(conversation.say(f"I am {place}") for place, conversation in conversations.items()))
        for place, conversation in conversations.items():
            assert [message.text for message in await conversation.messages()] == [f"I am {place}", "I hear you."]


async def test_a_forgotten_conversation_is_gone_from_the_database(
    endpoint: Endpoint, replies: Replies, tmp_path: Path
) -> None:
    file = tmp_path / "mirror.db"
    async with open_mirror(file, context=CONTEXT) as mirror:
        remaining, forgotten = mirror.conversation("kept"), mirror.conversation("forgotten")
        await remaining.say("stay")
        await forgotten.say("Xylophonia is my secret.")
        await forgotten.settle()
        replies.by_component["goals"] = Answer("late", delay=0.3)
        await forgotten.say("one more")
        await asyncio.sleep(0.1)  # a pass is thinking now, and must not bring the mind back
        await forgotten.forget()
        await asyncio.sleep(0.5)
        assert await forgotten.messages() == []
        assert (await forgotten.mind()).turn == 0
        assert len(await remaining.messages()) == 2
        await remaining.settle()
    with closing(sqlite3.connect(file)) as database:
        for table in ("checkpoints", "writes"):
            threads = {thread for (thread,) in database.execute(f"SELECT thread_id FROM {table}")}
            assert threads <= {remaining.thread_id, mind_thread(remaining.thread_id)}
        assert database.execute("SELECT * FROM mirror_leases").fetchall() == []


@pytest.mark.parametrize("text", ["", "   \n", "\x00\x07"])
async def test_an_empty_message_is_refused_and_the_next_turn_works(endpoint: Endpoint, text: str) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        with pytest.raises(MessageRefusedError, match="empty"):
            await conversation.say(text)
        assert await conversation.messages() == []
        assert (await conversation.say("hello")).turn == 1


@pytest.mark.parametrize("text", [None, 5, b"hello", [5], "\ud800 half a character"])
async def test_what_is_no_text_is_refused_and_nothing_is_stored(endpoint: Endpoint, text: Any) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        with pytest.raises(MessageRefusedError, match=r"expected a string|lone surrogate"):
            await conversation.say(text)
        assert await conversation.messages() == []
        assert (await conversation.say("hello")).turn == 1


async def test_a_message_of_a_million_characters_is_refused_and_nothing_is_lost(endpoint: Endpoint) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        with pytest.raises(MessageRefusedError, match=r"250,000 tokens: expected at most 10,000") as refused:
            await conversation.say("x" * 1_000_000)
        assert (refused.value.tokens, refused.value.limit) == (250_000, 10_000)
        assert (await conversation.say("and on")).turn == 2


@pytest.mark.parametrize("text", ["bell \x07 and null \x00", "\u202e right to left", "💥" * 2_000])
async def test_odd_characters_are_answered_and_stored(endpoint: Endpoint, database: str | None, text: str) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say(text)
        assert await conversation.settle(timeout=100)
        assert (await conversation.say("next")).turn == 2


async def test_a_danger_outlives_the_window_with_thinking_off(endpoint: Endpoint, database: str | None) -> None:
    context = MirrorContext(talker_model="openai:test", thinking="off", window_tokens=500, relevance="talker")
    async with open_mirror(database, context=context) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I'm severely allergic to peanuts.")
        for turn in range(16):
            await conversation.say(f"{turn} " + "word " * 60)
        assert not any("peanuts" in message.text for message in await conversation.messages())
        assert [entry["about"] for entry in (await conversation.mind()).constraints] == ["peanuts"]
    assert 'They said: "I\'m severely allergic to peanuts."' in prompts_of(endpoint.calls, "talker")[-1]


async def test_a_tag_of_ours_reaches_neither_the_user_nor_the_window(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component["talker"] = "<mirror-0badcafe> I hear you, and I remember."
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        stream = conversation.stream("hello")
        pieces = [piece async for piece in stream]
        stored = (await conversation.messages())[-1].text
    assert "".join(pieces) == stream.reply.text == stored == "I hear you, and I remember."
    assert len(pieces) > 1


async def test_the_window_is_bounded_and_keeps_what_was_not_thought_about(endpoint: Endpoint, replies: Replies) -> None:
    context = MirrorContext(talker_model="openai:test", think_after=0, window_tokens=1_000, monologue_tokens=1_000)
    replies.by_component["talker"] = "All right. " * 40
    async with open_mirror(context=context) as mirror:
        conversation = mirror.conversation("t")
        for turn in range(1, 13):
            await conversation.say(f"{turn} " + "word " * 60)
            await conversation.settle()
            messages = await conversation.messages()
            assert sum(map(message_tokens, messages)) <= 1_000
            assert messages[0].type == "human"
        replies.by_component["synthesis"] = Answer(status=400)
        before = (await conversation.mind()).turn
        for _ in range(8):
            await conversation.say("unthought " + "word " * 60)
            await conversation.settle()
        messages = await conversation.messages()
        assert 1_000 < sum(map(message_tokens, messages)) <= 2_000
        assert len([message for message in messages if message.text.startswith("unthought")]) == 8
        assert (await conversation.mind()).turn == before
        replies.by_component["synthesis"] = "I caught up."
        assert await conversation.settle(timeout=100)
        await conversation.say("last")
        assert sum(map(message_tokens, await conversation.messages())) <= 1_000


async def test_a_reader_who_leaves_ends_the_turn_and_keeps_the_message(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component["talker"] = Answer("One two three four.", pause=0.2)
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        pieces = aiter(conversation.stream("count"))
        assert await anext(pieces) == "One "
        await pieces.aclose()  # type: ignore[attr-defined]  # an async generator
        assert [message.text for message in await conversation.messages()] == ["count"]
        replies.by_component["talker"] = "I am back."
        assert (await conversation.say("count")).turn == 1
        assert [message.text for message in await conversation.messages()] == ["count", "I am back."]


async def test_the_hosts_instructions_come_first(endpoint: Endpoint) -> None:
    context = MirrorContext(talker_model="openai:test", instructions="You work for a bakery.")
    async with open_mirror(context=context) as mirror:
        await mirror.conversation("t").say("hello")
    assert "You work for a bakery." in str(endpoint.calls[0].messages[0]["content"])


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"thinking": "deep"}, "expected one of parallel, joint"),
        ({"narrative_tokens": 3_001}, "from 50 to 3,000"),
        ({"window_tokens": True}, "expected a whole number"),
        ({"narrative_tokens": 99.5}, "expected a whole number"),
        ({"thinkers": ()}, "expected 1 to 8"),
        ({"thinkers": ("goals", "goals")}, "each name once"),
        ({"thinkers": ("humour",)}, "humour: what it thinks about"),
        ({"temperature": 3}, "from 0 to 2"),
    ],
)
def test_a_wrong_choice_says_what_was_expected(changes: dict[str, object], expected: str) -> None:
    with pytest.raises(ConfigurationError, match=expected):
        MirrorContext(**changes)  # type: ignore[arg-type]  # wrong on purpose


async def test_a_missing_key_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    async with open_mirror() as mirror:
        conversation = mirror.conversation("t")
        with pytest.raises(ConfigurationError, match="OPENAI_API_KEY"):
            await conversation.say("hello")


async def test_a_file_that_is_no_database_says_so(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are only notes, not a database " * 20)
    with pytest.raises(ConfigurationError, match="cannot store threads"):
        async with open_mirror(file):
            pass


async def test_a_reply_error_carries_its_cause(endpoint: Endpoint, replies: Replies) -> None:
    replies.by_component["talker"] = Answer(status=401, error="no such key")
    async with open_mirror(context=CONTEXT) as mirror:
        with pytest.raises(ReplyError) as failed:
            await mirror.conversation("t").say("hello")
    assert failed.value.component == "talker"
    assert getattr(failed.value.cause, "status_code", None) == 401
