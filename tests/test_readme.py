"""The README is true: its programs run, its graph is the graph, its commands exist, its links lead somewhere."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from mirror_graph import MirrorContext, build_mirror
from mirror_graph.state import reducers
from mirror_graph.state.context import Thinking

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    return [block for name, block in BLOCKS if name == language]


@pytest.mark.parametrize("program", blocks("python"), ids=lambda program: program.splitlines()[-1])
def test_each_program_runs_as_it_stands(program: str, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    if "open_mirror" in program:
        assert "shellfish" in done.stdout
    if "scan" in program:
        assert done.stdout.splitlines() == ["life-threatening allergy peanuts user", "serious phobia dogs my sister"]


def test_the_graph_is_drawn_as_it_is() -> None:
    [drawn] = blocks("mermaid")
    assert drawn.strip() == build_mirror().compile().get_graph().draw_mermaid(with_styles=False).strip()


def test_each_command_exists() -> None:
    for line in "".join(blocks("bash")).splitlines():
        words = line.partition("#")[0].split()
        match words:
            case ["make", target]:
                assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            case ["mirror", command, *options]:
                told = subprocess.run(
                    [sys.executable, "-c", "from mirror_graph.cli import main; main()", command, "--help"],
                    capture_output=True,
                    text=True,
                    timeout=60,
                    env={"COLUMNS": "200", "NO_COLOR": "1", "PATH": ""},
                ).stdout
                assert all(option in told for option in options if option.startswith("--"))
            case ["export", *settings]:
                assert all("=" in setting for setting in settings)
            case _:
                pytest.fail(f"no test knows {line!r}")


def test_each_way_of_thinking_and_each_bound_is_told() -> None:
    for thinking in Thinking.__args__:  # type: ignore[attr-defined]  # a Literal
        assert f"| `{thinking}` |" in README
    context = MirrorContext()
    for told in (
        f"| {context.narrative_tokens} | {reducers.NARRATIVE_LIMIT:,} |",
        f"| {context.monologue_tokens:,} | {reducers.MONOLOGUE_LIMIT:,} |",
        f"| {context.window_tokens:,} | {reducers.MESSAGES_LIMIT // 2:,} |",
    ):
        assert told in README


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *ROOT.glob("[AC]*.md")], ids=str
)
def test_each_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
