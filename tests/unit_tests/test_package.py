"""What is published: links that work on a package index, and a complete source archive."""

import re
import subprocess
import sys
import tarfile
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ADDRESS = "https://example.com/owner/langchain-voxtral"
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture
def build_hook() -> ModuleType:
    spec = spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def metadata_with(hook: ModuleType, repository: str) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    hook.LinkHook(str(ROOT), {"repository": repository}).update(metadata)
    return metadata


def run(*command: str | Path) -> str:
    return subprocess.run(  # noqa: S603 - commands of this file
        command, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout


def test_on_a_package_index_all_links_of_the_readme_lead_to_files_of_the_repository(
    build_hook: ModuleType,
) -> None:
    readme = metadata_with(build_hook, f"{ADDRESS}/")["readme"]["text"]

    links = LINK.findall(readme)
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    own = [link.removeprefix(ADDRESS) for link in links if link.startswith(ADDRESS)]
    paths = [link.split("/main/", 1)[1].partition("#")[0] for link in own if "/main/" in link]
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_links_of_the_project_are_made_of_one_address(build_hook: ModuleType) -> None:
    assert metadata_with(build_hook, ADDRESS)["urls"] == {
        "Homepage": ADDRESS,
        "Documentation": f"{ADDRESS}/tree/main/docs",
        "Repository": ADDRESS,
        "Issues": f"{ADDRESS}/issues",
        "Changelog": f"{ADDRESS}/blob/main/CHANGELOG.md",
    }


def test_without_an_address_the_readme_stays_as_it_is(build_hook: ModuleType) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")

    assert metadata_with(build_hook, "") == {
        "readme": {"content-type": "text/markdown", "text": text},
        "urls": {},
    }


def test_pictures_are_linked_as_files_and_addresses_are_left_alone(build_hook: ModuleType) -> None:
    text = "[a](docs/a.md#b) ![c](d.svg) [e](https://f.example/g) [h](#i)"

    assert build_hook.absolute_links(text, ADDRESS) == (
        f"[a]({ADDRESS}/blob/main/docs/a.md#b) ![c]({ADDRESS}/raw/main/d.svg) "
        "[e](https://f.example/g) [h](#i)"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[![b](b.svg)](a.md)", "[![b]({0}/raw/main/b.svg)]({0}/blob/main/a.md)"),
        ('[x](a.md "Title")', '[x]({0}/blob/main/a.md "Title")'),
        ("[x](a_(1).md)", "[x]({0}/blob/main/a_(1).md)"),
        ("[`x[0]`](a.md)", "[`x[0]`]({0}/blob/main/a.md)"),
        ("[x][r]\n\n[r]: a.md\n", "[x][r]\n\n[r]: {0}/blob/main/a.md\n"),
        ("[x](//h.example/y) [z](ftp://h.example)", None),
        ("call `handlers[0](event)`", None),
        ("```python\nhandlers[0](event)\n```\n", None),
    ],
)
def test_links_of_all_forms_get_an_address_and_code_none(
    build_hook: ModuleType, text: str, shown: str | None
) -> None:
    expected = text if shown is None else shown.format(ADDRESS)
    assert build_hook.absolute_links(text, ADDRESS) == expected


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="what belongs to it is read from git")
def test_the_source_archive_has_every_file_of_the_repository(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--directory", tmp_path)
    [archive] = tmp_path.iterdir()
    with tarfile.open(archive) as tar:
        packed = {name.partition("/")[2] for name in tar.getnames()}

    listed = run("git", "ls-files", "-z").split("\0")
    tracked = {name for name in listed if name and (ROOT / name).exists()}
    assert tracked - packed == set()
