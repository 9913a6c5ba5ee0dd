"""Whether a reply waits for a thought in flight: one graph for both under two strategies, and two graphs."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple, Protocol, cast
from uuid import uuid4

from langgraph_sdk import get_client
from langgraph_sdk.client import LangGraphClient
from langgraph_sdk.errors import NotFoundError
from langgraph_sdk.schema import MultitaskStrategy

from bench.lib.fake_endpoint import NARRATIVE_TOKENS, THOUGHT_TOKENS, Voice, served
from bench.lib.filler_text import Speech
from bench.lib.timing import Chat, Timing, timed
from mirror_graph import MirrorContext, open_mirror
from mirror_graph.evals.report import Aim, Report, percentile, spread
from mirror_graph.scheduling import mind_thread
from mirror_graph.testing.langgraph_server import langgraph_dev

LOCAL, SERVER = "two graphs, local", "two graphs, server"
MESSAGE_TOKENS = 50
REPLY_TOKENS = 100


class ThinkingChat(Chat, Protocol):
    """One of the ways to talk and think."""

    async def settle(self) -> object:
        """Wait until nothing is being thought."""
        ...


class Pair(NamedTuple):
    """A reply without a thinking pass, and the next one, during the pass over the first."""

    idle: Timing
    during: Timing


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    pairs: int = 10
    """Pairs of replies per arm: one while nothing is thought, one during a thought."""
    thought: float = 3.0
    """Seconds that a thought takes."""
    delay: float = 0.3
    """Seconds before the endpoint's first word."""
    gap: float = 1.0
    """Seconds from a reply to the next message."""
    server: bool = True
    """Whether to start `langgraph dev`, for the arms that need a server."""
    model: str = "gpt-4o-mini"
    """The model of the endpoint, if OPENAI_BASE_URL is set."""
    seed: int = 1
    """Seed of texts and times."""


def measure(sizes: Sizes) -> Report:
    """Time `pairs` replies and, `gap` seconds after each, the next, in every arm."""
    voices = {
        "talker": Voice(REPLY_TOKENS, sizes.delay),
        "thinker": Voice(THOUGHT_TOKENS, sizes.thought),
        "synthesis": Voice(NARRATIVE_TOKENS),
    }
    with ExitStack() as stack:
        provider = stack.enter_context(served(voices, model=sizes.model, seed=sizes.seed))
        url = stack.enter_context(langgraph_dev()) if sizes.server else None
        context = MirrorContext(think_after=0, **provider.context())
        found = asyncio.run(_converse(context, url, sizes.pairs, sizes.gap, Speech(sizes.seed)))
    return Report(
        {
            f"time of a reply, with a thought of {sizes.thought} s": {
                arm: _figures(taken) for arm, taken in found.items()
            }
        },
        _aims(found),
        notes=[f"A thought is in flight from the end of a reply; the next message comes {sizes.gap} s later."],
    )


async def _converse(
    context: MirrorContext, url: str | None, pairs: int, gap: float, speech: Speech
) -> dict[str, list[Pair]]:
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        mirror = await stack.enter_async_context(open_mirror(Path(folder) / "mirror.db", context=context))
        arms: dict[str, ThinkingChat] = {LOCAL: mirror.conversation("overlap")}
        if url:
            client = await stack.enter_async_context(get_client(url=url))
            arms = {
                "one graph, enqueue": ServerChat(client, "mirror", context, "enqueue"),
                "one graph, interrupt": ServerChat(client, "mirror", context, "interrupt"),
                **arms,
                SERVER: ServerChat(client, "talker", context, "enqueue"),
            }
        found: dict[str, list[Pair]] = {arm: [] for arm in arms}
        for number in range(pairs + 1):
            for arm, chat in arms.items():
                pair = await _time_pair(chat, gap, speech)
                if number:  # the first warms up
                    found[arm].append(pair)
    return found


async def _time_pair(chat: ThinkingChat, gap: float, speech: Speech) -> Pair:
    reading = Reading(chat.stream(speech.text(MESSAGE_TOKENS)))
    idle = asyncio.create_task(timed(reading))
    await reading.silence(gap)
    during = await timed(chat.stream(speech.text(MESSAGE_TOKENS)))
    await chat.settle()
    return Pair(await idle, during)


class Reading:
    """The pieces of a reply, and the silence after them."""

    def __init__(self, pieces: AsyncIterable[str]) -> None:
        self._pieces = pieces
        self._heard = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[str]:
        """Pass the pieces on."""
        try:
            async for piece in self._pieces:
                self._heard.set()
                yield piece
        finally:
            self._heard.set()  # a reply that failed is silent too

    async def silence(self, seconds: float) -> None:
        """Wait until no piece has come for so long, which a reader takes for the end of the reply."""
        await self._heard.wait()
        with suppress(TimeoutError):
            while True:
                self._heard.clear()
                await asyncio.wait_for(self._heard.wait(), seconds)


@dataclass(frozen=True)
class ServerChat:
    """A conversation with a graph on a LangGraph server."""

    client: LangGraphClient
    graph: str
    context: MirrorContext
    strategy: MultitaskStrategy
    thread_id: str = field(default_factory=lambda: str(uuid4()))

    async def stream(self, text: str) -> AsyncIterator[str]:
        """Say something and iterate over what the talker says until the server closes the stream."""
        turn: dict[str, Any] = {
            "input": {"messages": [{"role": "user", "content": text}]},
            "context": asdict(self.context),
            "multitask_strategy": self.strategy,
            "if_not_exists": "create",
        }
        run = self.client.runs.stream(self.thread_id, self.graph, stream_mode="messages-tuple", **turn)
        async for part in run:
            if part.event == "messages":
                message, metadata = cast("Any", part.data)
                if metadata["langgraph_node"] == "talker" and message["type"] == "AIMessageChunk":
                    yield str(message["content"])

    async def settle(self) -> None:
        """Wait until no run is due or under way on the thread or its mind."""
        for thread_id in (self.thread_id, mind_thread(self.thread_id)):
            while await self._is_busy(thread_id):  # noqa: ASYNC110  # the server has no callback
                await asyncio.sleep(0.1)

    async def _is_busy(self, thread_id: str) -> bool:
        try:
            return (await self.client.threads.get(thread_id))["status"] == "busy"
        except NotFoundError:
            return False


def _figures(pairs: Sequence[Pair]) -> dict[str, float]:
    closing = [timing.end - timing.last for pair in pairs for timing in pair]
    return (
        spread("idle", [pair.idle.last for pair in pairs])
        | spread("thought in flight", [pair.during.last for pair in pairs])
        | {"in flight over idle": _ratio(pairs)}
        | spread("stream closes after", closing)
    )


def _ratio(pairs: Sequence[Pair]) -> float:
    during, idle = [pair.during.last for pair in pairs], [pair.idle.last for pair in pairs]
    return percentile(during, 50) / percentile(idle, 50)


def _aims(found: dict[str, list[Pair]]) -> list[Aim]:
    aims = [
        Aim(f"{arm}: a reply during a thinking pass over an idle one, p50", _ratio(found[arm]), most=1.05)
        for arm in (LOCAL, SERVER)
        if arm in found
    ]
    if SERVER in found:
        closing = _figures(found[SERVER])["stream closes after p50, ms"]
        aims.append(Aim(f"{SERVER}: the stream closes after its last token, p50, ms", closing, most=50))
    return aims
