"""What encryption at rest adds to the time of a turn, and to the size of a thread."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from operator import sub
from typing import NamedTuple

from bench.lib.databases import paired_databases
from bench.lib.filler_text import Speech
from bench.lib.scripted_models import scripted_voices
from bench.lib.settling import settle
from bench.lib.thread_size import weigh
from mirror_graph import Conversation, MirrorContext, open_mirror
from mirror_graph.encryption import new_key
from mirror_graph.evals.report import Aim, Figures, Report, percentile, spread
from mirror_graph.scheduling import mind_thread

CLEAR, ENCRYPTED = "in clear", "encrypted"


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    turns: int = 200
    """Turns that are timed, in each arm and on each database."""
    warm_up: int = 25
    """Turns before them, which fill the window."""
    message_tokens: int = 100
    """Tokens of a user's message."""
    reply_tokens: int = 400
    """Tokens of a reply."""
    thought_tokens: int = 80
    """Tokens of a thought."""
    narrative_tokens: int = 400
    """Tokens of a narrative."""
    seed: int = 1
    """Seed of texts and times."""


class Times(NamedTuple):
    """Seconds of one turn: until its reply is stored, until it is thought about, and of processor time for both."""

    reply: float
    turn: float
    processor: float


def measure(sizes: Sizes) -> Report:
    """Time `turns` turns on a database in clear and on one that is encrypted, by turns, on every database there is."""
    tables: dict[str, Figures] = {}
    aims: list[Aim] = []
    with paired_databases(CLEAR, ENCRYPTED) as pairs:
        for name, databases in pairs.items():
            times, kib = asyncio.run(_time_turns(databases, sizes))
            added = [
                Times(*map(sub, encrypted, clear))
                for clear, encrypted in zip(times[CLEAR], times[ENCRYPTED], strict=True)
            ]
            tables[f"{name}, a turn of {sizes.message_tokens + sizes.reply_tokens} tokens"] = {
                **{arm: {**_figures(taken), "KiB a thread": kib[arm]} for arm, taken in times.items()},
                "added, turn by turn": _figures(added),
            }
            aims += [
                Aim(f"{name}: added {what}, p50, ms", percentile(taken, 50) * 1_000, most=2)
                for what, taken in _by_kind(added).items()
            ]
    return Report(
        tables,
        aims,
        notes=[
            "The models are scripts that answer at once: what is timed is MIRROR and its database.",
            "The two arms of a database take turns, and neither is always first.",
        ],
    )


async def _time_turns(databases: dict[str, str], sizes: Sizes) -> tuple[dict[str, list[Times]], dict[str, float]]:
    speech = Speech(sizes.seed)
    context = MirrorContext(
        user_id="bench",
        think_after=0,
        **scripted_voices(
            speech, reply=sizes.reply_tokens, thought=sizes.thought_tokens, narrative=sizes.narrative_tokens
        ),
    )
    async with (
        open_mirror(databases[CLEAR], context=context, key="") as clear,
        open_mirror(databases[ENCRYPTED], context=context, key=new_key()) as encrypted,
    ):
        conversations = {CLEAR: clear.conversation("bench"), ENCRYPTED: encrypted.conversation("bench")}
        for mirror in (clear, encrypted):
            await mirror.user("bench").add("peanuts", kind="allergy", severity="life-threatening")
        times: dict[str, list[Times]] = {arm: [] for arm in conversations}
        arms = deque(conversations.items())
        for _ in range(sizes.warm_up + sizes.turns):
            text = speech.text(sizes.message_tokens)
            for arm, conversation in arms:
                times[arm].append(await _time_turn(conversation, text))
            arms.rotate()
        kib = {arm: await _kib(databases[arm], conversation) for arm, conversation in conversations.items()}
    return {arm: taken[sizes.warm_up :] for arm, taken in times.items()}, kib


async def _time_turn(conversation: Conversation, text: str) -> Times:
    started, processor = time.perf_counter(), time.process_time()
    await conversation.say(text)
    replied = time.perf_counter()
    await settle(conversation)
    return Times(replied - started, time.perf_counter() - started, time.process_time() - processor)


async def _kib(database: str, conversation: Conversation) -> float:
    weight = await weigh(database, [conversation.thread_id, mind_thread(conversation.thread_id)])
    return weight.bytes / 1024


def _by_kind(times: list[Times]) -> dict[str, list[float]]:
    return {
        "time to a reply": [each.reply for each in times],
        "time to a turn with its thinking": [each.turn for each in times],
        "processor time": [each.processor for each in times],
    }


def _figures(times: list[Times]) -> dict[str, float]:
    figures: dict[str, float] = {}
    for what, taken in _by_kind(times).items():
        figures |= spread(what, taken)
    return figures
