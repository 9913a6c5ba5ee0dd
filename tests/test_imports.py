"""Rooms import upwards only, and the command line starts without loading LangGraph."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

SHOW_HELP = """
import sys
from mirror_graph.cli import main

sys.argv = ["mirror", "--help"]
try:
    main()
finally:
    slow_to_load = {"langchain_core", "langchain_openai", "langgraph", "langsmith", "openai"}
    print(*sorted(slow_to_load & set(sys.modules)), file=sys.stderr)
"""


def test_rooms_import_upwards_only() -> None:
    lint_imports = Path(sys.executable).with_name("lint-imports")
    finished = subprocess.run([lint_imports, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stdout + finished.stderr


def test_showing_help_loads_neither_langgraph_nor_langchain() -> None:
    finished = subprocess.run([sys.executable, "-c", SHOW_HELP], cwd=ROOT, capture_output=True, text=True)
    assert (finished.returncode, finished.stderr.strip()) == (0, "")
    assert "Usage" in finished.stdout
