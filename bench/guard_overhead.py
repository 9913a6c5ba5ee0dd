"""What the guard adds to the time of each piece of a reply: two arms in one run, with it and without."""

from collections import deque
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from bench.lib.fake_endpoint import Provider
from bench.lib.filler_text import Speech
from bench.lib.timing import piece_times
from mirror_graph import Conversation, MirrorContext, open_mirror
from mirror_graph.evals.report import Aim, percentile, spread
from mirror_graph.state.context import GuardMode

WITHOUT, WITH = "guard off", "guard on"
MODES: dict[str, GuardMode] = {WITHOUT: "off", WITH: "note"}
WARM_UP = 3

CONSTRAINTS = (
    "I have a severe peanut allergy. I'm also allergic to shellfish. I take warfarin. I have a crippling fear of "
    "heights. I have asthma. I was in a car accident and still have PTSD from it. I'm a recovering alcoholic. I have "
    "chronic back pain."
)
"""What the user of both arms has mentioned: the guard reads each sentence of a reply for all of it."""


class PieceTimes(NamedTuple):
    """Seconds to the first piece of each reply, and between the later ones of all replies."""

    first: list[float]
    later: list[float]

    def figures(self) -> dict[str, float]:
        """Return the medians and the 95th percentiles, in milliseconds."""
        return spread("first token", self.first) | spread("from one token to the next", self.later)


async def time_guard(provider: Provider, turns: int, message_tokens: int, seed: int) -> dict[str, PieceTimes]:
    """Time `turns` turns of two conversations, one guarded and one not, turn by turn."""
    speech = Speech(seed)
    times = {arm: PieceTimes([], []) for arm in MODES}
    with TemporaryDirectory() as folder:
        async with AsyncExitStack() as stack:
            arms: deque[tuple[str, Conversation]] = deque()
            for arm, mode in MODES.items():
                context = MirrorContext(**{**provider.context(mode), "thinking": "off", "guard": mode})
                mirror = await stack.enter_async_context(open_mirror(Path(folder) / f"{mode}.db", context=context))
                conversation = mirror.conversation(arm)
                await conversation.say(CONSTRAINTS)
                arms.append((arm, conversation))
            for turn in range(turns + WARM_UP):
                text = speech.text(message_tokens)
                for arm, conversation in arms:
                    taken = await piece_times(conversation.stream(text))
                    if turn >= WARM_UP:
                        times[arm].first.append(taken[0])
                        times[arm].later.extend(after - before for before, after in pairwise(taken))
                arms.rotate()  # no arm is always first
    return times


def added_by_guard(times: dict[str, PieceTimes], percent: int) -> tuple[float, float]:
    """Return what the guard adds at a percentile, in milliseconds: to the first token, and to each later one."""

    def added(part: Sequence[Sequence[float]]) -> float:
        without, with_guard = part
        return (percentile(with_guard, percent) - percentile(without, percent)) * 1_000

    return added([times[arm].first for arm in MODES]), added([times[arm].later for arm in MODES])


def aims(times: dict[str, PieceTimes]) -> list[Aim]:
    """Return what is aimed at: at most 2 ms at the 95th percentile."""
    first, later = added_by_guard(times, 95)
    return [
        Aim("added by the guard to the first token, p95, ms", first, most=2),
        Aim("added by the guard to each later token, p95, ms", later, most=2),
    ]
