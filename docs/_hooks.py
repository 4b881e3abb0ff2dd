"""The site shows files of the repository where they stand, and the links between them as they are.

On GitHub a page of `docs/` links to `../notebooks/agent.ipynb`. On the site the notebook is the
page `notebooks/agent`, and the links lead there: nothing is copied, and no link is written twice.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
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
LINK = re.compile(r"(\]\()([\w./-]+)")
"""The target of a Markdown link to a file, without its anchor."""


@event_priority(100)  # before mkdocs-jupyter, which looks for notebooks
def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the files that stand outside `docs/`."""
    for path in sorted(path for pattern in SHOWN for path in ROOT.glob(pattern)):
        name = path.relative_to(ROOT).as_posix()
        files.append(File(name, str(ROOT), config.site_dir, config.use_directory_urls))
    return files


def on_page_markdown(markdown: str, *, page: Page, **_: object) -> str:
    """Rewrite the links between pages, which are relative in the repository."""
    source = page.file.src_uri
    in_docs = (ROOT / "docs" / source).exists()
    folder = posixpath.dirname(f"docs/{source}" if in_docs else source)

    def rewrite(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(folder, link[2])).removeprefix("docs/")
        return link[1] + posixpath.relpath(target, posixpath.dirname(source) or ".")

    return LINK.sub(rewrite, markdown.replace(FIGURES, _figures()))


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
