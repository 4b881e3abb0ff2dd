"""The notebooks run from top to bottom."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_every_cell_shows_something(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]

    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": path.parent}}).execute()

    silent = [
        cell.source for cell in notebook.cells if cell.cell_type == "code" and not cell.outputs
    ]
    assert silent == []


def test_the_player_of_a_recording_is_stored_in_the_notebook() -> None:
    [path] = [path for path in NOTEBOOKS if path.stem == "audio"]
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]

    [picture] = [output.data["image/svg+xml"] for output in outputs]
    assert picture.count("<title>") > 3
