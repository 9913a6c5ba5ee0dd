"""How many turns a host serves, how fast and from how much memory, against the one-node chat on the same store."""

from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from mirror_graph.benchmarks.load_arm import MIRROR, STOCK, Arm, Job, run_apart
from mirror_graph.benchmarks.report import Aim, Report
from mirror_graph.benchmarks.voices import NARRATIVE_TOKENS, THOUGHT_TOKENS, Voice, served

FAILURES = ("failed turns", "leases lost")
REPLY = "reply p95, ms"
PROCESSOR = "processor a turn, ms"


def measure(
    *,
    conversations: int,
    turns: int,
    paced_turns: int,
    pause: float,
    delay: float,
    word_pause: float,
    message_tokens: int,
    reply_tokens: int,
    model: str,
    seed: int,
) -> Report:
    """Hold a tenth of the conversations, then all, without a pause between turns; then all with one. Both arms each."""
    voices = {
        "talker": Voice(reply_tokens, delay, word_pause),
        "thinker": Voice(THOUGHT_TOKENS, delay),
        "synthesis": Voice(NARRATIVE_TOKENS, delay),
    }
    with served(voices, model=model, seed=seed) as provider, TemporaryDirectory() as folder:

        def hold(arm: Arm, number: int, turns: int, pause: float) -> dict[str, float]:
            database = str(Path(folder) / f"{arm}-{number}-{pause}.db")
            return run_apart(Job(arm, database, provider.model, number, turns, message_tokens, pause, seed))

        sizes = sorted({max(1, conversations // 10), conversations})
        arms = [(arm, number) for number in sizes for arm in get_args(Arm)]
        flat_out = {(arm, number): hold(arm, number, turns, 0) for arm, number in arms}
        paced = {(arm, conversations): hold(arm, conversations, paced_turns, pause) for arm in get_args(Arm)}
    ours, theirs = (MIRROR, conversations), (STOCK, conversations)
    mirrors = [figures for run in (flat_out, paced) for (arm, _), figures in run.items() if arm == MIRROR]
    return Report(
        tables={
            title: {f"{arm}, {number} conversations": figures for (arm, number), figures in found.items()}
            for title, found in (
                ("flat out: each message comes with the last reply", flat_out),
                (f"paced: each message comes {pause:g} s after the last reply", paced),
            )
        },
        aims=[
            *(Aim(f"{name}, all runs", sum(run[name] for run in mirrors), most=0) for name in FAILURES),
            Aim(
                f"flat out, {conversations} conversations: turns a second over the one-node chat's",
                flat_out[ours]["turns a second"] / max(flat_out[theirs]["turns a second"], 0.001),
                least=0.9,
            ),
            Aim(
                f"paced, {conversations} conversations: p95 of the reply over the one-node chat's, ms",
                paced[ours].get(REPLY, inf) - paced[theirs].get(REPLY, inf),
                most=25,
            ),
            Aim(
                f"paced, {conversations} conversations: processor time of a turn with its pass, ms",
                paced[ours].get(PROCESSOR, inf),
                most=60,
            ),
        ],
        notes=["Thinking is on. The arms ran one after the other, each in a process of its own; so did the endpoint."],
    )
