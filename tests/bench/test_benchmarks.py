"""Every benchmark runs end to end, at its smallest size, and writes what it found."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from bench import load_arm
from bench.__main__ import main
from bench.lib.delayed_model import CallTimes
from bench.lib.filler_text import Speech
from bench.lib.timing import timed
from bench.lib.virtual_time import run_in_virtual_time
from mirror_graph.errors import StorageError
from mirror_graph.evals.report import Aim, percentile
from mirror_graph.state.tokens import count_tokens

Figures = dict[str, dict[str, float]]
Run = Callable[..., list[Figures]]


@pytest.fixture(autouse=True)
def no_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each benchmark start its own."""
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a benchmark and return its tables; each of its aims is about a figure that was found."""

    def run(name: str, *options: str) -> list[Figures]:
        return _run(tmp_path / "found" / f"{name}.json", capsys, name, *options)

    return run


def _run(out: Path, capsys: pytest.CaptureFixture[str], name: str, *options: str) -> list[Figures]:
    assert main([name, *options, "--seed", "7", "--json", str(out)]) == 0
    shown = capsys.readouterr().out
    report: dict[str, Any] = json.loads(out.read_text("utf-8"))
    assert report.keys() == {
        "benchmark",
        "date",
        "machine",
        "versions",
        "sizes",
        "seed",
        "figures",
        "aims",
        "notes",
    }
    assert (report["benchmark"], report["seed"]) == (name, 7)
    assert report["machine"]["cores"] >= 1
    assert report["versions"]["langgraph"]
    for aim in report["aims"]:
        assert aim["met"] in {True, False}
        assert aim["what"] in " ".join(shown.split())
    return list(report["figures"].values())


def test_overhead_compares_a_bare_chat_and_mirror_and_weighs_a_thread(run: Run) -> None:
    times, guard, weights = run(
        "overhead", "--turns", "2", "--short", "1", "--long", "3", "--delay", "0.05", "--word-pause", "0"
    )

    arms = ("bare chat", "bare chat, lean", "mirror")
    assert times.keys() == {*arms, *(f"mirror minus {arm}, turn by turn" for arm in arms[:2])}
    for arm in arms:
        assert 50 < times[arm]["first token p50, ms"] <= times[arm]["last token p50, ms"]
        assert times[arm]["last token p50, ms"] <= times[arm]["end of stream p50, ms"]
    assert guard.keys() == {"guard off", "guard on"}
    for arm in guard.values():
        assert arm["first token p50, ms"] > 50 > arm["from one token to the next p50, ms"] >= 0
    assert 0 < weights["turn 1"]["KiB of its state"] < weights["turn 3"]["KiB of its state"]


@pytest.mark.slow
def test_agent_overhead_compares_an_agent_with_the_middleware_and_without(run: Run) -> None:
    (times,) = run("agent_overhead", "--turns", "2", "--delay", "0.05", "--word-pause", "0")

    assert times.keys() == {"bare agent", "agent with MIRROR", "agent with MIRROR minus bare agent, turn by turn"}
    assert times["bare agent"]["first token p50, ms"] > 50


def test_overlap_times_the_local_lanes_without_a_server(run: Run) -> None:
    (times,) = run("overlap", "--no-server", "--pairs", "1", "--thought", "0.6", "--delay", "0.1", "--gap", "0.2")

    assert times.keys() == {"two graphs, local"}
    assert 100 < times["two graphs, local"]["thought in flight p50, ms"] < 600


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_overlap_times_four_ways_to_talk_and_think(run: Run) -> None:
    (times,) = run("overlap", "--pairs", "1", "--thought", "5")

    assert times.keys() == {
        "one graph, enqueue",
        "one graph, interrupt",
        "two graphs, local",
        "two graphs, server",
    }
    assert times["one graph, enqueue"]["thought in flight p50, ms"] > 3_000
    for arm in ("one graph, interrupt", "two graphs, local", "two graphs, server"):
        assert times[arm]["thought in flight p50, ms"] < 3_000


def test_human_waits_for_no_thought_on_a_virtual_clock(run: Run) -> None:
    started = time.monotonic()
    (found,) = run("simulated_user", "--conversations", "3", "--turns", "2")

    assert time.monotonic() - started < 60 < 3 * 2 * 20  # seconds that such humans read and type
    assert len(found) == 4
    for figures in found.values():
        assert 740 <= figures["reply p50, ms"] <= 13_240
        assert figures["waited at most, ms"] == pytest.approx(0, abs=0.001)


async def test_load_counts_turns_that_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warmed_up = False

    async def lose_the_lease(pieces: Any) -> None:
        nonlocal warmed_up
        if warmed_up:
            raise StorageError("lost the lease on thread t")
        warmed_up = True

    monkeypatch.setattr(load_arm, "timed", lose_the_lease)
    job = load_arm.Job("mirror", str(tmp_path / "mirror.db"), "test", 2, 3, 10, 0.0, seed=1)
    assert await load_arm.run(job) == {"failed turns": 6, "leases lost": 6, "turns a second": 0}


@pytest.mark.slow
def test_load_runs_both_arms_flat_out_and_paced(run: Run) -> None:
    flat_out, paced = run(
        "load",
        *("--conversations", "1", "--turns", "2", "--paced-turns", "1", "--pause", "0.1"),
        *("--delay", "0.05", "--word-pause", "0"),
    )

    for found in (flat_out, paced):
        assert found.keys() == {"one-node chat, 1 conversations", "mirror, 1 conversations"}
        assert all(figures["turns a second"] > 0 for figures in found.values())
        assert all(figures["failed turns"] == figures["leases lost"] == 0 for figures in found.values())
        assert all(figures["memory at most, MiB"] > 10 for figures in found.values())
        assert all(figures["reply p50, ms"] > 50 for figures in found.values())


def test_a_large_message_is_timed_next_to_another_user(run: Run) -> None:
    (times,) = run("large_message", "--pairs", "1", "--size", "400", "--delay", "0.05", "--word-pause", "0")

    assert times.keys() == {"alone", "next to prose", "next to repeated claims"}
    assert all(figures["first token p50, ms"] > 50 for figures in times.values())


@pytest.mark.slow
def test_encryption_times_both_arms_on_every_database(run: Run) -> None:
    for found in run("encryption", "--turns", "2", "--warm-up", "1"):
        assert found.keys() == {"in clear", "encrypted", "added, turn by turn"}
        assert all(found[arm]["time to a reply p50, ms"] > 0 for arm in ("in clear", "encrypted"))
        assert all(found[arm]["KiB a thread"] > 1 for arm in ("in clear", "encrypted"))


def test_storage_weighs_threads_on_every_database(run: Run) -> None:
    sqlite, postgres = run("storage", "--turns", "10")

    for found in (sqlite, postgres):
        assert found.keys() == {
            f"{arm} after {turns} turns" for arm in ("mirror", "one-node chat") for turns in (1, 10)
        }
        assert found["mirror after 10 turns"]["rows"] < found["one-node chat after 10 turns"]["rows"]
        assert found["mirror after 10 turns"]["KiB in all"] < found["one-node chat after 10 turns"]["KiB in all"]


def test_tokens_compares_the_papers_set_up_and_every_way_of_thinking(run: Run) -> None:
    last, _, components = run("tokens", "--turns", "4")

    modes = ("parallel", "joint", "synthesis_only", "monologue_only", "off")
    assert last.keys() == {"bare chat", "the paper's", *(f"mirror, {mode}" for mode in modes)}
    calls = {"bare chat": 1, "the paper's": 3, "mirror, parallel": 5, "mirror, joint": 3, "mirror, off": 1}
    assert {arm: last[arm]["calls"] for arm in calls} == calls
    for arm, figures in last.items():
        assert 0 <= figures["cached"] < figures["input"]
        assert figures["effective input"] == pytest.approx(sum(components[arm].values()))


def test_a_text_has_the_length_asked_for_and_packs_like_prose() -> None:
    text = Speech(1).text(5_000)

    assert count_tokens(text) == 5_000
    assert text == Speech(1).text(5_000) != Speech(2).text(5_000)
    assert 2 < len(text) / len(zstandard.compress(text.encode())) < 3


def test_an_hour_passes_at_once_on_a_virtual_clock_and_in_order() -> None:
    async def wait() -> list[str]:
        loop, reported = asyncio.get_running_loop(), list[str]()

        async def say(seconds: float) -> None:
            await asyncio.sleep(seconds)
            reported.append(f"{loop.time():.0f}")

        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1_800):
                await asyncio.gather(say(3_600), say(60), asyncio.to_thread(reported.append, "now"))
        return [*reported, f"{loop.time():.0f}"]

    started = time.monotonic()
    assert run_in_virtual_time(wait()) == ["now", "60", "1800"]
    assert time.monotonic() - started < 5


async def test_a_timing_says_when_the_pieces_came() -> None:
    async def reply() -> AsyncIterator[str]:
        for piece in ("", "one", "two", ""):
            await asyncio.sleep(0.02)
            yield piece

    first, last, end = await timed(reply())

    assert 0.04 <= first < last < end


def test_a_percentile_is_that_of_the_values_themselves() -> None:
    assert percentile([3.0], 95) == 3
    assert percentile([1.0, 2.0, 3.0], 50) == 2
    assert percentile([float(value) for value in range(101)], 95) == 95


def test_call_times_keep_their_median_and_their_bounds() -> None:
    from random import Random

    random = Random(1)
    times = [CallTimes(2.16, 2.52, 0.74, 13.24).draw(random) for _ in range(4_000)]

    assert percentile(times, 50) == pytest.approx(2.16, rel=0.05)
    assert sum(times) / len(times) == pytest.approx(2.52, rel=0.05)
    assert 0.74 <= min(times) <= max(times) <= 13.24


@pytest.mark.parametrize(
    ("aim", "met"),
    [
        (Aim("", 1.0, most=1.0), True),
        (Aim("", 1.1, most=1.0), False),
        (Aim("", 0.8, least=0.8), True),
        (Aim("", 0.7, least=0.8), False),
    ],
)
def test_an_aim_is_met_up_to_its_bound(aim: Aim, met: bool) -> None:
    assert aim.met is met


def test_screening_times_every_proposal_against_a_full_ledger(run: Run) -> None:
    (times,) = run("screening", "--proposals", "3", "--constraints", "8")

    assert times["relations"].keys() == {"screening p50, ms", "screening p95, ms"}
    assert times["relations"]["screening p50, ms"] > 0
