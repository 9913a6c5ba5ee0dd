"""The paper's simulated human on a virtual clock: is thinking still in flight when the next message comes?

They read a reply, think, and type the next message. The host and its scheduler are the real ones; only time and the
models are made up.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import fmean
from typing import Any, NamedTuple

from bench.lib.delayed_model import CallTimes, register_paced
from bench.lib.fake_endpoint import NARRATIVE_TOKENS, ROLES, THOUGHT_TOKENS
from bench.lib.filler_text import Speech
from bench.lib.virtual_time import run_in_virtual_time
from mirror_graph import Conversation, MirrorContext, open_mirror
from mirror_graph.evals.report import Aim, Report, spread

TYPED_A_MINUTE, TYPING_VARIES = 40, 0.20
READ_A_MINUTE, READING_VARIES = 250, 0.15
THOUGHT_FOR = (1, 2)
LENGTH_VARIES = 0.5
NO_TIME = 1e-6


class Turn(NamedTuple):
    """A turn as it was: seconds to the whole reply, and how many of them were not the model's."""

    in_flight: bool
    lag: int
    reply: float
    waited: float


@dataclass(frozen=True)
class Sizes:
    """How much to measure."""

    conversations: int = 80
    """Number of conversations."""
    turns: int = 5
    """Turns of a conversation."""
    speed_up: float = 4.0
    """The second pace: this many times as fast as the paper's user."""
    message_tokens: int = 30
    """Tokens of a user's message."""
    reply_tokens: int = 150
    """Tokens of a reply."""
    median: float = 2.16
    """Median seconds of a model call."""
    mean: float = 2.52
    """Mean seconds of a model call."""
    least: float = 0.74
    """The shortest call, in seconds."""
    most: float = 13.24
    """The longest call, in seconds."""
    seed: int = 1
    """Seed of texts and times."""


def measure(sizes: Sizes) -> Report:
    """Hold `conversations` one by one and all at once, at the paper's pace and `hurry` times as fast."""

    def simulate(at_once: int, speed: float) -> list[Turn]:
        party = Party(
            CallTimes(sizes.median, sizes.mean, sizes.least, sizes.most),
            sizes.message_tokens,
            sizes.reply_tokens,
            speed,
            sizes.seed,
        )
        return run_in_virtual_time(party.converse(sizes.conversations, sizes.turns, at_once))

    found = {
        "one by one": simulate(1, 1),
        "all at once": simulate(sizes.conversations, 1),
        f"one by one, {sizes.speed_up:g} times as fast": simulate(1, sizes.speed_up),
        f"all at once, {sizes.speed_up:g} times as fast": simulate(sizes.conversations, sizes.speed_up),
    }
    waiting = sum(turn.waited > NO_TIME for taken in found.values() for turn in taken)
    return Report(
        {
            f"{sizes.conversations} conversations of {sizes.turns} turns": {
                arm: _figures(taken) for arm, taken in found.items()
            }
        },
        [
            Aim("replies that waited for thinking", waiting, most=0),
            Aim("largest lag, one by one", max(turn.lag for turn in found["one by one"]), most=MirrorContext.max_lag),
        ],
        notes=["The paper found thinking in flight at 0.8 % of turns, one conversation at a time."],
    )


class Party:
    """Humans who talk to one host, `speed` times as fast as the paper's."""

    def __init__(self, times: CallTimes, message_tokens: int, reply_tokens: int, speed: float, seed: int) -> None:
        self._random = Random(seed)
        self._speech = Speech(seed)
        self._message_tokens = message_tokens
        self._speed = speed
        pace = partial(times.draw, Random(seed + 1))
        self._talker = register_paced("human-talker", lambda: self._text(reply_tokens), pace)
        self._thinkers = [
            register_paced("human-thinker", lambda: self._text(THOUGHT_TOKENS), pace),
            register_paced("human-synthesis", lambda: self._text(NARRATIVE_TOKENS), pace),
        ]

    async def converse(self, conversations: int, turns: int, at_once: int) -> list[Turn]:
        """Hold `conversations` of `turns` turns, `at_once` at a time."""
        seats = asyncio.Semaphore(at_once)
        models: dict[str, Any] = {f"{role}_model": f"scripted:human-{role}" for role in ROLES}

        async def sit(conversation: Conversation) -> list[Turn]:
            async with seats:
                return [await self._take_turn(conversation) for _ in range(turns)]

        async with open_mirror(context=MirrorContext(**models)) as mirror:
            talking = [sit(mirror.conversation("human", user_id=str(number))) for number in range(conversations)]
            return [turn for taken in await asyncio.gather(*talking) for turn in taken]

    async def _take_turn(self, conversation: Conversation) -> Turn:
        """Type a message, say it, and read the reply."""
        loop = asyncio.get_running_loop()
        text = self._text(self._message_tokens)
        await self._spend(len(text.split()), TYPED_A_MINUTE, TYPING_VARIES)
        in_flight = any(model.under_way[conversation.thread_id] for model in self._thinkers)
        asked = loop.time()
        reply = await conversation.say(text)
        seconds = loop.time() - asked
        await self._spend(len(reply.text.split()), READ_A_MINUTE, READING_VARIES)
        await asyncio.sleep(self._random.uniform(*THOUGHT_FOR) / self._speed)
        return Turn(in_flight, reply.lag, seconds, seconds - self._talker.took[conversation.thread_id])

    async def _spend(self, words: int, a_minute: int, varies: float) -> None:
        pace = a_minute * self._speed * self._random.uniform(1 - varies, 1 + varies)
        await asyncio.sleep(words / pace * 60)

    def _text(self, tokens: int) -> str:
        return self._speech.text(round(tokens * self._random.uniform(1 - LENGTH_VARIES, 1 + LENGTH_VARIES)))


def _figures(turns: Sequence[Turn]) -> dict[str, float]:
    return {
        "in flight, %": 100 * fmean(turn.in_flight for turn in turns),
        "with lag, %": 100 * fmean(turn.lag > 0 for turn in turns),
        "lag, mean": fmean(turn.lag for turn in turns),
        "lag, most": max(turn.lag for turn in turns),
        **spread("reply", [turn.reply for turn in turns]),
        "waited at most, ms": 1_000 * max(turn.waited for turn in turns),
    }
