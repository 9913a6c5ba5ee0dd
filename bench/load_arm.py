"""One arm of `python -m bench load`, run in a process of its own so that its memory and processor time are its own."""

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from random import Random
from statistics import fmean
from typing import Final, Literal, NamedTuple
from uuid import uuid4

from bench.lib.baseline import StockChat, openai_chat, stock_graph
from bench.lib.fake_endpoint import Provider
from bench.lib.filler_text import Speech
from bench.lib.process_use import ProcessUse
from bench.lib.timing import Chat, Timing, timed
from mirror_graph import MirrorContext, open_mirror
from mirror_graph.evals.report import spread
from mirror_graph.host import ReplyStream
from mirror_graph.storage import open_storage

STOCK: Final = "one-node chat"
MIRROR: Final = "mirror"
Arm = Literal["one-node chat", "mirror"]


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


class Turn(NamedTuple):
    """When the pieces of a reply came, and how many turns its narrative was behind."""

    timing: Timing
    lag: int


class Failures(logging.Handler):
    """Counts turns that failed, and leases that were lost, whether a turn or a pass of thinking lost them."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.turns = 0
        self.leases = 0

    def count(self, error: Exception) -> None:
        """Count a turn that failed."""
        self.turns += 1
        self.leases += LOST in str(error)

    def emit(self, record: logging.LogRecord) -> None:
        """Count a pass that lost its lease, which the host logs."""
        error = record.exc_info[1] if record.exc_info else None
        self.leases += LOST in str(error)


LOST = "lost the lease"


def run_apart(job: Job) -> dict[str, float]:
    """Do a job in a fresh process and return its figures."""
    command = [sys.executable, "-m", __name__, json.dumps(asdict(job))]
    finished = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(finished.stdout.splitlines()[-1])
    return found


async def run(job: Job) -> dict[str, float]:
    """Hold the conversations and return their figures. A turn that fails is counted, and the next one begun."""
    failures = Failures()
    logging.getLogger("mirror_graph").addHandler(failures)
    people = [Random(f"{job.seed} {number}") for number in range(job.conversations)]
    speakers = [(Speech(person.randrange(2**32)), person) for person in people]  # takes long, and is not measured
    async with _stock_chats(job) if job.arm == STOCK else _conversations(job) as new_chat:
        await timed(new_chat().stream("Hello."))  # imports, connects
        use = ProcessUse()
        watching = asyncio.create_task(use.watch())
        talking = [_converse(new_chat(), job, speech, person, failures) for speech, person in speakers]
        turns = [turn for taken in await asyncio.gather(*talking) for turn in taken]
        watching.cancel()
        return _figures(job, turns, use, failures)


async def _converse(chat: Chat, job: Job, speech: Speech, random: Random, failures: Failures) -> list[Turn]:
    taken: list[Turn] = []
    for _ in range(job.turns):
        await asyncio.sleep(random.uniform(0, 2 * job.pause))
        stream = chat.stream(speech.text(job.message_tokens))
        try:
            timing = await timed(stream)
        except Exception as error:
            failures.count(error)
            continue
        taken.append(Turn(timing, stream.reply.lag if isinstance(stream, ReplyStream) else 0))
    return taken


@asynccontextmanager
async def _stock_chats(job: Job) -> AsyncIterator[Callable[[], Chat]]:
    async with open_storage(job.database) as storage:
        graph = stock_graph(openai_chat(Provider(job.model).name("talker", "stock")), storage.saver)
        yield lambda: StockChat(graph)


@asynccontextmanager
async def _conversations(job: Job) -> AsyncIterator[Callable[[], Chat]]:
    async with open_mirror(job.database, context=MirrorContext(**Provider(job.model).context("mirror"))) as mirror:
        yield lambda: mirror.conversation("load", user_id=str(uuid4()))


def _figures(job: Job, turns: list[Turn], use: ProcessUse, failures: Failures) -> dict[str, float]:
    found = {"failed turns": float(failures.turns), "leases lost": float(failures.leases)}
    if not turns:
        return found | {"turns a second": 0.0}
    found |= {
        "turns a second": len(turns) / use.seconds,
        **spread("first token", [turn.timing.first for turn in turns]),
        **spread("reply", [turn.timing.last for turn in turns]),
        "processor a turn, ms": 1_000 * use.processor / len(turns),
        "memory at most, MiB": use.most_memory / 2**20,
        "memory a conversation, KiB": (use.most_memory - use.memory_before) / 2**10 / job.conversations,
    }
    if job.arm == MIRROR:
        lags = [turn.lag for turn in turns]
        found |= {"lag, mean": fmean(lags), "lag, most": max(lags)}
    return found


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(Job(**json.loads(sys.argv[1]))))))
