"""The site shows files of the repository where they stand, and the links between them as they are.

On GitHub a page of `docs/` links to `../notebooks/agent.ipynb`. On the site the notebook is the
page `notebooks/agent`, and the links lead there: nothing is copied, and no link is written twice.
"""

import posixpath
import re
from html import escape
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
SHOWN = (
    "notebooks/*.ipynb",
    "benchmarks/*.md",
    "benchmarks/results/*",
    "cassettes/README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
)
"""What the site shows of files outside `docs/`, each at its path in the repository."""
FIGURES = "<!-- figures -->"
"""Where the site shows the table of the benchmarks, for which GitHub has the link beside it."""
MARKDOWN_LINK = re.compile(r"(\]\()([\w./-]+)")
"""A link to a file, without its anchor."""
NOTEBOOK_LINK = re.compile(r'(href=")([\w./-]+\.(?:md|ipynb))')
"""The same in the HTML of a notebook, which mkdocs does not look at."""

LEAD = re.compile(r"# .*\n+((?!```|[#<|!>])\S.*(?:\n.+)*)")
"""The first paragraph of a page, below its title."""


@event_priority(100)  # before mkdocs-jupyter, which looks for notebooks
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that stand outside `docs/`."""
    for path in sorted(path for pattern in SHOWN for path in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Rewrite the links of a page, and describe it by its first sentences."""
    if lead := LEAD.match(markdown):
        page.meta.setdefault("description", _plain(lead[1]))
    start = posixpath.dirname(page.file.src_uri) or "."

    def rewrite(link: re.Match[str]) -> str:
        return link[1] + posixpath.relpath(_site_path(page, link[2]), start)

    return MARKDOWN_LINK.sub(rewrite, markdown.replace(FIGURES, _figures()))


def on_page_content(html: str, *, page: Page, files: Files, **_: object) -> str:
    """Rewrite the links of a notebook."""
    if not page.file.src_uri.endswith(".ipynb"):
        return html

    def rewrite(link: re.Match[str]) -> str:
        target = files.get_file_from_path(_site_path(page, link[2]))
        if target is None:
            raise PluginError(f"{page.file.src_uri} links to {link[2]}, which the site has not.")
        return link[1] + target.url_relative_to(page.file)

    return NOTEBOOK_LINK.sub(rewrite, html)


def _site_path(page: Page, target: str) -> str:
    """Return the path on the site of what a page links to in the repository."""
    source = page.file.src_uri
    in_repository = f"docs/{source}" if (ROOT / "docs" / source).exists() else source
    path = posixpath.normpath(posixpath.join(posixpath.dirname(in_repository), target))
    return path.removeprefix("docs/")


def _plain(markdown: str) -> str:
    """Return a paragraph as one line of an HTML attribute."""
    return escape(re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", " ".join(markdown.split())))


def _figures() -> str:
    """Return the processor time of the clients, from the results of the benchmarks."""
    results = (ROOT / "benchmarks/results/peers.md").read_text(encoding="utf-8")
    table = [line.split("|") for line in results.splitlines() if line.startswith("|")]
    end = next(number for number, row in enumerate(table[1:], 1) if row[1].isspace())
    shown = [
        number
        for number, name in enumerate(table[0])
        if name.isspace() or (name.strip().startswith("Chat") and "[" not in name)
    ]
    return "\n".join(f"| {' | '.join(row[number] for number in shown)} |" for row in table[:end])
