"""What MIRROR adds to the time of a reply, and what a thread weighs after many turns."""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from operator import sub
from pathlib import Path
from tempfile import TemporaryDirectory

from mirror_graph import MirrorContext, open_mirror
from mirror_graph.benchmarks.bare import BareChat, openai_chat
from mirror_graph.benchmarks.guard_overhead import aims, time_guard
from mirror_graph.benchmarks.report import Aim, Report
from mirror_graph.benchmarks.scripts import scripted_voices
from mirror_graph.benchmarks.settling import settle
from mirror_graph.benchmarks.speech import Speech
from mirror_graph.benchmarks.timing import Chat, Timing, percentile, spread, timed
from mirror_graph.benchmarks.voices import NARRATIVE_TOKENS, THOUGHT_TOKENS, Provider, Voice, served
from mirror_graph.benchmarks.weight import CYCLE, weigh_mirror
from mirror_graph.models import chat_model
from mirror_graph.prompts import TEMPLATES

BARE, LEAN, MIRROR = "bare chat", "bare chat, lean", "mirror"
WARM_UP = 3


def measure(
    *,
    turns: int,
    short: int,
    long: int,
    delay: float,
    word_pause: float,
    message_tokens: int,
    reply_tokens: int,
    model: str,
    seed: int,
) -> Report:
    """Time `turns` turns of a bare chat and of MIRROR, one by one, then weigh a thread after `short` and `long`."""
    voices = {
        "talker": Voice(reply_tokens, delay, word_pause),
        "thinker": Voice(THOUGHT_TOKENS, delay),
        "synthesis": Voice(NARRATIVE_TOKENS, delay),
    }
    with served(voices, model=model, seed=seed) as provider:
        times = asyncio.run(_time_replies(provider, turns, message_tokens, seed))
        guard_times = asyncio.run(time_guard(provider, turns, message_tokens, seed))
    speech = Speech(seed)
    models = scripted_voices(speech, reply=reply_tokens, thought=THOUGHT_TOKENS, narrative=NARRATIVE_TOKENS)
    words = partial(speech.text, message_tokens)
    with TemporaryDirectory() as folder:
        database = str(Path(folder) / "mirror.db")
        light, heavy = asyncio.run(weigh_mirror(database, MirrorContext(**models), words, [short, long]))
    added = {arm: _added(times[arm], times[MIRROR]) for arm in (BARE, LEAN)}
    first = [timing.first for timing in added[BARE]]
    return Report(
        tables={
            f"time of a reply, {turns} turns": {
                **{arm: _figures(taken) for arm, taken in times.items()},
                **{f"{MIRROR} minus {arm}, turn by turn": _figures(taken) for arm, taken in added.items()},
            },
            f"the guard with eight constraints, {turns} turns": {
                arm: taken.figures() for arm, taken in guard_times.items()
            },
            f"a thread of {message_tokens + reply_tokens} tokens a turn": {
                f"turn {short}": light.figures(),
                f"turn {long}": heavy.figures(),
            },
        },
        aims=[
            Aim("added time to the first token, p50, ms", percentile(first, 50) * 1_000, most=10),
            Aim("added time to the first token, p95, ms", percentile(first, 95) * 1_000, most=25),
            *aims(guard_times),
            Aim(f"state at turn {long} over turn {short}", heavy.state / light.state, most=1.1),
        ],
        notes=[
            "Thinking settles before the next turn: `mirror bench overlap` measures replies beside it.",
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
        spread("first token", [it.first for it in times])
        | spread("last token", [it.last for it in times])
        | spread("end of stream", [it.end for it in times])
    )
