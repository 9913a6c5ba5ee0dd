"""`mirror serve`: it listens, keeps foreign pages out, and stops."""

import asyncio
import math
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import httpx
import jwt
import pytest
from fastapi import FastAPI
from langsmith import run_trees

from mirror_graph import ConfigurationError, MirrorContext, open_mirror
from mirror_graph.encryption import new_key
from mirror_graph.host.heads import HEADS
from mirror_graph.ledger.user_constraints import namespace
from mirror_graph.scheduling.traces import WordlessClient, hide_words_in_traces
from mirror_graph.serve import body, page
from mirror_graph.serve.app import create_app
from mirror_graph.serve.live import LiveConversations
from mirror_graph.serve.settings import ServeSettings
from mirror_graph.serve.tokens import LEEWAY, TokenSettings, TokenVerifier
from mirror_graph.testing.endpoint import Endpoint
from tests.raw_scan import files_under, words_found
from tests.serving import client_of

COMMAND = [sys.executable, "-c", "from mirror_graph.cli import main; main()", "serve", "--port", "0"]
LOCAL = ServeSettings(local_user="me")


@pytest.fixture
async def app() -> AsyncIterator[FastAPI]:
    async with open_mirror(context=MirrorContext(talker_model="scripted:demo"), transcripts=True) as mirror:
        yield create_app(mirror, settings=LOCAL)


@pytest.mark.parametrize("host", ["127.0.0.1:8765", "localhost:8765", "LOCALHOST", "[::1]:8765"])
async def test_a_server_without_sign_in_answers_by_every_name_of_this_machine(app: FastAPI, host: str) -> None:
    async with client_of(app, host=host) as client:
        assert (await client.get("/health")).json() == {"status": "ok"}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example", "[", "", "user@evil"])
async def test_a_server_without_sign_in_refuses_a_name_that_was_rebound_to_it(app: FastAPI, host: str) -> None:
    async with client_of(app, host=host) as client:
        assert (await client.get("/health")).status_code == 403


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "http://127.0.0.1:3000", "null", "https://evil.example:8765"]
)
async def test_a_server_without_sign_in_refuses_what_another_page_sends(app: FastAPI, origin: str) -> None:
    async with client_of(app, origin=origin) as client:
        assert (await client.get("/health")).status_code == 403


async def test_a_server_without_sign_in_answers_its_own_page(app: FastAPI) -> None:
    async with client_of(app, origin="http://127.0.0.1:8765") as client:
        assert (await client.get("/health")).status_code == 200


async def test_the_database_holds_no_name_of_a_user_or_of_a_chat_in_clear(tmp_path: Path) -> None:
    settings = ServeSettings(keys={"a-key-of-ana-0123456789": "quagga@example.org"})
    headers = {"authorization": "Bearer a-key-of-ana-0123456789"}
    context = MirrorContext(talker_model="scripted:demo", think_after=0)
    async with (
        open_mirror(tmp_path / "mirror.db", context=context, transcripts=True, key=new_key()) as mirror,
        client_of(create_app(mirror, settings=settings), **headers) as client,
    ):
        for beginning in ("Hello.", "Good evening."):  # the second one is another chat under the same id
            said = [{"role": "user", "content": beginning}, {"role": "assistant", "content": "Hi."}]
            messages = [*said, {"role": "user", "content": "What shall we cook?"}]
            body = {"model": "mirror", "messages": messages}
            for chat in ({"X-Conversation-Id": "zebra talk"}, {}):
                answer = await client.post("/v1/chat/completions", json=body, headers=chat)
                assert answer.status_code == 200
        assert len(await mirror.conversations("quagga@example.org")) == 4
        assert words_found(["quagga", "zebra"], files_under(tmp_path)) == set()


async def test_what_a_database_says_of_itself_stays_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    context = MirrorContext(talker_model="scripted:demo")
    async with open_mirror(tmp_path / "mirror.db", context=context, transcripts=True) as mirror:
        async with client_of(create_app(mirror, settings=LOCAL)) as client:
            with closing(sqlite3.connect(tmp_path / "mirror.db")) as connection:
                connection.execute("ALTER TABLE checkpoints RENAME TO quagga")
                connection.execute("ALTER TABLE store RENAME TO zebra")
            body = {"model": "mirror", "messages": [{"role": "user", "content": "Hi"}]}
            answers = [
                await client.get("/page/conversations"),
                await client.post("/v1/chat/completions", json=body, headers={"X-Thread-Id": "chat"}),
                await client.post("/v1/chat/completions", json=body),
            ]
        turn = LiveConversations(mirror).conversation_of("me", "dinner")
        turn.start("an-id-0123", "Hi", lambda: turn.conversation.stream("Hi"))
        while turn.is_busy:
            await turn.next_change().wait()
        assert turn.turn is not None
        shown = [turn.turn.error, *(answer.json()["error"]["message"] for answer in answers)]
    assert [answer.status_code for answer in answers] == [503] * 3
    assert [text for text in shown if "no such table" in text or not text] == []
    assert caplog.text.count("no such table") >= len(shown)


@pytest.mark.parametrize("path", ["/page/messages", "/page/forget"])
async def test_the_page_refuses_a_name_that_no_database_stores(app: FastAPI, path: str) -> None:
    async with client_of(app) as client:
        body = {"conversation": "din\x00ner", "id": "0123456789", "text": "Hi"}
        assert (await client.post(path, json=body)).status_code == 422
        assert (await client.get("/page/history", params={"conversation": "din\x00ner"})).status_code == 422


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/page/messages", "/v1/me/constraints"])
@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_that_is_too_large_is_not_read_on_whoever_sends_it(
    path: str, declared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "BODY_LIMIT", 1_000_000)
    read = 0

    async def large() -> AsyncIterator[bytes]:
        nonlocal read
        while read < 3_000_000:
            read += 1_000
            yield b" " * 1_000

    headers = {"content-type": "application/json", **({"content-length": "3000000"} if declared else {})}
    settings = ServeSettings(keys={"a-key-of-ana-0123456789": "ana"})
    async with open_mirror() as mirror, client_of(create_app(mirror, settings=settings)) as client:
        answer = await client.post(path, content=large(), headers=headers)
    assert answer.status_code == 413
    assert "larger than" in answer.json()["error"]["message"]
    assert read <= (0 if declared else 1_001_000)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "chat.example"])
def test_a_server_that_others_reach_needs_a_sign_in(host: str) -> None:
    with pytest.raises(ConfigurationError, match="sign-in"):
        ServeSettings(host=host, local_user="me")


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    environment = {**os.environ, "MIRROR_DATABASE": str(tmp_path / "mirror.db"), "COLUMNS": "200"}
    command = [*COMMAND, "--model", "scripted:demo"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        yield process, found.group()
        process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_cleanly(served: tuple["subprocess.Popen[str]", str], number: int) -> None:
    process, url = served
    assert httpx.get(f"{url}/health").status_code == 200
    process.send_signal(number)
    assert process.wait(60) == 0


@pytest.mark.slow
def test_a_port_that_is_taken_is_one_line_of_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [*COMMAND[:-1], str(taken.getsockname()[1]), "--model", "scripted:demo", "--database", "mirror.db"]
        finished = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 1
    assert "cannot listen on 127.0.0.1" in finished.stderr
    assert not (tmp_path / "mirror.db").exists()


ANA, BOB = ({"authorization": f"Bearer a-key-of-{user}-0123456789"} for user in ("ana", "bob"))
TWO_USERS = {"a-key-of-ana-0123456789": "ana", "a-key-of-bob-0123456789": "bob"}
HELLO = {"model": "mirror", "messages": [{"role": "user", "content": "Hello."}]}


async def test_a_user_who_is_too_fast_is_refused_on_every_route_and_no_other_is_slowed_down() -> None:
    settings = ServeSettings(keys=TWO_USERS, turns_per_minute=2)
    context = MirrorContext(talker_model="scripted:demo", thinking="off")
    async with (
        open_mirror(context=context, transcripts=True) as mirror,
        client_of(create_app(mirror, settings=settings)) as client,
    ):
        for _ in range(2):
            assert (await client.post("/v1/chat/completions", json=HELLO, headers=ANA)).status_code == 200
        message = {"conversation": "dinner", "id": "0123456789", "text": "Hi"}
        for path, body in (("/v1/chat/completions", HELLO), ("/page/messages", message), ("/page/retake", message)):
            refused = await client.post(path, json=body, headers=ANA)
            assert refused.status_code == 429
            assert refused.headers["retry-after"] == "60"
            assert "turns in a minute" in refused.json()["error"]["message"]
        assert (await client.post("/v1/chat/completions", json=HELLO, headers=BOB)).status_code == 200


async def test_whoever_has_spent_the_tokens_of_the_day_is_refused(
    monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint
) -> None:
    monkeypatch.setenv("MIRROR_USER_TOKENS_PER_DAY", "1")
    context = MirrorContext(talker_model="openai:test", thinking="off")
    async with (
        open_mirror(context=context, transcripts=True) as mirror,
        client_of(create_app(mirror, settings=ServeSettings(keys=TWO_USERS))) as client,
    ):
        answers = [await client.post("/v1/chat/completions", json=HELLO, headers=user) for user in (ANA, ANA, BOB)]
    assert [answer.status_code for answer in answers] == [200, 429, 200]
    assert "tokens of today" in answers[1].json()["error"]["message"]


async def test_a_stream_of_events_ends_with_the_token_that_opened_it(app: FastAPI) -> None:
    shown = app.state.live.conversation_of("me", "dinner")
    with shown.watched():
        stopping = asyncio.Event()
        assert [event async for event in page._news(shown, stopping, time.time() - 1)] == []
        open_for_ever = page._news(shown, stopping, math.inf)
        assert (await anext(open_for_ever))[0] == "state"
        await open_for_ever.aclose()
        until_soon = page._news(shown, stopping, time.time() + 1)
        assert [event async for event in until_soon]  # it ends by itself


async def test_a_token_says_until_when_a_stream_may_stay_open() -> None:
    end = time.time() + 100
    token = jwt.encode({"sub": "ana", "aud": "mirror", "exp": end}, "s" * 40, algorithm="HS256")
    verified = await TokenVerifier(TokenSettings("mirror", secret="s" * 40)).verify(token)
    assert verified == ("ana", int(end) + LEEWAY) or verified == ("ana", end + LEEWAY)


async def test_a_conversation_that_is_forgotten_is_found_by_no_transcript() -> None:
    context = MirrorContext(talker_model="scripted:demo", thinking="off")
    async with (
        open_mirror(context=context, transcripts=True) as mirror,
        client_of(create_app(mirror, settings=ServeSettings(keys=TWO_USERS))) as client,
    ):
        answer = await client.post("/v1/chat/completions", json=HELLO, headers=ANA)
        place = namespace("ana", HEADS)
        assert len(await mirror.store.asearch(place)) == 1
        await mirror.conversation(answer.headers["x-thread-id"], user_id="ana").forget()
        assert await mirror.store.asearch(place) == []


async def test_the_files_of_a_database_are_readable_by_their_owner_alone(tmp_path: Path) -> None:
    file, context = tmp_path / "mirror.db", MirrorContext(talker_model="scripted:demo", thinking="off")
    async with open_mirror(file, context=context) as mirror:
        await mirror.conversation("dinner").say("Hello.")
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files_under(tmp_path)}
    assert modes == dict.fromkeys(("mirror.db", "mirror.db-wal", "mirror.db-shm"), 0o600)


def test_a_process_that_traces_nothing_makes_no_client_that_asks_langsmith(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_trees, "_CLIENT", None)
    hide_words_in_traces()
    client = run_trees._CLIENT
    assert isinstance(client, WordlessClient)
    assert client.tracing_queue is None  # the thread that reads it begins with a request
