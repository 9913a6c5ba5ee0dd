"""A LangGraph server of this repository, started as its users start it, and conversations with it."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast
from uuid import uuid4

import httpx
from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from mirror_graph.benchmarks.endpoint import Answer, Call, Endpoint
from mirror_graph.lanes import mind_thread
from tests.voices import Voices

ROOT = Path(__file__).parent.parent
START_SECONDS = 60.0
SETTLE_SECONDS = 30.0

Graph = Literal["mirror", "talker", "thinker"]


@contextmanager
def langgraph_dev(folder: Path, env: Mapping[str, str], **config: Any) -> Iterator[str]:
    """Run `langgraph dev` with this repository's langgraph.json and yield its URL.

    It runs in `folder`, out of reach of the developer's own `.env` and of the threads their server keeps.
    """
    shipped = json.loads((ROOT / "langgraph.json").read_text())
    graphs = {name: str(ROOT / path) for name, path in shipped["graphs"].items()}
    (folder / "langgraph.json").write_text(json.dumps({**shipped, "graphs": graphs, **config}))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("langgraph")), "dev", "--no-reload", "--no-browser"]
    offline = {"LANGGRAPH_NO_VERSION_CHECK": "true", "LANGGRAPH_CLI_NO_ANALYTICS": "1"}
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port), "--n-jobs-per-worker", "10"],
            cwd=folder,
            env={**os.environ, "NO_COLOR": "1", **offline, **env},
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_for(url, server, folder / "log")
            yield url
        finally:
            with suppress(ProcessLookupError):  # it did not even start
                os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def _wait_for(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/ok", trust_env=False).is_success:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(f"langgraph dev did not start:\n{log.read_text()}")


@dataclass
class Stage:
    """A server and the endpoint its models talk to; each chat on it has voices and a model name of its own."""

    url: str
    endpoint: Endpoint
    chats: "dict[str, Chat]" = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.endpoint.answer = self._answer

    def chat(self, graph: Graph = "talker", headers: Mapping[str, str] | None = None, **context: Any) -> "Chat":
        """Open a conversation. `think_after` is 0 unless the context says otherwise."""
        chat = Chat(self, graph, get_client(url=self.url, headers=headers), context)
        self.chats[chat.model] = chat
        return chat

    async def close(self) -> None:
        """Hang up on the server."""
        for chat in self.chats.values():
            await chat.client.aclose()

    def _answer(self, call: Call) -> Answer | str:
        chat = self.chats.get(call.model)
        return chat.voices(call) if chat else Answer(status=400, error="its test is over")


@dataclass
class Chat:
    """One conversation with a graph of the server, through the SDK."""

    stage: Stage
    graph: Graph
    client: LangGraphClient
    context: dict[str, Any]
    voices: Voices = field(default_factory=Voices)
    thread_id: str = field(default_factory=lambda: str(uuid4()))
    model: str = field(default_factory=lambda: f"test-{uuid4()}")

    @property
    def calls(self) -> list[Call]:
        """The model calls of this conversation, in order."""
        return [call for call in self.stage.endpoint.calls if call.model == self.model]

    async def say(self, text: str) -> dict[str, Any]:
        """Say something and return the reply, a message as JSON."""
        values = await self.client.runs.wait(self.thread_id, self.graph, **self._turn(text))
        assert isinstance(values, dict)
        message: dict[str, Any] = values["messages"][-1]
        assert message["type"] == "ai"
        return message

    async def stream(self, text: str) -> AsyncIterator[tuple[str, Any]]:
        """Say something and iterate over the events of `messages-tuple`."""
        run = self.client.runs.stream(self.thread_id, self.graph, stream_mode="messages-tuple", **self._turn(text))
        async for part in run:
            yield part.event, part.data

    async def state(self) -> dict[str, Any]:
        """Return the thread's values."""
        return cast("dict[str, Any]", (await self.client.threads.get_state(self.thread_id))["values"])

    async def mind(self) -> dict[str, Any]:
        """Return the values of the mind's own thread."""
        newest, *_ = await self.minds()
        return newest

    async def minds(self) -> list[dict[str, Any]]:
        """Return all the values that the mind's own thread has had, newest first."""
        states = await self.client.threads.get_history(mind_thread(self.thread_id), limit=100)
        return [cast("dict[str, Any]", state["values"]) for state in states]

    async def passes(self) -> list[str]:
        """Return the statuses of the passes that left a run, newest first."""
        return [run["status"] for run in await self.client.runs.list(mind_thread(self.thread_id), limit=100)]

    async def settle(self) -> None:
        """Wait until no pass is due or running."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while {"pending", "running"} & set(await self.passes()):
            assert time.monotonic() < deadline, "thinking did not end"
            await asyncio.sleep(0.05)

    def _turn(self, text: str) -> dict[str, Any]:
        context = {"talker_model": f"openai:{self.model}", "think_after": 0, **self.context}
        message = {"role": "user", "content": text}
        return {"input": {"messages": [message]}, "context": context, "if_not_exists": "create"}
