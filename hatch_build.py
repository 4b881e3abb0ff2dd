"""Metadata that depends on where the repository is: links of the project and of its README."""

import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

_CODE = re.compile(
    r"^ {0,3}(```+|~~~+).*?(?:^ {0,3}\1|\Z)|(?<!`)(`+)(?!`).+?(?<!`)\2(?!`)",
    re.MULTILINE | re.DOTALL,
)
_LINK = re.compile(
    r"""(\]\([ ]*<?                             # [text](target), ![text](target "title")
    |^[ ]{0,3}\[[^]\n]+\]:[ ]*<?)               # [name]: target
    (?![a-z][a-z0-9+.-]*:|//|\#)([^\s<>]+?)     # no address, no anchor
    (?=[)>\s]|\Z)""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_PICTURES = (".gif", ".jpeg", ".jpg", ".png", ".svg", ".webp")
_PAGES = {
    "Homepage": "",
    "Documentation": "/tree/main/docs",
    "Repository": "",
    "Issues": "/issues",
    "Changelog": "/blob/main/CHANGELOG.md",
}


class LinkHook(MetadataHookInterface):
    """Set the project's links, and make those of the README absolute, for package indexes.

    The address stands in one place, `tool.hatch.metadata.hooks.custom.repository` of
    `pyproject.toml`. While it is empty there are no links of the project, and those of the README
    stay as they are.
    """

    def update(self, metadata: dict[str, Any]) -> None:
        """Add `readme` and `urls`."""
        repository = str(self.config["repository"]).rstrip("/")
        readme = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        pages = _PAGES if repository else {}
        metadata["urls"] = {name: repository + page for name, page in pages.items()}
        if repository:
            readme = absolute_links(readme, repository)
        metadata["readme"] = {"content-type": "text/markdown", "text": readme}


def absolute_links(markdown: str, repository: str) -> str:
    """Return a text whose relative links and pictures have an address; code stays as it is."""

    def replace(link: re.Match[str]) -> str:
        kind = "raw" if link[2].lower().endswith(_PICTURES) else "blob"
        return f"{link[1]}{repository}/{kind}/main/{link[2]}"

    parts, end = [], 0
    for code in _CODE.finditer(markdown):
        parts += [_LINK.sub(replace, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, _LINK.sub(replace, markdown[end:])])
