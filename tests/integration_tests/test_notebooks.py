"""The notebooks run from top to bottom."""

from base64 import b64decode
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


def pictures(name: str, kind: str) -> list[str]:
    [path] = [path for path in NOTEBOOKS if path.stem == name]
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return [output.data[kind] for output in outputs if kind in output.get("data", {})]


def test_the_player_of_a_recording_is_stored_in_the_notebook() -> None:
    [picture] = pictures("audio", "image/svg+xml")

    assert picture.count("<title>") > 3


def test_the_charts_of_runs_are_stored_in_the_notebook() -> None:
    charts = [b64decode(picture) for picture in pictures("observability", "image/png")]

    assert [chart[:8] for chart in charts] == [b"\x89PNG\r\n\x1a\n"] * 2
