"""Documents name what exists: examples, paths, and all that is public."""

import ast
import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from textwrap import dedent

import pytest
from langchain_core import exceptions
from langchain_core.language_models import BaseChatModel

import langchain_voxtral
from langchain_voxtral import (
    ChatVoxtral,
    VoxtralLLM,
    VoxtralTranscriptionParser,
    errors,
    local,
)
from langchain_voxtral.option_names import FIELD_ALIASES
from langchain_voxtral.protocol.error_table import BY_STATUS, IN_BODY
from langchain_voxtral.ray import __all__ as names_of_ray
from langchain_voxtral.transport.retry import RETRYABLE_STATUS

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^ *```python\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
FILES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "langchain_voxtral").rglob("*.py")),
]
EXAMPLES = {
    f"{path.relative_to(ROOT)}-{number}": dedent(code).replace(r"\"", '"')
    for path in FILES
    for number, code in enumerate(BLOCK.findall(path.read_text(encoding="utf-8")))
}
PUBLIC = {
    *(f"langchain_voxtral.{name}" for name in langchain_voxtral.__all__ if name != "__version__"),
    *(f"langchain_voxtral.ray.{name}" for name in names_of_ray),
    *(f"langchain_voxtral.local.{name}" for name in {*local.__all__} - {*errors.__all__}),
    "langchain_voxtral.audio.Recording",
    "langchain_voxtral.errors",  # all that it exports
    "langchain_voxtral.prompts.PromptFormat",
}
HAVE_SETTINGS_OF_THE_PARSER = {"VoxtralTranscriptionLoader", "VoxtralTranscriber"}


def settings_of(name: str) -> set[str]:
    named = {*inspect.signature(getattr(langchain_voxtral, name)).parameters}
    if name in HAVE_SETTINGS_OF_THE_PARSER:
        named |= settings_of("VoxtralTranscriptionParser")
    return named


def keywords(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield the keywords in calls of what is public, each after the name that is called."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in langchain_voxtral.__all__:
                yield from ((name, keyword.arg) for keyword in node.keywords if keyword.arg)


@pytest.mark.parametrize("example", EXAMPLES.values(), ids=EXAMPLES)
def test_what_an_example_imports_and_passes_exists(example: str) -> None:
    tree = ast.parse(example)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("langchain_voxtral"):
            module = import_module(str(node.module))
            assert [one.name for one in node.names if not hasattr(module, one.name)] == []
    assert [keyword for name, keyword in keywords(tree) if keyword not in settings_of(name)] == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_the_reference_shows_each_public_name_once() -> None:
    pages = sorted((ROOT / "docs" / "reference").glob("*.md"))
    shown = re.findall(r"^::: (\S+)$", "\n".join(map(Path.read_text, pages)), re.MULTILINE)
    assert sorted(shown) == sorted(PUBLIC)


def rows(path: Path, *, columns: int) -> list[list[str]]:
    """Return the cells of the tables of a page that have this many columns, without backquotes."""
    lines = re.findall(r"^\| (.*) \|$", path.read_text(encoding="utf-8"), re.MULTILINE)
    cells = [line.replace("`", "").split(" | ") for line in lines if not line.startswith("---")]
    return [row for row in cells if len(row) == columns]


def test_the_table_of_errors_tells_each_class_and_status_as_the_code_has_it() -> None:
    _, *table = [
        [row[0], *row[1].split("<br>"), row[2]]
        for row in rows(ROOT / "docs" / "errors.md", columns=4)
    ]
    classes = {name for name in errors.__all__ if name.startswith("Voxtral")} - {"VoxtralError"}
    assert {row[1] for row in table} == classes
    statuses = {}
    for situation, name, base, retried in table:
        assert issubclass(getattr(errors, name), getattr(exceptions, base)), name
        for status in map(int, re.findall(r"\b\d{3}\b", situation)):
            statuses[status] = name
            assert (status in RETRYABLE_STATUS) == (retried == "yes"), status
    assert statuses == {
        status: case.error_class.__name__ for status, case in BY_STATUS.items() if status != IN_BODY
    }


def test_the_tables_of_settings_have_each_setting_with_its_default() -> None:
    fields = [
        (name, default if default != {} else None)
        for model in (ChatVoxtral, VoxtralLLM, VoxtralTranscriptionParser)
        for name, field in model.model_fields.items()
        if name not in BaseChatModel.model_fields
        for default in [field.get_default(call_default_factory=True)]
    ]
    table = [row for row in rows(ROOT / "docs" / "settings.md", columns=3) if row[0] != "setting"]
    assert {name for name, *_ in table} == {name for name, _ in fields}
    for name, default, _ in table:
        is_literal = re.fullmatch(r"\".*\"|[\d.]+|True|False", default)
        value = ast.literal_eval(default) if is_literal else None  # None: the table has words
        assert (name, value) in fields or name == "model", name


def test_the_table_of_environment_variables_has_all_that_the_code_reads() -> None:
    code = [path for path in FILES if path.suffix == ".py" and path.name != "__init__.py"]
    name = re.compile(r'"((?:VOXTRAL|DEEPINFRA|MISTRAL|OPENROUTER)_[A-Z_]+)"')
    read = {each for path in code for each in name.findall(path.read_text(encoding="utf-8"))}
    table = rows(ROOT / "docs" / "settings.md", columns=2)
    listed = {each for row in table for each in row[0].split(", ") if each.isupper()}
    assert {each for each in listed if "PROXY" not in each} == read


def test_the_table_of_other_names_has_all_that_are_accepted() -> None:
    table = rows(ROOT / "docs" / "settings.md", columns=2)
    meant = {each: row[1].partition(",")[0] for row in table for each in row[0].split(", ")}
    heads = {"name", "variable"}
    listed = {each: meant[each] for each in meant if each.islower() and each not in heads}
    assert listed == FIELD_ALIASES


def test_contributing_names_paths_that_exist_and_every_part_of_the_package() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[\w.]+/)*[\w.]+(?:\.py|\.md|/))`", text))
    folders = ("langchain_voxtral", "tests", "benchmarks", "cassettes", "docs", "notebooks")
    paths = [f"/{path.relative_to(ROOT)}" for name in folders for path in (ROOT / name).rglob("*")]
    paths += [f"/{name}" for name in (*folders, *(path.name for path in ROOT.glob("*.py")))]
    missing = {name for name in named if not any(p.endswith(f"/{name.rstrip('/')}") for p in paths)}
    assert missing == set()
    package = (ROOT / "langchain_voxtral").iterdir()
    parts = {f"{path.name}/" if path.is_dir() else path.name for path in package}
    assert {part for part in parts if not part.startswith("_")} - named - {"py.typed"} == set()
