"""The notebook runs from top to bottom in a real kernel, and shows what its text promises."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parents[2] / "docs" / "notebook" / "mirror.ipynb"

pytestmark = [pytest.mark.enable_socket, pytest.mark.filterwarnings("ignore")]  # the kernel's client warns by itself


def test_the_notebook_runs_and_shows_the_mind_and_the_note(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(tmp_path)}}).execute()

    printed = "".join(
        output.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs
    )
    assert "reasoning: " in printed
    assert "life-threatening allergy shellfish - " in printed
    assert "Please note: you told me" in printed
    assert "+ They are allergic to shellfish" in printed


def test_the_notebook_is_stored_without_output() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert [
        cell for cell in notebook.cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)
    ] == []
