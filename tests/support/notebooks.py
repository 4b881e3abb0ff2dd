"""The notebooks: as they are stored, and executed afresh."""

import re
from pathlib import Path

import nbformat
from nbclient import NotebookClient

_NOISE = re.compile(r"core_worker\.cc|ipywidgets|autonotebook")
"""What Ray prints whatever its settings are: about its actors, and about a package of widgets."""
NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


def read(path: Path) -> nbformat.NotebookNode:
    """Return a notebook as it is stored."""
    notebook: nbformat.NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    return notebook


def execute(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with fresh outputs, without what differs from one machine to another."""
    notebook = read(path)
    NotebookClient(
        notebook,
        timeout=120,
        resources={"metadata": {"path": path.parent}},
        coalesce_streams=True,
        record_timing=False,
        store_widget_state=False,
    ).execute()
    for cell in notebook.cells:
        cell.outputs = [one for one in cell.get("outputs", []) if not _is_noise(one)]
    notebook.metadata.language_info = {"name": "python"}  # without the version of this Python
    return notebook


def _is_noise(output: nbformat.NotebookNode) -> bool:
    lines = output.get("text", "").splitlines()
    return output.get("name") == "stderr" and all(map(_NOISE.search, lines))
