"""How fast the harness is: a run beside an endpoint of a known delay, and a client that does nothing but call it."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from httpx import AsyncClient

from mirror_graph.benchmarks.curate.rehearsal import pretender
from mirror_graph.benchmarks.curate.running import Plan, run
from mirror_graph.benchmarks.voices import talking_to

PLAIN_CALLS = 200
PLAIN_WORDS = 1_000
"""What the plain client sends: about what a talker is sent."""


@dataclass(frozen=True)
class Throughput:
    """A run's calls and seconds; `ideal_seconds` is every connection busy all the time.

    `plain_seconds` is what as many calls take an HTTP client that does nothing between them.
    """

    calls: int
    seconds: float
    ideal_seconds: float
    plain_seconds: float

    @property
    def share(self) -> float:
        """Share of the ideal throughput that was reached."""
        return self.ideal_seconds / self.seconds

    @property
    def plain_share(self) -> float:
        """Share of the plain client's throughput that was reached."""
        return self.plain_seconds / self.seconds


def throughput(plan: Plan, *, delay: float = 0.05) -> Throughput:
    """Run a plan against an endpoint whose every call takes `delay` seconds, and a plain client beside it.

    The endpoint has a process of its own, so that it takes none of the harness's time. The clock starts with the
    first call and stops with the last: what loading Inspect takes is left out.
    """
    pretended = replace(plan, model="openai:rehearsal", judge="openai:judge")
    with tempfile.TemporaryDirectory() as folder:
        calls, seconds = _measured(plan, delay, lambda: run(pretended, Path(folder), display="none"))
    plain_calls, plain_seconds = _measured(plan, delay, lambda: asyncio.run(_call(plan.connections)))
    ideal_seconds = calls * delay / plan.connections
    return Throughput(calls, seconds, ideal_seconds, plain_seconds / plain_calls * calls)


def _measured(plan: Plan, delay: float, work: Callable[[], object]) -> tuple[int, float]:
    """Return how many calls some work makes, and the seconds from the first to the last."""
    command = [sys.executable, "-m", __name__, str(plan.setup.reply_tokens), str(delay)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as apart:
        with talking_to(apart):
            work()
        served = json.loads(apart.communicate()[0])
    return served["calls"], served["seconds"]


async def _call(connections: int) -> None:
    body = {"model": "plain", "messages": [{"role": "user", "content": "word " * PLAIN_WORDS}]}
    async with AsyncClient(base_url=os.environ["OPENAI_BASE_URL"], timeout=None) as client:

        async def keep_calling() -> None:
            for _ in range(max(1, PLAIN_CALLS // connections)):
                (await client.post("/chat/completions", json=body)).raise_for_status()

        await asyncio.gather(*(keep_calling() for _ in range(connections)))


def main() -> None:
    """Serve until standard input ends; print the address first, and last how many calls came in how many seconds."""
    reply_tokens, delay = sys.argv[1:]
    with pretender(int(reply_tokens), float(delay)) as endpoint:
        print(endpoint.url, flush=True)
        sys.stdin.read()
        started = min(call.started for call in endpoint.calls)
        ended = max(call.ended or time.monotonic() for call in endpoint.calls)
        print(json.dumps({"calls": len(endpoint.calls), "seconds": ended - started}))


if __name__ == "__main__":
    main()
