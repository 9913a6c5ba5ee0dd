"""How many turns a host serves, how fast and from how much memory, against the one-node chat on the same store."""

from dataclasses import dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from bench.lib.fake_endpoint import NARRATIVE_TOKENS, THOUGHT_TOKENS, Voice, served
from bench.lib.sizes import ReplySizes
from bench.load_arm import MIRROR, STOCK, Arm, Job, run_apart
from mirror_graph.evals.report import Aim, Report

FAILURES = ("failed turns", "leases lost")
REPLY = "reply p95, ms"
PROCESSOR = "processor a turn, ms"


@dataclass(frozen=True)
class Sizes(ReplySizes):
    """How much to measure."""

    conversations: int = 500
    """Number of conversations."""
    turns: int = 10
    """Turns of a conversation without pauses."""
    paced_turns: int = 2
    """Turns of a conversation with pauses."""
    pause: float = 60.0
    """Average seconds between a reply and the next message."""
    delay: float = 0.3
    word_pause: float = 0.005
    message_tokens: int = 30
    reply_tokens: int = 100


def measure(sizes: Sizes) -> Report:
    """Hold a tenth of the conversations, then all, without a pause between turns; then all with one. Both arms each."""
    voices = {
        "talker": Voice(sizes.reply_tokens, sizes.delay, sizes.word_pause),
        "thinker": Voice(THOUGHT_TOKENS, sizes.delay),
        "synthesis": Voice(NARRATIVE_TOKENS, sizes.delay),
    }
    with served(voices, model=sizes.model, seed=sizes.seed) as provider, TemporaryDirectory() as folder:

        def hold(arm: Arm, number: int, turns: int, pause: float) -> dict[str, float]:
            database = str(Path(folder) / f"{arm}-{number}-{pause}.db")
            return run_apart(Job(arm, database, provider.model, number, turns, sizes.message_tokens, pause, sizes.seed))

        numbers = sorted({max(1, sizes.conversations // 10), sizes.conversations})
        arms = [(arm, number) for number in numbers for arm in get_args(Arm)]
        flat_out = {(arm, number): hold(arm, number, sizes.turns, 0) for arm, number in arms}
        paced = {
            (arm, sizes.conversations): hold(arm, sizes.conversations, sizes.paced_turns, sizes.pause)
            for arm in get_args(Arm)
        }
    ours, theirs = (MIRROR, sizes.conversations), (STOCK, sizes.conversations)
    mirrors = [figures for run in (flat_out, paced) for (arm, _), figures in run.items() if arm == MIRROR]
    return Report(
        tables={
            title: {f"{arm}, {number} conversations": figures for (arm, number), figures in found.items()}
            for title, found in (
                ("flat out: each message comes with the last reply", flat_out),
                (f"paced: each message comes {sizes.pause:g} s after the last reply", paced),
            )
        },
        aims=[
            *(Aim(f"{name}, all runs", sum(run[name] for run in mirrors), most=0) for name in FAILURES),
            Aim(
                f"flat out, {sizes.conversations} conversations: turns a second over the one-node chat's",
                flat_out[ours]["turns a second"] / max(flat_out[theirs]["turns a second"], 0.001),
                least=0.9,
            ),
            Aim(
                f"paced, {sizes.conversations} conversations: p95 of the reply over the one-node chat's, ms",
                paced[ours].get(REPLY, inf) - paced[theirs].get(REPLY, inf),
                most=25,
            ),
            Aim(
                f"paced, {sizes.conversations} conversations: processor time of a turn with its pass, ms",
                paced[ours].get(PROCESSOR, inf),
                most=60,
            ),
        ],
        notes=["Thinking is on. The arms ran one after the other, each in a process of its own; so did the endpoint."],
    )
