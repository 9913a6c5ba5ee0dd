"""Each box that the graphs draw is a file of its name in `nodes/`."""

from pathlib import Path

import pytest

from mirror_graph import build_mirror, build_recommend, build_talker, build_thinker
from mirror_graph.graphs.forget import build_forget

ROOT = Path(__file__).parents[1]
THINKERS = {"goals", "reasoning", "own"}
"""Boxes that are instances of one node, `Thinker`; `own` is every thinker that a context describes itself."""

GRAPHS = {
    "forget": build_forget,
    "mirror": build_mirror,
    "recommend": build_recommend,
    "talker": build_talker,
    "thinker": build_thinker,
}


def boxes(graph: str) -> set[str]:
    drawn = GRAPHS[graph]().compile().get_graph().nodes
    return {name for name in drawn if not name.startswith("__")}


@pytest.mark.parametrize("graph", GRAPHS)
def test_each_drawn_box_has_a_file_of_its_name(graph: str) -> None:
    files = {path.stem for path in (ROOT / "nodes").glob("*.py")}
    expected = {"thinker" if name in THINKERS else name for name in boxes(graph)}
    assert expected - files == set()


def test_nodes_holds_no_file_without_a_box_but_two_that_boxes_share() -> None:
    files = {path.stem for path in (ROOT / "nodes").glob("*.py")} - {"__init__", "failures", "turn"}
    drawn = {"thinker" if name in THINKERS else name for graph in GRAPHS for name in boxes(graph)}
    assert files == drawn
