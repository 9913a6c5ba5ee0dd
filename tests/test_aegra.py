"""The files in `deploy/` on Aegra, an open server with LangGraph's protocol that needs Python 3.12.

`MIRROR_AEGRA_PYTHON` names a Python that has `aegra-api==0.11.0` and this package's requirements. Without it, the tests
are skipped: docs/testing.md says how to make one.
"""

import asyncio
import json
import os
import re
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from mirror_graph.scheduling import mind_thread
from mirror_graph.testing.endpoint import Answer, Endpoint
from tests.replies import Replies
from tests.test_deploy import AUDIENCE, DEPLOY, HOSTILE, PLANTED, RUN, SECRET, STRANGERS, Deployed

PYTHON = os.environ.get("MIRROR_AEGRA_PYTHON")

pytestmark = [
    pytest.mark.enable_socket,
    pytest.mark.slow,
    pytest.mark.skipif(not PYTHON, reason="MIRROR_AEGRA_PYTHON names no Python with Aegra"),
]


@contextmanager
def aegra(endpoint: Endpoint, database: str, folder: Path) -> Iterator[str]:
    """Run Aegra with `deploy/aegra.json` and yield its URL."""
    (folder / "keys.toml").write_text('bob = "bobs-key-0123456789-0123456789"\n')
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    env = {
        **os.environ,
        "PYTHONPATH": str(DEPLOY.parent),
        "AEGRA_CONFIG": str(DEPLOY / "aegra.json"),
        "DATABASE_URL": re.sub(r"[?&]options=[^&]*", "", database),  # its driver takes none
        "OPENAI_BASE_URL": endpoint.url,
        "OPENAI_API_KEY": "none",
        "MIRROR_JWT_SECRET": SECRET,
        "MIRROR_JWT_AUDIENCE": AUDIENCE,
        "MIRROR_API_KEYS": str(folder / "keys.toml"),
        "MIRROR_CONTEXT": json.dumps({"talker_model": "openai:test", "think_after": 0}),
        "MIRROR_USER_TURNS_PER_MINUTE": "1000",
    }
    command = [str(PYTHON), "-m", "uvicorn", "aegra_api.main:app", "--host", "127.0.0.1", "--port", str(port)]
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=subprocess.STDOUT)
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 100
        try:
            while not _is_up(url):
                late = server.poll() is not None or time.monotonic() > deadline
                assert not late, (folder / "log").read_text()[-3_000:]
                time.sleep(0.2)
            yield url
        finally:
            server.terminate()
            server.wait(30)


def _is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def server(postgres: str, tmp_path: Path) -> Iterator[Deployed]:
    with Endpoint() as endpoint:
        endpoint.answer = Replies()
        with aegra(endpoint, postgres, tmp_path) as url:
            yield Deployed(url, endpoint)


async def test_on_aegra_users_are_kept_apart_and_a_client_chooses_only_what_is_offered(server: Deployed) -> None:
    bob = STRANGERS["another user"]
    thread_id = await _thread(server, str(uuid4()))
    await server.say(thread_id, f"I am allergic to {PLANTED} peanuts.", if_not_exists=None)
    values = await server.thought(thread_id, "What shall we cook?", 1)
    assert any("peanuts" in constraint["about"] for constraint in values["constraints"])

    for method, path, body in (
        ("GET", f"/threads/{thread_id}", None),
        ("GET", f"/threads/{thread_id}/state", None),
        ("GET", f"/threads/{thread_id}/history", None),
        ("POST", f"/threads/{thread_id}/state", {"values": {"narrative": {"turn": 9, "text": "forged"}}}),
        ("POST", f"/threads/{thread_id}/runs/wait", RUN),
        ("POST", "/threads/search", {}),
        ("POST", "/store/items/search", {"namespace_prefix": ["mirror"]}),
        ("DELETE", f"/threads/{thread_id}", None),
    ):
        for headers in (bob, *(STRANGERS[name] for name in ("no token", "a forged token", "no algorithm"))):
            answer = await server.ask(method, path, body, headers)
            assert PLANTED not in answer.text
            assert headers == bob or answer.status_code in (401, 403), (method, path, answer.status_code)

    for context, named in HOSTILE.values():
        for chosen in ({"context": context}, {"config": {"configurable": context}}):
            answer = await server.ask("POST", f"/threads/{thread_id}/runs/wait", {**RUN, **chosen})
            assert answer.status_code == 422, answer.text[:300]
            assert named in answer.text

    # The id of a deleted thread, made again by somebody else, holds nothing of its mind.
    await server.ask("DELETE", f"/threads/{thread_id}")
    asked = len(server.endpoint.calls)
    await _thread(server, thread_id, "carla")
    again = await server.say(thread_id, "What shall we cook?", "carla", if_not_exists=None)
    assert PLANTED not in json.dumps(again)
    assert not any(PLANTED in json.dumps(call.messages) for call in server.endpoint.calls[asked:])
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


async def test_on_aegra_a_second_run_on_a_thread_is_refused_and_neither_turn_is_lost(server: Deployed) -> None:
    let_go = threading.Event()
    replies = Replies()
    replies.by_component["talker"] = [Answer("I hear you.", hold=let_go), "I hear you."]
    server.endpoint.answer = replies
    thread_id = await _thread(server, str(uuid4()))
    run = {**RUN, "input": {"messages": [{"role": "user", "content": "I am allergic to peanuts."}]}}

    both = [asyncio.create_task(server.ask("POST", f"/threads/{thread_id}/runs", run)) for _ in range(2)]
    answers = [await each for each in both]
    later = await server.ask("POST", f"/threads/{thread_id}/runs/wait", RUN)
    let_go.set()
    await _idle(server, thread_id)
    values = await server.say(thread_id, "What shall we cook?", if_not_exists=None)

    assert sorted(answer.status_code for answer in answers) == [200, 409]
    assert later.status_code == 409
    assert "under way" in later.text
    said = [message["content"] for message in values["messages"] if message["type"] == "human"]
    assert said == ["I am allergic to peanuts.", "What shall we cook?"]
    assert any(
        "peanuts" in constraint["about"] for constraint in (await server.thought(thread_id, "And?", 1))["constraints"]
    )


async def _idle(server: Deployed, thread_id: str) -> None:
    deadline = time.monotonic() + 60
    while {"pending", "running"} & {
        run["status"] for run in (await server.ask("GET", f"/threads/{thread_id}/runs")).json()
    }:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


async def _thread(server: Deployed, thread_id: str, user: str = "ana") -> str:
    answer = await server.ask("POST", "/threads", {"thread_id": thread_id}, user)
    assert answer.status_code == 200, answer.text
    return thread_id
