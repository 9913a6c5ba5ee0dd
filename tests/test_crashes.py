"""A host may be killed at any step: the conversation goes on, nothing told is lost, nothing stands twice."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.crashing import count_steps, goes_on, run_killed, talk

KILLS = int(os.environ.get("MIRROR_KILLS", "50"))


def kill_at_each(steps: range, folder: Path) -> int:
    """Kill a host at each of these steps of its second turn and pass; return how many kills there were."""
    killed = 0
    for step in steps:
        database = str(folder / f"{step}.db")
        asyncio.run(talk(database, 1, 1))
        killed += not run_killed(lambda database=database: talk(database, 2, 2), step)  # type: ignore[misc]
        asyncio.run(goes_on(database, answered=1, again=2))
    return killed


def steps_of_a_turn(folder: Path) -> int:
    database = str(folder / "whole.db")
    asyncio.run(talk(database, 1, 1))
    return count_steps(lambda: talk(database, 2, 2))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_host_killed_at_every_step_of_a_turn_and_pass_loses_nothing(tmp_path: Path) -> None:
    steps = range(1, steps_of_a_turn(tmp_path))
    killed = kill_at_each(steps, tmp_path)
    print(f"killed at {killed} steps")
    assert killed >= 0.95 * len(steps)  # the number of steps varies by a few from run to run


PROGRAM = """
import asyncio, sys
from tests.crashing import talk
asyncio.run(talk(sys.argv[1], int(sys.argv[2]), 10_000, lambda number: print(number, flush=True)))
"""


def kill_at_random(database: str, kills: int, seed: int) -> int:
    """Kill a talking host `kills` times, each time starting the next on the same thread; return the turns."""
    moments = random.Random(seed)
    answered = 0
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, database, str(answered + 1)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parent.parent,
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, process.stderr.read() if process.stderr else ""
        time.sleep(moments.uniform(0, 0.4))
        os.kill(process.pid, signal.SIGKILL)
        rest, errors = process.communicate()
        assert errors == ""
        answered = int((line + rest).split()[-1])
        asyncio.run(goes_on(database, answered, answered + 1))
        answered += 1
    return answered


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_a_process_killed_50_times_loses_nothing(tmp_path: Path) -> None:
    turns = kill_at_random(str(tmp_path / "mirror.db"), kills=KILLS, seed=20261121)
    print(f"{KILLS} kills, {turns} turns, seed 20261121")
    assert turns >= 2 * KILLS


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_a_process_killed_30_times_on_postgres_loses_nothing(postgres: str) -> None:
    kills = KILLS * 3 // 5
    turns = kill_at_random(postgres, kills=kills, seed=20261122)
    print(f"{kills} kills, {turns} turns, seed 20261122")
    assert turns >= 2 * kills
