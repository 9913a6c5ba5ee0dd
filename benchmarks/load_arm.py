"""One arm of `mirror bench load`, run in a process of its own so that its memory and processor time are its own."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from random import Random
from statistics import fmean
from typing import Final, Literal
from uuid import uuid4

import psutil

from mirror_graph import Conversation, MirrorContext, open_mirror
from mirror_graph.benchmarks.bare import StockChat, openai_chat
from mirror_graph.benchmarks.speech import Speech
from mirror_graph.benchmarks.timing import Timing, spread, timed
from mirror_graph.benchmarks.voices import Provider
from mirror_graph.storage import open_storage

STOCK: Final = "one-node chat"
MIRROR: Final = "mirror"
Arm = Literal["one-node chat", "mirror"]
Say = Callable[[str], AsyncIterable[str]]
"""Say something in one conversation and iterate over the pieces of the reply."""

MIB = 2**20


@dataclass(frozen=True)
class Job:
    """So many conversations side by side, `pause` seconds on average between a reply and the next message."""

    arm: Arm
    database: str
    model: str | None
    conversations: int
    turns: int
    message_tokens: int
    pause: float
    seed: int


def run_apart(job: Job) -> dict[str, float]:
    """Do a job in a fresh process and return its figures."""
    command = [sys.executable, "-m", __name__, json.dumps(asdict(job))]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    return found


async def run(job: Job) -> dict[str, float]:
    """Hold the conversations and return their figures."""
    lags: list[int] = []
    opened = _stock_chats(job) if job.arm == STOCK else _mirrors(job, lags)
    async with opened as chat:
        await timed(chat()("Hello."))  # imports and connects
        lags.clear()
        use = Use()
        sampling = asyncio.create_task(use.sample())
        talking = [_converse(chat(), job, Random(f"{job.seed} {number}")) for number in range(job.conversations)]
        times = [timing for taken in await asyncio.gather(*talking) for timing in taken]
        sampling.cancel()
        found = {
            "turns a second": len(times) / use.seconds,
            **spread("first token", [it.first for it in times]),
            **spread("reply", [it.last for it in times]),
            "processor a turn, ms": 1_000 * use.processor / len(times),
            "memory at most, MiB": use.most_memory / MIB,
            "memory a conversation, KiB": (use.most_memory - use.memory) / 1_024 / job.conversations,
        }
    return found | ({"lag, mean": fmean(lags), "lag, largest": max(lags)} if lags else {})


async def _converse(say: Say, job: Job, random: Random) -> list[Timing]:
    speech = Speech(random.randrange(2**32))
    taken: list[Timing] = []
    for _ in range(job.turns):
        await asyncio.sleep(random.uniform(0, 2 * job.pause))
        taken.append(await timed(say(speech.text(job.message_tokens))))
    return taken


@asynccontextmanager
async def _stock_chats(job: Job) -> AsyncIterator[Callable[[], Say]]:
    async with open_storage(job.database) as storage:
        chat = StockChat(openai_chat(Provider(job.model).name("talker", "stock")), storage.saver)

        def converse() -> Say:
            thread_id = str(uuid4())
            return lambda text: chat.stream(thread_id, text)

        yield converse


@asynccontextmanager
async def _mirrors(job: Job, lags: list[int]) -> AsyncIterator[Callable[[], Say]]:
    async with open_mirror(job.database, context=MirrorContext(**Provider(job.model).context("mirror"))) as mirror:

        def converse() -> Say:
            conversation = mirror.conversation(str(uuid4()), user_id=str(uuid4()))
            return lambda text: _stream(conversation, text, lags)

        yield converse


async def _stream(conversation: Conversation, text: str, lags: list[int]) -> AsyncIterator[str]:
    stream = conversation.stream(text)
    async for piece in stream:
        yield piece
    lags.append(stream.reply.lag)


class Use:
    """What this process uses from now on: time, processor time, memory."""

    def __init__(self) -> None:
        self._process = psutil.Process()  # type: ignore[no-untyped-call]  # psutil has no types
        self._started = time.perf_counter()
        self._processor = self._processor_time()
        self.memory = self.most_memory = self._process.memory_info().rss

    @property
    def seconds(self) -> float:
        """Seconds since the beginning."""
        return time.perf_counter() - self._started

    @property
    def processor(self) -> float:
        """Seconds of processor time since the beginning."""
        return self._processor_time() - self._processor

    async def sample(self) -> None:
        """Watch the memory until cancelled."""
        while True:
            self.most_memory = max(self.most_memory, self._process.memory_info().rss)
            await asyncio.sleep(0.1)

    def _processor_time(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(Job(**json.loads(sys.argv[1]))))))
