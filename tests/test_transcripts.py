"""What a host stores beyond the window if it is asked to: what was said, and the user's conversations by name."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AnyMessage, HumanMessage

from mirror_graph import ConfigurationError, MirrorContext, StorageError, open_mirror, open_mirror_sync
from mirror_graph.host import transcripts as stored_transcripts
from mirror_graph.host.transcripts import Transcripts
from mirror_graph.state.branch import turn_of
from mirror_graph.testing.endpoint import Endpoint
from tests.replies import Replies

CONTEXT = MirrorContext(talker_model="openai:test", think_after=0, guard="off", window_tokens=500, thinking="off")


def texts(messages: Sequence[AnyMessage]) -> list[str]:
    return [message.text for message in messages]


async def test_a_transcript_holds_what_has_left_the_window(
    endpoint: Endpoint, replies: Replies, database: str | None
) -> None:
    replies.by_component["talker"] = [f"Reply {number}. " + "And more. " * 30 for number in range(60)]
    async with open_mirror(database, context=CONTEXT, transcripts=True) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        assert await conversation.transcript() == []
        for number in range(30):
            await conversation.say(f"Message {number}.")
        assert len(await conversation.messages()) < 20
        shown = await conversation.transcript()
        said = [line for number in range(30) for line in (f"Message {number}.", f"Reply {number}.")]
        assert [text.partition(". ")[0].rstrip(".") + "." for text in texts(shown)] == said
        assert [turn_of(message) for message in shown[1::2]] == list(range(1, 31))  # type: ignore[arg-type]
        assert await conversation.transcript(limit=7) == shown[-7:]
        await conversation.retake()
        await conversation.edit("Another message.", message_id=(await conversation.messages())[0].id)
        edited = await conversation.transcript()
        assert texts(edited)[-2] == "Another message."
        assert edited[:-2] == shown[: len(edited) - 2]
        assert edited[-2].id == shown[len(edited) - 2].id


async def test_a_users_conversations_are_listed_by_name_the_latest_first(
    endpoint: Endpoint, database: str | None
) -> None:
    async with open_mirror(database, context=CONTEXT, transcripts=True) as mirror:
        for name in ("dinner", "holiday"):
            await mirror.conversation(name, user_id="ana").say(f"Let us talk about my {name},\nat " + "length " * 30)
        await mirror.conversation("dinner", user_id="bob").say("Hello.")
        await mirror.conversation("dinner", user_id="ana").say("And then?")
        listed = await mirror.conversations("ana")
        assert [one.name for one in listed] == ["dinner", "holiday"]
        assert listed[0].title == "Let us talk about my dinner, at length length length length…"
        assert listed[0].updated_at > listed[1].updated_at
        assert [one.name for one in await mirror.conversations("bob")] == ["dinner"]
        assert await mirror.conversations("eve") == []
        first = (await mirror.conversation("dinner", user_id="ana").messages())[0]
        await mirror.conversation("dinner", user_id="ana").edit("A new beginning.", message_id=first.id)
        assert (await mirror.conversations("ana"))[0].title == "A new beginning."


async def test_a_transcript_is_erased_with_its_thread(endpoint: Endpoint, tmp_path: Path) -> None:
    file = tmp_path / "mirror.db"
    async with open_mirror(file, context=CONTEXT, transcripts=True) as mirror:
        conversation = mirror.conversation("zebra dinner", user_id="ana")
        for number in range(30):
            await conversation.say(f"A quagga came by {number} times. " + "And more. " * 30)
    async with open_mirror(file, context=CONTEXT) as mirror:  # also by a host that keeps none
        await mirror.conversation("zebra dinner", user_id="ana").forget()
        assert await _items(mirror) == []
    async with open_mirror(file, context=CONTEXT, transcripts=True) as mirror:
        assert await mirror.conversation("zebra dinner", user_id="ana").transcript() == []
        assert await mirror.conversations("ana") == []
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())  # noqa: ASYNC240  # nothing else runs
    assert b"quagga" not in files
    assert b"zebra" not in files


async def test_what_a_broken_write_left_of_a_transcript_is_erased_too(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: Any) -> None:
        raise StorageError("the disk is full")

    async with open_mirror(context=CONTEXT, transcripts=True) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        with monkeypatch.context() as broken:
            broken.setattr(Transcripts, "_move_ends", fail)  # after the words were written
            await conversation.say("A quagga came by.")
        assert await _items(mirror) != []
        await conversation.forget()
        assert await _items(mirror) == []


async def test_an_id_and_a_name_with_control_characters_cost_neither_transcript_nor_thought(
    endpoint: Endpoint, postgres: str
) -> None:
    context = MirrorContext(talker_model="openai:test", think_after=0)
    async with open_mirror(postgres, context=context, transcripts=True) as mirror:
        conversation = mirror.conversation("dinner", user_id="ana")
        await conversation.say(HumanMessage("I am allergic to peanuts.", id="an\x00 id", name="An\x00a"))
        assert await conversation.settle(20)
        said, _ = await conversation.transcript()
        assert (said.id, said.name) == ("an id", "Ana")
        assert len(await mirror.conversations("ana")) == 1


async def test_a_transcript_is_bounded(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_transcripts, "TRANSCRIPT_LIMIT", 60)
    async with open_mirror(context=CONTEXT, transcripts=True) as mirror:
        conversation = mirror.conversation("t", user_id="ana")
        for number in range(50):
            await conversation.say(f"Message {number}. " + "And more. " * 20)
        shown = texts(await conversation.transcript())
        assert 40 <= len(shown) <= 60
        assert shown[-2].startswith("Message 49.")
        assert len(await _items(mirror)) <= 5
        [listed] = await mirror.conversations("ana")
        assert listed.title.startswith("Message 0.")


async def test_a_transcript_that_could_not_be_written_is_made_good_by_the_next_turn(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mirror_graph.errors import StorageError

    async with open_mirror(context=CONTEXT, transcripts=True) as mirror:
        conversation = mirror.conversation("t", user_id="ana")
        await conversation.say("One.")
        with monkeypatch.context() as away:

            async def fail(*arguments: Any) -> None:
                raise StorageError("the database is away")

            away.setattr(mirror._engine.transcripts, "_put", fail)
            await conversation.say("Two.")
            assert texts(await conversation.transcript())[2] == "Two."
        await conversation.say("Three.")
        assert texts(await conversation.transcript())[::2] == ["One.", "Two.", "Three."]


async def test_an_adopted_history_is_in_the_transcript(endpoint: Endpoint) -> None:
    async with open_mirror(context=CONTEXT, transcripts=True) as mirror:
        conversation = mirror.conversation("t", user_id="ana")
        history = [
            {"role": role, "content": f"{role} {number}. " + "And more. " * 40}
            for number in range(30)
            for role in ("user", "assistant")
        ]
        await conversation.adopt(history)
        await conversation.say("Hello.")
        assert texts(await conversation.transcript())[:60] == [message["content"] for message in history]
        assert (await mirror.conversations("ana"))[0].title.startswith("user 0.")


async def test_a_host_that_keeps_none_says_so(endpoint: Endpoint) -> None:
    async with open_mirror(context=CONTEXT) as mirror:
        with pytest.raises(ConfigurationError, match="transcripts=True"):
            await mirror.conversation("t").transcript()
        with pytest.raises(ConfigurationError, match="transcripts=True"):
            await mirror.conversations("ana")
        await mirror.conversation("t", user_id="ana").say("Hello.")
        assert await _items(mirror) == []


def test_transcripts_without_a_loop(endpoint: Endpoint) -> None:
    with open_mirror_sync(context=CONTEXT, transcripts=True) as mirror:
        conversation = mirror.conversation("t", user_id="ana")
        conversation.say("Hello.")
        assert texts(conversation.transcript(limit=5)) == ["Hello.", "I hear you."]
        assert [one.name for one in mirror.conversations("ana")] == ["t"]


async def _items(mirror: Any) -> list[Any]:
    """Return what is stored of transcripts and of lists of conversations."""
    store = mirror._engine.storage.store
    transcripts = await store.asearch(("mirror", "transcripts"), limit=1_000)
    conversations = await store.asearch(("mirror", "conversations"), limit=1_000)
    return [*transcripts, *conversations]
