"""A LangGraph server of this repository, started as its users start it, and conversations with it."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient

from mirror_graph.scheduling import mind_thread
from mirror_graph.testing.endpoint import Answer, Call, Endpoint
from mirror_graph.testing.langgraph_server import langgraph_dev
from tests.replies import Replies

ROOT = Path(__file__).parent.parent
SETTLE_SECONDS = 100.0

STORE_GRAPH = """
import asyncio

from langgraph_runtime_inmem import ops

from mirror_graph import build_talker
from mirror_graph.graphs.thinker import thinker
from mirror_graph.scheduling.item_store import StoreScheduler

graph = build_talker(StoreScheduler(thinker)).compile(name="talker")

find_runs = ops.Runs.next


async def find_runs_sooner(wait, limit=1):
    if wait:
        await asyncio.sleep(0.03)
    async for found in find_runs(False, limit):
        yield found


ops.Runs.next = staticmethod(find_runs_sooner)
"""
"""A graph whose minds are in the server's store. It also lets `langgraph dev` look for a run every 0.03 seconds.

By itself that looks every half second, and a conversation of a test would wait for it a hundred seconds in all.
"""


@contextmanager
def serving(
    endpoint: Endpoint,
    graphs: Mapping[str, str] | None = None,
    extra_env: Mapping[str, str] | None = None,
    jobs: int | None = 10,
    **config: Any,
) -> Iterator[str]:
    """Serve what this repository's langgraph.json says, and `graphs`; their models are at `endpoint`."""
    shipped = json.loads((ROOT / "langgraph.json").read_text())
    served = {name: str(ROOT / path) for name, path in shipped["graphs"].items()}
    env = {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": "none", **(extra_env or {})}
    with langgraph_dev({**shipped, "graphs": {**served, **(graphs or {})}, **config}, env, jobs) as url:
        yield url


async def until(happens: Callable[[], Any], seconds: float = 100.0) -> None:
    """Wait until something has happened that sends no event."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


class FakeModels:
    """Models at an endpoint, by name. Each conversation has a model of its own, with its own replies."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.replies: dict[str, Replies] = {}
        endpoint.answer = self._answer

    def calls(self, model: str) -> list[Call]:
        """Return the calls of a model, in order."""
        return [call for call in self.endpoint.calls if call.model == model]

    def _answer(self, call: Call) -> Answer | str:
        replies = self.replies.get(call.model)
        return replies(call) if replies else Answer(status=400, error="its test is over")


class ServerFixture(FakeModels):
    """A server, and the endpoint its models talk to."""

    def __init__(self, url: str, endpoint: Endpoint) -> None:
        super().__init__(endpoint)
        self.url = url
        self.clients: list[LangGraphClient] = []

    def chat(
        self,
        graph: str = "talker",
        headers: Mapping[str, str] | None = None,
        owner: str | None = None,
        **context: Any,
    ) -> "Chat":
        """Open a conversation, of the signed-in `owner` if there is one.

        `think_after` is 0 unless the context says otherwise.
        """
        self.clients.append(get_client(url=self.url, headers=headers))
        chat = Chat(self, graph, self.clients[-1], context, owner=owner)
        self.replies[chat.model] = chat.replies
        return chat

    async def close(self) -> None:
        """Close the connections to the server."""
        for client in self.clients:
            await client.aclose()


@dataclass
class Chat:
    """One conversation with a graph of the server, through the SDK."""

    server: ServerFixture
    graph: str
    client: LangGraphClient
    context: dict[str, Any]
    replies: Replies = field(default_factory=Replies)
    thread_id: str = field(default_factory=lambda: str(uuid4()))
    model: str = field(default_factory=lambda: f"test-{uuid4()}")
    owner: str | None = None

    @property
    def mind_thread(self) -> str:
        """The id of the thread that the mind is on."""
        return mind_thread(self.thread_id, self.owner or self.context.get("user_id"))

    @property
    def calls(self) -> list[Call]:
        """The model calls of this conversation, in order."""
        return self.server.calls(self.model)

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
        states = await self.client.threads.get_history(self.mind_thread, limit=100)
        return [cast("dict[str, Any]", state["values"]) for state in states]

    async def passes(self) -> list[str]:
        """Return the statuses of the passes that left a run, newest first."""
        return [run["status"] for run in await self.client.runs.list(self.mind_thread, limit=100)]

    async def settle(self) -> None:
        """Wait until no pass is due or running."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while {"pending", "running"} & set(await self.passes()):
            assert time.monotonic() < deadline, "thinking did not end"
            await asyncio.sleep(0.05)

    async def stored(self, turn: int) -> None:
        """Wait until a mind in the server's store, such as an agent's, has read up to `turn`."""
        deadline = time.monotonic() + SETTLE_SECONDS
        place = ("mirror", "minds", mind_thread(self.thread_id))
        while True:
            found = await self.client.store.search_items(place)
            if any(item["value"]["turn"] >= turn for item in found["items"]):
                return
            assert time.monotonic() < deadline, "thinking did not end"
            await asyncio.sleep(0.05)

    async def send(self, messages: list[dict[str, Any]], checkpoint: Any = None) -> dict[str, Any]:
        """Send messages as they are, from `checkpoint` on where one is given, and return the reply."""
        turn = {**self._turn(""), "input": {"messages": messages}}
        values = await self.client.runs.wait(self.thread_id, self.graph, checkpoint=checkpoint, **turn)
        assert isinstance(values, dict)
        return cast("dict[str, Any]", values["messages"][-1])

    def _turn(self, text: str) -> dict[str, Any]:
        context = {"talker_model": f"openai:{self.model}", "think_after": 0, **self.context}
        message = {"role": "user", "content": text}
        return {"input": {"messages": [message]}, "context": context, "if_not_exists": "create"}
