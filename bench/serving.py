"""What `mirror serve` takes under open pages and talkers: the first token, memory per page, and a clean stop."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil

from bench.lib.fake_endpoint import NARRATIVE_TOKENS, THOUGHT_TOKENS, Voice, served
from bench.lib.filler_text import Speech
from bench.lib.sizes import ReplySizes
from mirror_graph.evals.report import Aim, Report, percentile, spread

COMMAND = [sys.executable, "-c", "from mirror_graph.cli import main; main()", "serve", "--port", "0"]


@dataclass(frozen=True)
class Sizes(ReplySizes):
    """How much to measure."""

    pages: int = 200
    """Pages that are open, each with its stream of events."""
    talkers: int = 20
    """Conversations at once, over OpenAI's protocol."""
    turns: int = 5
    """Turns of each talker."""


@dataclass(frozen=True)
class Taken:
    """What was taken: seconds to each first token, bytes per page, and seconds to stop with all streams open."""

    firsts: list[float]
    page_bytes: float
    stop: float


def measure(sizes: Sizes) -> Report:
    """Open `pages` pages, let `talkers` take `turns` turns each, then stop the server."""
    voices = {"talker": Voice(sizes.reply_tokens, sizes.delay, sizes.word_pause)}
    voices |= {"thinker": Voice(THOUGHT_TOKENS, sizes.delay), "synthesis": Voice(NARRATIVE_TOKENS, sizes.delay)}
    with (
        served(voices, model=sizes.model, seed=sizes.seed) as provider,
        TemporaryDirectory() as folder,
        _serving(provider.name("talker"), str(Path(folder) / "mirror.db")) as (process, url),
    ):
        taken = asyncio.run(_take(process, url, sizes))
    title = f"{sizes.pages} pages and {sizes.talkers} talkers"
    figures = spread("first token", taken.firsts)
    figures |= {"memory per page, KiB": taken.page_bytes / 1024, "stop, s": taken.stop}
    return Report(
        tables={title: {"mirror serve": figures}},
        aims=[
            Aim("first token, p95, ms", percentile(taken.firsts, 95) * 1_000, most=1_000),
            Aim("stop with every stream open, s", taken.stop, most=3),
        ],
        notes=[
            f"The endpoint itself waits {sizes.delay} s before its first word. All models have the talker's voice.",
            "The client runs on the same cores as the server and the endpoint.",
        ],
    )


@contextmanager
def _serving(model: str, database: str) -> "Iterator[tuple[subprocess.Popen[str], str]]":
    command = [*COMMAND, "--model", f"openai:{model}", "--database", database]
    environment = {**os.environ, "COLUMNS": "200"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            found = re.search(r"http://\S+", process.stdout.readline())
            assert found is not None, "the server did not start"
            yield process, found.group()
        finally:
            process.kill()


async def _take(process: "subprocess.Popen[str]", url: str, sizes: Sizes) -> Taken:
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        await _talk(client, "warm up", 1, sizes)
        before = _memory(process)
        opened = asyncio.Semaphore(0)
        pages = [asyncio.create_task(_hold_page(client, f"page {number}", opened)) for number in range(sizes.pages)]
        for _ in pages:
            await opened.acquire()
        page_bytes = (_memory(process) - before) / max(1, sizes.pages)
        talks = await asyncio.gather(
            *(_talk(client, f"talk {number}", sizes.turns, sizes) for number in range(sizes.talkers))
        )
        started = time.monotonic()
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.wait)
        stop = time.monotonic() - started
        await asyncio.gather(*pages)
    return Taken([first for talk in talks for first in talk], page_bytes, stop)


async def _hold_page(client: httpx.AsyncClient, name: str, opened: asyncio.Semaphore) -> None:
    """Hold a page's stream open until the server ends it."""
    async with client.stream("GET", "/page/events", params={"conversation": name}) as events:
        is_open = False
        with suppress(httpx.HTTPError):
            async for _ in events.aiter_lines():
                if not is_open:
                    is_open = True
                    opened.release()


async def _talk(client: httpx.AsyncClient, thread: str, turns: int, sizes: Sizes) -> list[float]:
    """Take turns in one thread, and return the seconds to each first token."""
    speech, firsts = Speech(sizes.seed), list[float]()
    for _ in range(turns):
        message = {"role": "user", "content": speech.text(sizes.message_tokens)}
        body = {"model": "mirror", "messages": [message], "stream": True}
        started = time.monotonic()
        async with client.stream("POST", "/v1/chat/completions", json=body, headers={"X-Thread-Id": thread}) as reply:
            reply.raise_for_status()
            lines = reply.aiter_lines()
            await anext(lines)
            firsts.append(time.monotonic() - started)
            async for _ in lines:
                pass
    return firsts


def _memory(process: "subprocess.Popen[str]") -> int:
    resident: int = psutil.Process(process.pid).memory_info().rss  # type: ignore[no-untyped-call]  # psutil has no types
    return resident
