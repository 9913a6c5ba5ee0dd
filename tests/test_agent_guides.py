"""The guides to agents are true: the programs in them run as they stand."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

GUIDES = Path(__file__).parents[1] / "docs" / "guides"

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]


def programs(guide: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (GUIDES / f"{guide}.md").read_text(), re.DOTALL | re.MULTILINE)


def run(program: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=folder, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_guide_to_the_middleware(tmp_path: Path) -> None:
    [program] = programs("middleware")

    output = run(program, tmp_path)

    assert output.startswith("True ")
    assert "This call was not made" in output
    assert "is on its way" not in output


@pytest.mark.parametrize("guide", ["deepagents", "supervisor"])
def test_the_guides_to_other_agents(guide: str, tmp_path: Path) -> None:
    [program] = programs(guide)

    output = run(program, tmp_path)

    assert output.startswith("The satay is lovely.")
    assert "I'm severely allergic to peanuts" in output


def test_the_guide_to_mcp(tmp_path: Path) -> None:
    server, program = programs("mcp")
    (tmp_path / "menu_server.py").write_text(server)

    output = run(program, tmp_path)

    assert "serves chicken satay" in output
    assert "This call was not made" in output
    assert "refused" in output
    assert "is on its way" not in output


@pytest.mark.parametrize("guide", ["middleware", "deepagents", "supervisor", "mcp"])
def test_no_program_of_a_guide_is_long(guide: str) -> None:
    assert max(len([line for line in program.splitlines() if line]) for program in programs(guide)) <= 35
