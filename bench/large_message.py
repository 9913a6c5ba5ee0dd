"""How much later a user's reply comes because another user of the host sends a very long message."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from bench.lib.fake_endpoint import NARRATIVE_TOKENS, THOUGHT_TOKENS, Voice, served
from bench.lib.filler_text import Speech
from bench.lib.timing import Timing, timed
from mirror_graph import Mirror, MirrorContext, open_mirror
from mirror_graph.evals.report import Aim, Report, spread
from mirror_graph.state.tokens import BYTES_PER_TOKEN

ALONE = "alone"
REPEATED = "allergic my fear of İ "
"""Words that the scanner looks at most closely, and a letter that gets longer when it is folded."""


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    pairs: int = 20
    """Messages of the second user per arm."""
    size: int = 40_000
    """Bytes of the first user's message, at most 40,000."""
    delay: float = 0.1
    """Seconds before the endpoint's first word."""
    word_pause: float = 0.002
    """Seconds after each of its words."""
    model: str = "gpt-4o-mini"
    """The model of the endpoint, if OPENAI_BASE_URL is set."""
    seed: int = 1
    """Seed of texts and times."""


def measure(sizes: Sizes) -> Report:
    """Time replies to short messages, alone and next to a message of `size` bytes, in turns."""
    voices = {
        "talker": Voice(50, sizes.delay, sizes.word_pause),
        "thinker": Voice(THOUGHT_TOKENS, sizes.delay),
        "synthesis": Voice(NARRATIVE_TOKENS, sizes.delay),
    }
    speech = Speech(sizes.seed)
    long_messages = {
        "next to prose": _cut(speech.text(sizes.size // BYTES_PER_TOKEN + 1), sizes.size),
        "next to repeated claims": _cut(REPEATED * sizes.size, sizes.size),
    }
    with served(voices, model=sizes.model, seed=sizes.seed) as provider, TemporaryDirectory() as folder:
        context = MirrorContext(**provider.context())
        times = asyncio.run(_time_replies(Path(folder) / "mirror.db", context, sizes.pairs, long_messages, speech))
    added = {arm: _added(times[ALONE], taken) for arm, taken in times.items() if arm != ALONE}
    return Report(
        tables={
            f"time of a reply, the other user's message of {sizes.size:,} bytes": {
                arm: spread("first token", [timing.first for timing in taken])
                | spread("reply", [timing.last for timing in taken])
                for arm, taken in times.items()
            }
        },
        aims=[
            Aim(f"{arm}: the reply later than alone, median, ms", median(taken) * 1_000, most=100)
            for arm, taken in added.items()
        ],
        notes=["The messages of a pair follow each other, so that both meet the machine as busy as the other."],
    )


async def _time_replies(
    database: Path, context: MirrorContext, pairs: int, long_messages: dict[str, str], speech: Speech
) -> dict[str, list[Timing]]:
    times: dict[str, list[Timing]] = {ALONE: [], **{arm: [] for arm in long_messages}}
    async with open_mirror(database, context=context) as mirror:
        await timed(mirror.conversation("warm up").stream("Hello."))
        for pair in range(pairs):
            for arm, text in {ALONE: None, **long_messages}.items():
                times[arm].append(await _time_reply(mirror, f"{pair} {arm}", text, speech.text(20)))
    return times


async def _time_reply(mirror: Mirror, name: str, neighbour: str | None, text: str) -> Timing:
    """Time a reply to `text`, while another user says `neighbour`."""
    other = mirror.conversation(name, user_id="neighbour")
    conversation = mirror.conversation(name, user_id="user")
    talking = asyncio.create_task(other.say(neighbour)) if neighbour is not None else None
    await asyncio.sleep(0)
    timing = await timed(conversation.stream(text))
    if talking is not None:
        await talking
    for each in (conversation, other):
        await each.settle()
    return timing


def _added(alone: list[Timing], together: list[Timing]) -> list[float]:
    return [after.last - before.last for before, after in zip(alone, together, strict=True)]


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")
