"""Each example runs as its reader runs it, and keeps an allergy over a window that lost the words."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mirror_graph.testing.endpoint import Endpoint
from tests.replies import Replies, component_of, prompts_of
from tests.server import serving

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
GUIDES = ROOT / "docs" / "guides"
FACT = "I'm severely allergic to peanuts."
INNER = ("They want to plan a dinner.", "Food may be a risk.", "I know that they are allergic")

pytestmark = [pytest.mark.enable_socket, pytest.mark.slow]


def run_program(arguments: list[str], endpoint: Endpoint, place: Path, **env: str) -> str:
    settings = {"OPENAI_BASE_URL": endpoint.url, "OPENAI_API_KEY": "none", "MIRROR_MODEL": "openai:test", **env}
    done = subprocess.run(
        [sys.executable, "-W", "error", *arguments],
        cwd=place,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return done.stdout


def check_twelve_turns(output: str, endpoint: Endpoint) -> None:
    """Check that turn 12 knows what turn 2 said, and that only the talker was read."""
    talks = [call for call in endpoint.calls if component_of(call) == "talker"]
    assert len(talks) == 12
    window = [str(message["content"]) for message in talks[-1].messages[1:-1]]
    assert not any(FACT in words for words in window), "the window still holds the words, so this shows nothing"
    assert f'"{FACT}"' in str(talks[-1].messages[-1]["content"])
    *lines, last = output.splitlines()
    assert lines[:12] == ["I hear you."] * 12
    assert FACT.rstrip(".") in "".join(lines[12:]), "the guard adds its note to the last reply, which names no danger"
    assert not any(inner in output for inner in INNER)
    mark = ast.literal_eval(last)
    assert (mark["turn"], mark["lag"]) == (12, 0)


@pytest.mark.parametrize("name", ["mirror_node.py", "sync.py"])
def test_an_example_keeps_an_allergy_for_twelve_turns(
    name: str, endpoint: Endpoint, replies: Replies, tmp_path: Path
) -> None:
    output = run_program([str(EXAMPLES / name)], endpoint, tmp_path)

    check_twelve_turns(output, endpoint)


def test_a_remote_graph_keeps_an_allergy_for_twelve_turns(endpoint: Endpoint, replies: Replies, tmp_path: Path) -> None:
    with serving(endpoint) as url:
        leaks = ["-W", "ignore::ResourceWarning"]  # a RemoteGraph never closes its client
        output = run_program([*leaks, str(EXAMPLES / "remote_graph.py")], endpoint, tmp_path, MIRROR_URL=url)

    check_twelve_turns(output, endpoint)


def test_an_example_is_at_most_forty_lines() -> None:
    for path in EXAMPLES.glob("*.py"):
        assert len([line for line in path.read_text().splitlines() if line.strip()]) <= 40, path


HOSTED = ("django", "fastapi", "flask", "jupyter", "langmem", "own-graph")
"""The guides whose programs talk through MIRROR itself; tests/test_agent_guides.py runs those to agents."""

PROGRAMS = [
    pytest.param(program, id=f"{guide.stem}-{number}")
    for guide in (GUIDES / f"{name}.md" for name in HOSTED)
    for number, program in enumerate(re.findall(r"^```python\n(.*?)^```", guide.read_text(), re.DOTALL | re.MULTILINE))
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_each_program_of_a_guide_runs(program: str, endpoint: Endpoint, replies: Replies, tmp_path: Path) -> None:
    program = program.replace('"openai:gpt-4o-mini"', '"openai:test"')

    run_program(["-c", program], endpoint, tmp_path)

    assert prompts_of(endpoint.calls, "talker")


def test_each_example_is_typed_as_a_users_file(tmp_path: Path) -> None:
    for path in EXAMPLES.glob("*.py"):
        (tmp_path / path.name).write_text(path.read_text())

    checked = subprocess.run(
        [
            sys.executable,
            "-m",
            "mypy",
            "--strict",
            "--cache-dir",
            str(tmp_path),
            *sorted(map(str, tmp_path.glob("*.py"))),
        ],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert checked.returncode == 0, checked.stdout
