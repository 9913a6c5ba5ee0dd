"""The files in `deploy/` on Aegra, an open server with LangGraph's protocol."""

import asyncio
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from mirror_graph.cli.remote import forget_on_server
from mirror_graph.encryption import new_key
from mirror_graph.scheduling import mind_thread
from mirror_graph.testing.endpoint import Answer, Call, Endpoint
from tests.aegra import AegraProcess, aegra, installed_python, redis
from tests.raw_scan import words_found
from tests.replies import Replies, component_of
from tests.server import until
from tests.test_deploy import (
    HOSTILE,
    PLANTED,
    RUN,
    STRANGERS,
    VERBS,
    Deployed,
    name_ids,
    token,
    until_headers,
)
from tests.test_erasure import Words, postgres_files

pytestmark = [pytest.mark.enable_socket, pytest.mark.slow, pytest.mark.aegra]

AEGRA_VERBS: list[tuple[str, str, Any]] = [
    *VERBS,
    ("GET", "/threads", None),
    ("PATCH", "/threads/{thread}/runs/{run}", {"status": "interrupted"}),
    ("POST", "/threads/{thread}/stream/events", {"channels": ["values"]}),
    ("POST", "/threads/{thread}/commands", {"id": 1, "method": "input.respond", "params": {"response": "forged"}}),
    ("POST", "/runs", {**RUN, "context": {"talker_model": "openai:foreign"}}),
    ("POST", "/runs/stream", {**RUN, "context": {"talker_model": "openai:foreign"}}),
    ("POST", "/assistants/{assistant}/versions", {"limit": 1}),
]
"""What a stranger tries: the verbs of LangGraph's server, and those that only Aegra has."""

ABSENT = {
    "GET /threads/{}/stream",
    "POST /runs/batch",
    "POST /threads/count",
    "POST /threads/{}/copy",
    "GET /metrics-of-mine",
}
"""The verbs of the table that Aegra 0.11.0 does not have, by method and path."""

ALLERGIES = ("peanuts", "shellfish", "sesame", "soy", "celery", "mustard", "lupin", "eggs", "milk", "wheat")

COMMANDS = [
    {"id": 1, "method": "run.start", "params": {**RUN, "context": {"talker_model": "openai:gpt-99-expensive"}}},
    {"id": 1, "method": "input.respond", "params": {"response": 1, "update": {"narrative": {"turn": 9, "text": "f"}}}},
]


@pytest.fixture(scope="session")
def python() -> str:
    try:
        return installed_python()
    except subprocess.CalledProcessError:
        if os.environ.get("CI"):
            raise
        pytest.skip("Aegra could not be installed: it comes from PyPI")


@pytest.fixture(scope="module")
def tables(postgres_server: str) -> str:
    """The URL of the database of `server`."""
    return database(postgres_server)


@pytest.fixture(scope="module")
def running(python: str, tables: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("aegra")
    with Endpoint() as endpoint, aegra(python, tables, folder, env(endpoint)) as process:
        yield Deployed(process.url, endpoint)


@pytest.fixture
def server(running: Deployed) -> Deployed:
    running.endpoint.answer = Replies()
    return Deployed(running.url, running.endpoint)


def database(postgres_server: str) -> str:
    """Make a database and return its URL."""
    name = f"aegra_{uuid4().hex}"
    with psycopg.connect(postgres_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return postgres_server.replace("/postgres?", f"/{name}?")


def env(endpoint: Endpoint, instructions: str = "", **more: str) -> dict[str, str]:
    # Long enough that two turns sent at once share a pass, which then waits and is replaced.
    context = {"talker_model": "openai:test", "think_after": 0.3, "instructions": instructions}
    return {"OPENAI_BASE_URL": endpoint.url, "MIRROR_CONTEXT": json.dumps(context), **more}


async def test_on_aegra_no_verb_reads_or_writes_what_is_another_users(server: Deployed, tables: str) -> None:
    thread_id = await _thread(server, str(uuid4()))
    await server.say(thread_id, f"I am allergic to {PLANTED} peanuts.", if_not_exists=None)
    await server.thought(thread_id, "What shall we cook?", 1)
    await _idle(server, thread_id)
    await name_ids(server, thread_id)
    before = await _everything(server, thread_id)
    assert PLANTED in json.dumps(before)
    absent = await _absent(server)
    assert absent == ABSENT

    wrong: list[str] = []
    for stranger, headers in STRANGERS.items():
        for method, path, body in AEGRA_VERBS:
            status, text = await until_headers(server, method, path, body, headers)
            has_leaked = PLANTED in text or server.names["checkpoint"] in text.replace(path, "")
            is_there = _pattern(method, path) not in absent
            is_open = is_there and stranger != "another user" and status not in (401, 403)
            if has_leaked or is_open:
                wrong.append(f"{stranger}: {method} {path}: {status} {text[:200]}")
    assert len([verb for verb in AEGRA_VERBS if _pattern(*verb[:2]) not in absent]) >= 60
    assert wrong == []
    assert await _everything(server, thread_id) == before
    with psycopg.connect(tables) as connection:
        assert connection.execute("SELECT key FROM store WHERE value::text LIKE '%forged%'").fetchall() == []


async def test_on_aegra_a_client_chooses_only_what_is_offered(server: Deployed) -> None:
    thread_id = await _thread(server, str(uuid4()))
    asked = len(server.endpoint.calls)
    for context, named in HOSTILE.values():
        for chosen in ({"context": context}, {"config": {"configurable": context}}):
            answer = await server.ask("POST", f"/threads/{thread_id}/runs/wait", {**RUN, **chosen})
            assert answer.status_code == 422, answer.text[:300]
            assert named in answer.text
    for command in COMMANDS:
        answer = await server.ask("POST", f"/threads/{thread_id}/commands", command)
        assert answer.status_code == 403, answer.text[:300]
    assert len(server.endpoint.calls) == asked
    assert (await server.ask("GET", f"/threads/{thread_id}/runs")).json() == []


async def test_on_aegra_the_id_of_a_deleted_thread_holds_nothing_for_whoever_makes_it_again(server: Deployed) -> None:
    thread_id = await _thread(server, str(uuid4()))
    await server.say(thread_id, f"I am allergic to {PLANTED} peanuts.", if_not_exists=None)
    await server.thought(thread_id, "What shall we cook?", 1)
    await server.ask("DELETE", f"/threads/{thread_id}")
    await _thread(server, thread_id, "carla")
    values = await server.say(thread_id, "Carla asks: what shall we cook?", "carla", if_not_exists=None)
    assert PLANTED not in json.dumps(values)
    of_carla = [call for call in server.endpoint.calls if "Carla asks" in json.dumps(call.messages)]
    assert of_carla
    assert not any(PLANTED in json.dumps(call.messages) for call in of_carla)
    assert mind_thread(thread_id, "ana") != mind_thread(thread_id, "carla")


async def test_on_aegra_no_reply_waits_for_a_thought(server: Deployed) -> None:
    replies: Any = Replies()
    for thinker_name in ("goals", "reasoning", "memory"):
        replies.by_component[thinker_name] = Answer("A thought.", delay=30)
    server.endpoint.answer = replies
    thread_id = await _thread(server, str(uuid4()))
    began = time.monotonic()
    await server.say(thread_id, "I am allergic to peanuts.", if_not_exists=None)
    await server.say(thread_id, "What shall we cook?", if_not_exists=None)
    assert time.monotonic() - began < 30


async def test_on_aegra_two_runs_at_once_follow_each_other_and_both_dangers_are_known(server: Deployed) -> None:
    server.endpoint.answer = partial(_slowly, Replies())
    for _ in range(4):
        await asyncio.gather(*(_two_at_once(server, server) for _ in range(5)))


async def _two_at_once(first: Deployed, second: Deployed) -> None:
    """Send two messages at the same moment, and see one turn after the other and both messages in the next prompt."""
    user = mark = uuid4().hex  # a user of its own: what another conversation states is in every prompt of a user
    thread_id = await _thread(first, str(uuid4()), user)
    words = [f"{mark}: I am allergic to {food}." for food in ("peanuts", "shellfish")]
    await asyncio.gather(*(each.say(thread_id, text, user) for each, text in zip((first, second), words, strict=True)))
    values = await second.thought(thread_id, f"{mark}: What shall we cook?", 2, user)

    said = [message["content"] for message in values["messages"] if message["type"] == "human"]
    assert sorted(said[:2]) == words
    assert [message["type"] for message in values["messages"][:4]] == ["human", "ai", "human", "ai"]
    calls = [call for call in _talkers(first.endpoint) if mark in json.dumps(call.messages)]
    one, other, following = calls[:3]
    assert other.started - one.started >= SLOW
    assert said[0] in json.dumps(other.messages)  # the later run began with the turn of the earlier one
    assert said[1] not in json.dumps(one.messages)
    assert all(text in json.dumps(following.messages) for text in words)
    about = " ".join(constraint["about"] for constraint in values["constraints"])
    assert "peanuts" in about
    assert "shellfish" in about


SLOW = 0.1
"""How long a reply takes, so that two runs at once would be seen."""


def _slowly(replies: Replies, call: Call, seconds: float = SLOW) -> Answer | str:
    return Answer("I hear you.", delay=seconds) if component_of(call) == "talker" else replies(call)


def _talkers(endpoint: Endpoint) -> list[Call]:
    return [call for call in endpoint.calls if component_of(call) == "talker"]


async def test_two_processes_of_aegra_lose_and_double_nothing_as_one_is_killed(
    python: str, postgres_server: str, tmp_path: Path
) -> None:
    with Endpoint() as endpoint, two_processes(python, database(postgres_server), tmp_path, endpoint) as processes:
        servers = [Deployed(process.url, endpoint) for process in processes]
        endpoint.answer = partial(_slowly, Replies())
        await _two_at_once(*servers)
        await _kill_one(servers, processes[0])


async def _kill_one(servers: list[Deployed], victim: AegraProcess) -> None:
    living = servers[1]
    endpoint = living.endpoint
    threads = [await _thread(living, str(uuid4())) for _ in range(20)]
    dangers = [f"I am allergic to {ALLERGIES[number % 10]} number{number}." for number in range(20)]
    await asyncio.gather(
        *(_begin(servers[number % 2], thread, dangers[number]) for number, thread in enumerate(threads))
    )
    await asyncio.gather(*(_idle(living, thread) for thread in threads))

    endpoint.answer = partial(_slowly, Replies(), seconds=2.0)
    asked = len(_talkers(endpoint))
    await asyncio.gather(
        *(_begin(servers[number % 2], thread, f"Hello {number}.") for number, thread in enumerate(threads))
    )
    await until(lambda: len(_talkers(endpoint)) >= asked + 10)
    victim.process.kill()
    endpoint.answer = Replies()
    await asyncio.gather(*(_idle(living, thread) for thread in threads))

    questions = [f"What shall we cook, number{number}?" for number in range(20)]
    states = await asyncio.gather(*map(living.say, threads, questions))
    for number, (values, question) in enumerate(zip(states, questions, strict=True)):
        said = [message["content"] for message in values["messages"] if message["type"] == "human"]
        assert said == [dangers[number], f"Hello {number}.", question]
        assert [message["type"] for message in values["messages"]] == ["human", "ai"] * 3
        asked_now = [call for call in _talkers(endpoint) if question in json.dumps(call.messages)]
        prompt = json.dumps(asked_now[-1].messages).replace(dangers[number], "")
        assert ALLERGIES[number % 10] in prompt  # the ledger names it, besides the message itself


@contextmanager
def two_processes(python: str, url: str, folder: Path, endpoint: Endpoint) -> Iterator[list[AegraProcess]]:
    """Run two processes that share their runs. A run of a killed one is taken over after some seconds."""
    with redis(python, folder) as broker:
        shared = env(
            endpoint,
            REDIS_BROKER_ENABLED="true",
            REDIS_URL=broker,
            # A lease that a busy machine does not lose: Aegra renews it in its event loop.
            LEASE_DURATION_SECONDS="15",
            HEARTBEAT_INTERVAL_SECONDS="4",
            REAPER_INTERVAL_SECONDS="2",
        )
        with aegra(python, url, folder, shared) as one, aegra(python, url, folder, shared) as other:
            yield [one, other]


async def _begin(server: Deployed, thread_id: str, words: str) -> None:
    run = {**RUN, "input": {"messages": [{"role": "user", "content": words}]}}
    answer = await server.ask("POST", f"/threads/{thread_id}/runs", run)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("key", ["", new_key()], ids=["in clear", "with a key"])
async def test_what_is_forgotten_on_aegra_is_in_none_of_its_tables(
    python: str, postgres_server: str, tmp_path: Path, key: str
) -> None:
    words, replies, url = Words(), Replies(), database(postgres_server)
    words.plant(replies)
    with (
        Endpoint(replies) as endpoint,
        aegra(python, url, tmp_path, env(endpoint, f"Speak of {words.context}.", MIRROR_AES_KEY=key)) as process,
    ):
        server = Deployed(process.url, endpoint)
        thread_id = await _talk(server, words)
        in_clear = _words_in_tables(url, words)
        stored = in_clear.pop("store", set())
        if key:
            assert stored == set()
        else:
            assert {words.fact, words.narrative, words.goals} <= stored
        # What the engine stores itself is in clear with a key, too: docs/operations.md lists it.
        assert {words.message, words.context, words.user} <= in_clear["runs"]
        assert {words.thread, words.user} <= in_clear["thread"]

        forget = partial(forget_on_server, process.url, thread_id, token=token(words.user), user=None)
        await asyncio.to_thread(forget)
        request = {"assistant_id": "forget", "input": {"user": True}}
        assert (await server.ask("POST", "/runs/wait", request, words.user)).status_code == 200
        assert _words_in_tables(url, words) == {}
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (FULL)")
    assert words_found(words.all, postgres_files(url)[0]) == set()


async def _talk(server: Deployed, words: Words) -> str:
    thread = {"thread_id": str(uuid4()), "metadata": {"title": words.thread}}
    assert (await server.ask("POST", "/threads", thread, words.user)).status_code == 200
    thread_id = thread["thread_id"]
    more = {"metadata": {"ward": words.metadata}}
    await server.say(str(thread_id), f"I'm severely allergic to {words.fact}.", words.user, **more)
    await server.say(str(thread_id), f"Now {words.message}.", words.user, **more)
    await server.thought(str(thread_id), f"Now {words.message}.", 1, words.user)
    return str(thread_id)


def _words_in_tables(url: str, words: Words) -> dict[str, set[str]]:
    """Return the words that stand in the rows of each table, as far as a reader of the database sees them."""
    found: dict[str, set[str]] = {}
    with psycopg.connect(url, autocommit=True) as connection:
        tables = [name for (name,) in connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
        for table in tables:
            rows = connection.execute(sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(table)))
            text = " ".join(str(row[0]) for row in rows)
            # Binary columns are printed in hexadecimal.
            here = {word for word in words.all if word in text or word.encode().hex() in text}
            if here:
                found[table] = here
    return found


def _pattern(method: str, path: str) -> str:
    """Return a verb as Aegra's own list has it, with `{}` for every id."""
    parts = path.partition("?")[0].split("/")
    return f"{method} " + "/".join("{}" if part.startswith("{") else part for part in parts)


async def _absent(server: Deployed) -> set[str]:
    """Return the verbs of the table that are not among those that Aegra says it has."""
    served = (await server.ask("GET", "/openapi.json")).json()["paths"]
    there = {_pattern(method.upper(), path) for path, methods in served.items() for method in methods}
    return {_pattern(method, path) for method, path, _ in AEGRA_VERBS} - there


async def _everything(server: Deployed, thread_id: str) -> Any:
    """Return all that ana can see of a conversation."""
    paths = [f"/threads/{thread_id}{path}" for path in ("", "/state", "/history", "/runs")]
    return [(await server.ask("GET", path)).json() for path in paths]


async def _idle(server: Deployed, thread_id: str) -> None:
    deadline = time.monotonic() + 100
    while {"pending", "running"} & {
        run["status"] for run in (await server.ask("GET", f"/threads/{thread_id}/runs")).json()
    }:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.4)


async def _thread(server: Deployed, thread_id: str, user: str = "ana") -> str:
    answer = await server.ask("POST", "/threads", {"thread_id": thread_id}, user)
    assert answer.status_code == 200, answer.text
    return thread_id
