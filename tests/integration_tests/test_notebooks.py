"""The notebooks run from top to bottom, and are stored with the outputs that they have."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import nbformat
import pytest
from support.notebooks import NOTEBOOKS, execute, read

PUBLIC = {
    "langchain_voxtral": None,
    "langchain_voxtral.audio": ["Recording"],
    "langchain_voxtral.errors": None,
    "langchain_voxtral.local": None,
    "langchain_voxtral.prompts": ["PromptFormat"],
    "langchain_voxtral.ray": None,
}
"""What users import: all that a module offers, or some names of it."""
LINK = re.compile(r"\]\(([\w./-]+)")
MAX_BYTES = 1_000_000
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(notebook: nbformat.NotebookNode) -> list[list[str]]:
    """Return the kinds of outputs of each cell: the name of a stream, or the types of data."""
    return [
        [output.get("name") or " ".join(sorted(output.data)) for output in cell.outputs]
        for cell in code_cells(notebook)
    ]


def imports(notebook: nbformat.NotebookNode) -> Iterator[tuple[str, str]]:
    """Yield the modules of the package, and the names, that the cells import."""
    for cell in code_cells(notebook):
        for node in ast.walk(ast.parse(cell.source)):
            match node:
                case ast.Import(names=names):
                    yield from ((one.name, "*") for one in names)
                case ast.ImportFrom(module=str(module), names=names):
                    yield from ((module, one.name) for one in names)


@each_notebook
def test_a_fresh_run_shows_what_the_stored_one_does(path: Path) -> None:
    assert kinds(execute(path)) == kinds(read(path))


@each_notebook
def test_every_stored_cell_shows_something_and_nothing_goes_wrong(path: Path) -> None:
    shown = kinds(read(path))

    assert [] not in shown
    assert "stderr" not in {kind for cell in shown for kind in cell}
    assert [cell.execution_count for cell in code_cells(read(path))] == [*range(1, len(shown) + 1)]


@each_notebook
def test_nothing_is_stored_that_belongs_to_one_machine_or_run(path: Path) -> None:
    stored, text = read(path), path.read_text(encoding="utf-8")

    assert stored.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert {key for cell in stored.cells for key in cell.metadata} == set()
    assert re.findall(r"/(?:home|root|tmp|work|Users)/|\\r|127\.0\.0\.1", text) == []
    assert len(text) < MAX_BYTES


@each_notebook
def test_only_public_names_are_imported(path: Path) -> None:
    ours = [one for one in imports(read(path)) if one[0].startswith("langchain_voxtral")]

    assert ours != []
    for module, name in ours:
        assert module in PUBLIC
        assert name in (PUBLIC[module] or import_module(module).__all__)


@each_notebook
def test_each_notebook_links_to_the_others_and_to_documents(path: Path) -> None:
    links = set(LINK.findall("".join(c.source for c in read(path).cells if c.cell_type != "code")))

    assert {other.name for other in NOTEBOOKS} - {path.name} - links == set()
    assert any(link.startswith("../docs/") for link in links)
    assert {link for link in links if not (path.parent / link).exists()} == set()


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("audio", "text/html"),
        ("audio", "image/png"),
        ("datasets", "image/png"),
        ("observability", "image/png"),
        ("recordings_by_reference", "image/png"),
    ],
)
def test_players_and_charts_are_stored(name: str, kind: str) -> None:
    [stored] = [read(path) for path in NOTEBOOKS if path.stem == name]

    assert kind in " ".join(kind for cell in kinds(stored) for kind in cell)
