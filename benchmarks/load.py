"""How many turns a host serves, how fast and from how much memory, against the one-node chat on the same store."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import get_args

from mirror_graph.benchmarks.load_arm import Arm, Job, run_apart
from mirror_graph.benchmarks.report import Aim, Report
from mirror_graph.benchmarks.voices import Voice, served

THOUGHT_TOKENS = 80
NARRATIVE_TOKENS = 400


def measure(
    *,
    conversations: Sequence[int],
    turns: int,
    pause: float,
    delay: float,
    message_tokens: int,
    reply_tokens: int,
    model: str,
    seed: int,
) -> Report:
    """Hold so many conversations side by side in both arms: without a pause between turns, and with one."""
    voices = {
        "talker": Voice(reply_tokens, delay),
        "thinker": Voice(THOUGHT_TOKENS, delay),
        "synthesis": Voice(NARRATIVE_TOKENS, delay),
    }
    with served(voices, model=model, seed=seed) as provider, TemporaryDirectory() as folder:
        found = {
            waiting: {
                (arm, number): run_apart(
                    Job(
                        arm=arm,
                        database=str(Path(folder) / f"{arm}-{number}-{waiting}.db"),
                        model=provider.model,
                        conversations=number,
                        turns=turns,
                        message_tokens=message_tokens,
                        pause=waiting,
                        seed=seed,
                    )
                )
                for number in conversations
                for arm in get_args(Arm)
            }
            for waiting in (0.0, pause)
        }
    flat_out, paced = found[0.0], found[pause]
    most = max(conversations)
    served_share = flat_out["mirror", most]["turns a second"] / flat_out["one-node chat", most]["turns a second"]
    added = paced["mirror", most]["reply p95, ms"] - paced["one-node chat", most]["reply p95, ms"]
    return Report(
        tables={
            title: {f"{arm}, {number} conversations": figures for (arm, number), figures in rows.items()}
            for title, rows in (
                ("flat out: the next message comes with the reply", flat_out),
                (f"paced: the next message comes {pause:g} s after the reply", paced),
            )
        },
        aims=[
            Aim(f"flat out, {most} conversations: turns a second over the one-node chat's", served_share, least=0.8),
            Aim(f"paced, {most} conversations: p95 of the reply, ms more than the one-node chat's", added, most=25),
        ],
        notes=["Thinking is on. Each arm ran in a process of its own, the endpoint in another, one after the other."],
    )
