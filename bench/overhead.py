"""What MIRROR adds to the time of a reply, and what a thread weighs after many turns."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from operator import sub
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.guard_overhead import aims, time_guard
from bench.lib.baseline import BareChat, openai_chat
from bench.lib.fake_endpoint import NARRATIVE_TOKENS, THOUGHT_TOKENS, Provider, Voice, served
from bench.lib.filler_text import Speech
from bench.lib.scripted_models import scripted_voices
from bench.lib.settling import settle
from bench.lib.sizes import ReplySizes
from bench.lib.thread_size import CYCLE, weigh_mirror
from bench.lib.timing import Chat, Timing, timed
from mirror_graph import MirrorContext, open_mirror
from mirror_graph.evals.report import Aim, Report, percentile, spread
from mirror_graph.models import chat_model
from mirror_graph.prompts import TEMPLATES

BARE, LEAN, MIRROR = "bare chat", "bare chat, lean", "mirror"
WARM_UP = 3


@dataclass(frozen=True)
class Sizes(ReplySizes):
    """How much to measure."""

    turns: int = 200
    """Turns that are timed."""
    short: int = 50
    """Turns after which a thread is weighed for the first time."""
    long: int = 500
    """Turns after which it is weighed again."""


def measure(sizes: Sizes) -> Report:
    """Time `turns` turns of a bare chat and of MIRROR, one by one, then weigh a thread after `short` and `long`."""
    voices = {
        "talker": Voice(sizes.reply_tokens, sizes.delay, sizes.word_pause),
        "thinker": Voice(THOUGHT_TOKENS, sizes.delay),
        "synthesis": Voice(NARRATIVE_TOKENS, sizes.delay),
    }
    with served(voices, model=sizes.model, seed=sizes.seed) as provider:
        times = asyncio.run(_time_replies(provider, sizes.turns, sizes.message_tokens, sizes.seed))
        guard_times = asyncio.run(time_guard(provider, sizes.turns, sizes.message_tokens, sizes.seed))
    speech = Speech(sizes.seed)
    models = scripted_voices(speech, reply=sizes.reply_tokens, thought=THOUGHT_TOKENS, narrative=NARRATIVE_TOKENS)
    words = partial(speech.text, sizes.message_tokens)
    with TemporaryDirectory() as folder:
        database = str(Path(folder) / "mirror.db")
        light, heavy = asyncio.run(weigh_mirror(database, MirrorContext(**models), words, [sizes.short, sizes.long]))
    added = {arm: _added(times[arm], times[MIRROR]) for arm in (BARE, LEAN)}
    first = [timing.first for timing in added[BARE]]
    return Report(
        tables={
            f"time of a reply, {sizes.turns} turns": {
                **{arm: _figures(taken) for arm, taken in times.items()},
                **{f"{MIRROR} minus {arm}, turn by turn": _figures(taken) for arm, taken in added.items()},
            },
            f"the guard with eight constraints, {sizes.turns} turns": {
                arm: taken.figures() for arm, taken in guard_times.items()
            },
            f"a thread of {sizes.message_tokens + sizes.reply_tokens} tokens a turn": {
                f"turn {sizes.short}": light.figures(),
                f"turn {sizes.long}": heavy.figures(),
            },
        },
        aims=[
            Aim("added time to the first token, p50, ms", percentile(first, 50) * 1_000, most=10),
            Aim("added time to the first token, p95, ms", percentile(first, 95) * 1_000, most=25),
            *aims(guard_times),
            Aim(f"state at turn {sizes.long} over turn {sizes.short}", heavy.state / light.state, most=1.1),
        ],
        notes=[
            "A turn starts after the last thinking pass; `python -m bench overlap` measures replies during one.",
            "The lean chat calls the model as MIRROR does, without the SDK's walk over every message of a request.",
            f"A thread weighs the most of the {CYCLE} turns up to the one named.",
        ],
    )


async def _time_replies(provider: Provider, turns: int, message_tokens: int, seed: int) -> dict[str, list[Timing]]:
    speech = Speech(seed)
    lean = chat_model(f"openai:{provider.name('talker', 'lean')}", temperature=0.7, max_tokens=4_096)
    bare = {
        BARE: BareChat(openai_chat(provider.name("talker", "bare")), TEMPLATES["talker"].template),
        LEAN: BareChat(lean, TEMPLATES["talker"].template),
    }
    with TemporaryDirectory() as folder:
        async with open_mirror(Path(folder) / "mirror.db", context=MirrorContext(**provider.context())) as mirror:
            conversation = mirror.conversation("overhead")
            arms: deque[tuple[str, Chat]] = deque([*bare.items(), (MIRROR, conversation)])
            times: dict[str, list[Timing]] = {arm: [] for arm, _ in arms}
            for _ in range(turns + WARM_UP):
                text = speech.text(message_tokens)
                for arm, chat in arms:
                    times[arm].append(await timed(chat.stream(text)))
                arms.rotate()  # no arm is always first
                await settle(conversation)
                for chat in bare.values():
                    chat.note = (await conversation.mind()).narrative
    return {arm: taken[WARM_UP:] for arm, taken in times.items()}


def _added(to: Sequence[Timing], by: Sequence[Timing]) -> list[Timing]:
    return [Timing(*map(sub, after, before)) for before, after in zip(to, by, strict=True)]


def _figures(times: Sequence[Timing]) -> dict[str, float]:
    return (
        spread("first token", [timing.first for timing in times])
        | spread("last token", [timing.last for timing in times])
        | spread("end of stream", [timing.end for timing in times])
    )
