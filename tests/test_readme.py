"""The README is true: its programs run, its graph is the graph, its commands exist, its links lead somewhere."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mirror_graph import MirrorContext, build_mirror
from mirror_graph.cli.app import app
from mirror_graph.state import reducers
from mirror_graph.state.context import Thinking

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    return [block for name, block in BLOCKS if name == language]


RUN_EACH = """
import contextlib, io, json, sys
shown = []
for program in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(program, {"__name__": "__main__"})
    shown.append(out.getvalue())
print(json.dumps(shown))
"""
"""Runs the programs in one process, each in a namespace of its own, since each process imports LangGraph again."""


def test_each_program_runs_as_it_stands(tmp_path: Path) -> None:
    programs = blocks("python")
    command = [sys.executable, "-c", RUN_EACH, json.dumps(programs)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    for program, shown in zip(programs, json.loads(done.stdout), strict=True):
        if "open_mirror" in program:
            assert "shellfish" in shown
        if "scan" in program:
            assert shown.splitlines() == ["life-threatening allergy peanuts user", "serious phobia dogs my sister"]


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
                shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "NO_COLOR": "1"}).output
                assert all(option in shown for option in options if option.startswith("--"))
            case ["export", *settings]:
                assert all("=" in setting for setting in settings)
            case _:
                pytest.fail(f"no test knows {line!r}")


def test_the_readme_lists_each_way_of_thinking_and_each_bound() -> None:
    for thinking in Thinking.__args__:  # type: ignore[attr-defined]  # a Literal
        assert f"| `{thinking}` |" in README
    context = MirrorContext()
    for shown in (
        f"| {context.narrative_tokens} | {reducers.NARRATIVE_LIMIT:,} |",
        f"| {context.monologue_tokens:,} | {reducers.MONOLOGUE_LIMIT:,} |",
        f"| {context.window_tokens:,} | {reducers.MESSAGES_LIMIT // 2:,} |",
    ):
        assert shown in README


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), *ROOT.glob("[AC]*.md")], ids=str
)
def test_each_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target
