"""A host when something fails: no turn is lost or made twice, nothing is left behind, each error says what happened."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage

from mirror_graph import Conversation, Mirror, MirrorContext, open_mirror
from mirror_graph.errors import ConfigurationError, HostClosedError, ReplyError, StorageError
from mirror_graph.host import turn as turn_module
from mirror_graph.host.thread import Thread
from mirror_graph.scheduling import ThinkingPass, mind_thread
from mirror_graph.testing.endpoint import Answer, Endpoint
from tests.replies import Replies, prompts_of
from tests.server import until

CONTEXT = MirrorContext(talker_model="openai:test", think_after=0)


def texts(messages: list[Any]) -> list[str]:
    return [message.text for message in messages]


async def drained(pieces: AsyncIterable[str]) -> str:
    return "".join([piece async for piece in pieces])


# Settling


async def test_thinking_settles_after_a_message_without_a_reply(
    endpoint: Endpoint, replies: Replies, quick_retries: None, database: str | None
) -> None:
    context = MirrorContext(talker_model="openai:test", think_after=60)
    async with open_mirror(database, context=context) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        replies.by_component["talker"] = Answer(status=400, error="no")
        with pytest.raises(ReplyError):
            await conversation.say("are you there?")
        for _ in range(3):
            assert await conversation.settle(timeout=100)
        mind = await conversation.mind()
    assert (mind.turn, mind.lag, len(prompts_of(endpoint.calls, "synthesis"))) == (1, 0, 1)
    assert mind.usage["synthesis"]["total"]["calls"] == 1


async def test_thinking_settles_where_the_only_message_has_no_reply(
    endpoint: Endpoint, replies: Replies, quick_retries: None
) -> None:
    replies.by_component["talker"] = Answer(status=400, error="no")
    async with open_mirror(context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        with pytest.raises(ReplyError):
            await conversation.say("are you there?")
        assert await conversation.settle(timeout=100)
    assert not prompts_of(endpoint.calls, "goals")


async def test_the_calls_of_a_pass_about_a_reply_that_is_gone_count(endpoint: Endpoint, database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        await conversation.settle(timeout=100)
        before = await mirror._engine.minds.load(conversation.thread_id)
        message, reply = await conversation.messages()
        edited = AIMessage("another reply", id="other", response_metadata=reply.response_metadata)
        work = ThinkingPass(conversation.thread_id, 1, [message, edited], CONTEXT, behind=1)
        spent = {name: {**usage, "total": {**usage["total"], "calls": 7}} for name, usage in before["usage"].items()}
        after: Any = {**before, "usage": spent, "narrative": {"turn": 2, "text": "of the reply that is gone"}}
        await mirror._engine.minds.commit(work, after)
        mind = await conversation.mind()
    assert mind.narrative == before["narrative"]["text"]
    assert mind.usage["goals"]["total"]["calls"] == 7


async def test_settling_says_why_a_pass_could_not_be_stored(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*given: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    context = MirrorContext(talker_model="openai:test", think_after=60)
    async with open_mirror(tmp_path / "mirror.db", context=context) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("hello")
        monkeypatch.setattr(mirror._engine.storage.saver, "aput", fail)
        with pytest.raises(StorageError, match="cannot be written: database or disk is full"):
            await conversation.settle(timeout=100)


# Stored and reported as failed


async def test_a_lease_that_cannot_be_given_back_costs_no_reply(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*given: Any) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with open_mirror(tmp_path / "mirror.db", context=CONTEXT) as mirror:
        monkeypatch.setattr("mirror_graph.storage.sqlite.SqliteTables.release_lease", fail)
        conversation = mirror.conversation("t")
        assert [(await conversation.say(text)).turn for text in ("one", "two")] == [1, 2]
    assert "could not release the lease" in caplog.text


@asynccontextmanager
async def failing_after_the_write(
    mirror: Mirror, monkeypatch: pytest.MonkeyPatch, fails: Callable[[list[Any]], Awaitable[bool]]
) -> AsyncIterator[None]:
    """A database whose connection breaks after it has stored a checkpoint and before it says so."""
    saver = mirror._engine.storage.saver
    put = saver.aput

    async def aput(config: Any, checkpoint: Any, *rest: Any) -> Any:
        stored = await put(config, checkpoint, *rest)
        if await fails(checkpoint["channel_values"].get("messages", [])):
            raise sqlite3.OperationalError("disk I/O error")
        return stored

    with monkeypatch.context() as patch:
        patch.setattr(saver, "aput", aput)
        yield


def ends_with_a_reply(messages: list[Any]) -> bool:
    return bool(messages) and isinstance(messages[-1], AIMessage)


async def at_the_reply(messages: list[Any]) -> bool:
    return ends_with_a_reply(messages)


async def at_the_message(messages: list[Any]) -> bool:
    return bool(messages)


async def test_a_reply_that_was_stored_is_returned_although_the_database_reported_an_error(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_mirror(tmp_path / "mirror.db", context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        async with failing_after_the_write(mirror, monkeypatch, at_the_reply):
            assert (await conversation.say("hello")).text == "I hear you."
        assert texts(await conversation.messages()) == ["hello", "I hear you."]
        assert await conversation.settle(timeout=100)  # thinking is handed over by the next turn, or here
        assert (await conversation.say("and now?")).turn == 2
    assert "but its reply is stored" in caplog.text


async def test_a_message_whose_turn_failed_after_its_reply_is_answered_once(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_module, "LOOK_SECONDS", 0.2)

    async def away(*given: Any) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    async with open_mirror(tmp_path / "mirror.db", context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        async with failing_after_the_write(mirror, monkeypatch, at_the_reply):
            reading = aiter(conversation.stream("hello"))
            assert await anext(reading) == "I "
            with monkeypatch.context() as patch:
                patch.setattr(mirror._engine.storage.saver, "aget_tuple", away)  # away from now on
                with pytest.raises(StorageError, match="disk I/O error"):
                    await drained(reading)
        stream = conversation.stream("hello")
        assert await drained(stream) == "I hear you."
        assert stream.reply.turn == 1
        assert texts(await conversation.messages()) == ["hello", "I hear you."]
        assert (await conversation.say("hello")).turn == 2  # that is a new message
    assert len(prompts_of(endpoint.calls, "talker")) == 2


async def test_a_message_is_answered_once_however_often_its_turn_fails_after_the_reply(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turn_module, "LOOK_SECONDS", 0)

    async def lose_the_lease(thread: Thread) -> None:
        raise StorageError("lost the lease")

    async with open_mirror(tmp_path / "mirror.db", context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        for _ in range(2):
            with monkeypatch.context() as patch:
                patch.setattr(Thread, "record", lose_the_lease)
                with pytest.raises(StorageError, match="lost the lease"):
                    await conversation.say("hello")
        assert (await conversation.say("hello")).turn == 1
        assert texts(await conversation.messages()) == ["hello", "I hear you."]
    assert len(prompts_of(endpoint.calls, "talker")) == 1


async def test_a_message_that_was_stored_without_a_reply_is_answered_when_sent_again(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_mirror(tmp_path / "mirror.db", context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        async with failing_after_the_write(mirror, monkeypatch, at_the_message):
            with pytest.raises(StorageError, match=f"thread {conversation.thread_id} cannot be written"):
                await conversation.say("hello")
        assert (await conversation.say("hello")).turn == 1
        assert texts(await conversation.messages()) == ["hello", "I hear you."]


# Readers that stop


async def test_a_reader_who_stops_reading_delays_no_other(
    endpoint: Endpoint, replies: Replies, database: str | None
) -> None:
    replies.by_component["talker"] = Answer("One two three four.", pause=0.01)
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        idle = aiter(conversation.stream("count"))
        assert await anext(idle) == "One "
        async with asyncio.timeout(60):
            assert (await conversation.say("and on")).turn == 2
            assert texts(await conversation.messages())[:2] == ["count", "One two three four."]
            await conversation.forget()
        assert await drained(idle) == "two three four."


# Leaving


async def test_leaving_ends_the_turns_under_way(endpoint: Endpoint, replies: Replies, database: str | None) -> None:
    replies.by_component["talker"] = Answer("too late", delay=60)
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        saying = asyncio.create_task(conversation.say("hello"))
        await until(lambda: prompts_of(endpoint.calls, "talker"))
    with pytest.raises(HostClosedError):
        await saying
    with pytest.raises(HostClosedError):
        await conversation.say("hello")


async def test_leaving_while_a_reply_is_written_costs_no_reply(
    endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = asyncio.Event()

    async def hang(messages: list[Any]) -> bool:
        if ends_with_a_reply(messages):
            written.set()
            await asyncio.Event().wait()
        return False

    async with (
        open_mirror(tmp_path / "mirror.db", context=CONTEXT) as mirror,
        failing_after_the_write(mirror, monkeypatch, hang),
    ):
        saying = asyncio.create_task(mirror.conversation("t").say("hello"))
        await written.wait()
    assert (await saying).text == "I hear you."


async def test_leaving_lets_turns_end_while_it_drains(
    endpoint: Endpoint, replies: Replies, database: str | None
) -> None:
    replies.by_component["talker"] = Answer("in time", delay=0.2)
    async with open_mirror(database, context=CONTEXT, drain=60) as mirror:
        saying = asyncio.create_task(mirror.conversation("t").say("hello"))
        await until(lambda: prompts_of(endpoint.calls, "talker"))
    assert (await saying).text == "in time"


async def test_an_open_host_leaves_no_task(endpoint: Endpoint, database: str | None) -> None:
    async with open_mirror(database, context=CONTEXT) as mirror:
        conversation = mirror.conversation("t", user_id="ana")
        await conversation.say("I'm allergic to peanuts.")
        await conversation.settle(timeout=100)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in others if "mirror_graph" in repr(task) or "langgraph" in repr(task)]


def run_program(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", dedent(program)], capture_output=True, text=True, timeout=100)


@pytest.mark.slow
def test_a_database_that_cannot_be_opened_leaves_one_error_and_nothing_else(tmp_path: Path) -> None:
    found = run_program(f"""
        import asyncio
        from mirror_graph import open_mirror
        from mirror_graph.errors import ConfigurationError

        async def main():
            async with open_mirror({str(tmp_path)!r}):
                pass

        try:
            asyncio.run(main())
        except ConfigurationError as error:
            print(error)
    """)
    assert "cannot open the database" in found.stdout
    assert found.stderr == ""


@pytest.mark.slow
async def test_sigterm_in_the_middle_of_a_turn_leaves_neither_lease_nor_noise(
    endpoint: Endpoint, replies: Replies, tmp_path: Path
) -> None:
    replies.by_component["talker"] = Answer("One two", pause=30)
    file = tmp_path / "mirror.db"
    program = dedent(f"""
        import asyncio
        from mirror_graph import MirrorContext, open_mirror

        async def talk(mirror):
            async for piece in mirror.conversation("t").stream("hello"):
                print(piece, flush=True)

        async def main():
            async with open_mirror({str(file)!r}, context=MirrorContext(talker_model="openai:test")) as mirror:
                talking = asyncio.create_task(talk(mirror))
                await asyncio.sleep(60)

        try:
            asyncio.run(main())
        except asyncio.CancelledError:
            print("left", flush=True)
    """)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ}
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"One \n"
    process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(60):
        rest, errors = await process.communicate()
    assert rest.split() == [b"left"]
    for noise in (b"no active connection", b"was destroyed", b"Event loop is closed"):
        assert noise not in errors
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT * FROM mirror_leases").fetchall() == []


# Damaged and missing


Read = Callable[[Conversation], Coroutine[Any, Any, Any]]


@pytest.mark.parametrize(
    ("stored_thread", "reads"),
    [
        (str, [Conversation.messages, lambda conversation: conversation.say("what now?")]),
        (mind_thread, [Conversation.mind, Conversation.settle]),
    ],
    ids=["window", "mind"],
)
async def test_a_flipped_bit_is_an_error_that_names_the_thread(
    endpoint: Endpoint, tmp_path: Path, stored_thread: Callable[[str], str], reads: list[Read]
) -> None:
    file = tmp_path / "mirror.db"
    async with open_mirror(file, context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
        await conversation.say("I'm allergic to peanuts.")
        await conversation.settle(timeout=60)
        with closing(sqlite3.connect(file)) as database:
            where = f"thread_id = '{stored_thread(conversation.thread_id)}'"
            (written,) = database.execute(f"SELECT checkpoint FROM checkpoints WHERE {where}").fetchone()
            damaged = bytearray(written)
            damaged[len(damaged) // 2] ^= 1
            database.execute(f"UPDATE checkpoints SET checkpoint = ? WHERE {where}", [bytes(damaged)])
            database.commit()
        for read in reads:
            with pytest.raises(StorageError, match=f"thread {conversation.thread_id} cannot be read.*damaged") as error:
                await read(conversation)
            assert error.value.__cause__ is not None


Use = Callable[[Mirror, Conversation], Coroutine[Any, Any, Any]]


@pytest.mark.parametrize(
    "use",
    [
        lambda mirror, conversation: conversation.say("hello"),
        lambda mirror, conversation: conversation.settle(),
        lambda mirror, conversation: conversation.mind(),
        lambda mirror, conversation: conversation.history(),
        lambda mirror, conversation: conversation.messages(),
        lambda mirror, conversation: conversation.forget(),
        lambda mirror, conversation: mirror.prune(),
        lambda mirror, conversation: mirror.user("ana").constraints(),
        lambda mirror, conversation: mirror.user("ana").add("peanuts"),
        lambda mirror, conversation: mirror.user("ana").forget(),
        lambda mirror, conversation: mirror.user("ana").evicted(),
    ],
)
async def test_every_error_of_the_database_is_a_storage_error(endpoint: Endpoint, tmp_path: Path, use: Use) -> None:
    file = tmp_path / "mirror.db"
    async with open_mirror(file, context=CONTEXT) as mirror:
        with closing(sqlite3.connect(file)) as database:
            tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
            for (table,) in database.execute(tables).fetchall():
                database.execute(f"DROP TABLE {table}")
            database.commit()
        with pytest.raises(StorageError) as error:
            await use(mirror, mirror.conversation("t", user_id="ana"))
        assert error.value.__cause__ is not None


async def test_after_it_was_left_a_host_says_so(endpoint: Endpoint, tmp_path: Path) -> None:
    async with open_mirror(tmp_path / "mirror.db", context=CONTEXT) as mirror:
        conversation = mirror.conversation("t")
    for use in (conversation.mind, conversation.messages, conversation.settle):
        with pytest.raises(StorageError):
            await use()


async def test_no_database_is_made_for_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        async with open_mirror(tmp_path):
            pass


def test_a_reply_belongs_to_the_message_it_stands_behind() -> None:
    first, second = HumanMessage("a", id="1"), HumanMessage("a", id="2")
    ours = AIMessage("x", id="3", response_metadata={"mirror": {"turn": 1}})
    reply_to = turn_module._reply_to
    assert reply_to(first, [first, ours, second]) is ours
    assert reply_to(second, [first, ours, second]) is None
    assert reply_to(second, [first, ours]) is None
    assert reply_to(first, [first, AIMessage("of another agent", id="4")]) is None
