"""What MIRROR adds to the time of a reply, and what a thread weighs after many turns."""

import asyncio
from collections.abc import AsyncIterable, Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from mirror_graph import MirrorContext, open_mirror
from mirror_graph.benchmarks.bare import BareChat, openai_chat
from mirror_graph.benchmarks.report import Aim, Figures, Report
from mirror_graph.benchmarks.scripts import scripted_voices
from mirror_graph.benchmarks.settling import settle
from mirror_graph.benchmarks.speech import Speech
from mirror_graph.benchmarks.timing import Timing, percentile, spread, timed
from mirror_graph.benchmarks.voices import NARRATIVE_TOKENS, THOUGHT_TOKENS, Provider, Voice, served
from mirror_graph.benchmarks.weight import CYCLE, weigh_mirror
from mirror_graph.prompts import VOICES

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
        bare, ours = asyncio.run(_time_replies(provider, turns, message_tokens, seed))
    speech = Speech(seed)
    models = scripted_voices(speech, reply=reply_tokens, thought=THOUGHT_TOKENS, narrative=NARRATIVE_TOKENS)
    words = partial(speech.text, message_tokens)
    with TemporaryDirectory() as folder:
        database = str(Path(folder) / "mirror.db")
        light, heavy = asyncio.run(weigh_mirror(database, MirrorContext(**models), words, [short, long]))
    added = [mirror.first - chat.first for chat, mirror in zip(bare, ours, strict=True)]
    return Report(
        tables={
            f"time of a reply, {turns} turns": _times(bare, ours),
            f"a thread of {message_tokens + reply_tokens} tokens a turn": {
                f"turn {short}": light.figures(),
                f"turn {long}": heavy.figures(),
            },
        },
        aims=[
            Aim("added time to the first token, p50, ms", percentile(added, 50) * 1_000, most=10),
            Aim("added time to the first token, p95, ms", percentile(added, 95) * 1_000, most=25),
            Aim(f"state at turn {long} over turn {short}", heavy.state / light.state, most=1.1),
        ],
        notes=[
            "Thinking settles before the next turn: `mirror bench overlap` measures replies beside it.",
            f"A thread weighs the most of the {CYCLE} turns up to the one named.",
        ],
    )


async def _time_replies(
    provider: Provider, turns: int, message_tokens: int, seed: int
) -> tuple[list[Timing], list[Timing]]:
    speech = Speech(seed)
    bare = BareChat(openai_chat(provider.name("talker", "bare")), VOICES["talker"].template)
    bare_times: list[Timing] = []
    our_times: list[Timing] = []
    with TemporaryDirectory() as folder:
        async with open_mirror(Path(folder) / "mirror.db", context=MirrorContext(**provider.context())) as mirror:
            conversation = mirror.conversation("overhead")
            arms: list[tuple[list[Timing], Callable[[str], AsyncIterable[str]]]] = [
                (bare_times, bare.stream),
                (our_times, conversation.stream),
            ]
            for _ in range(turns + WARM_UP):
                text = speech.text(message_tokens)
                for taken, say in arms:
                    taken.append(await timed(say(text)))
                arms.reverse()  # neither arm is always first
                await settle(conversation)
                bare.note = (await conversation.mind()).narrative
    return bare_times[WARM_UP:], our_times[WARM_UP:]


def _times(bare: Sequence[Timing], ours: Sequence[Timing]) -> Figures:
    added = [
        Timing(*(after - before for before, after in zip(chat, mirror, strict=True)))
        for chat, mirror in zip(bare, ours, strict=True)
    ]
    return {
        arm: spread("first token", [it.first for it in times])
        | spread("last token", [it.last for it in times])
        | spread("end of stream", [it.end for it in times])
        for arm, times in (("bare chat", bare), ("mirror", ours), ("added, pair by pair", added))
    }
