"""The figures as a table, and as a picture."""

import platform
from importlib.metadata import version
from pathlib import Path

from benchmarks.peers.clients import CLIENTS, OURS, REFERENCE

Figures = dict[str, dict[str, float]]
"""Figures by row and client."""

_PACKAGES = (
    "langchain-voxtral",
    "langchain-core",
    "langchain-openai",
    "langchain-mistralai",
    "langchain-community",
    "httpx",
    "aiohttp",
)


def machine() -> dict[str, str]:
    """Return what the figures were measured on."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        **{name: version(name) for name in _PACKAGES},
    }


def to_markdown(figures: Figures) -> str:
    """Return a table of figures, and in brackets shares of the reference's."""
    lines = ["| | " + " | ".join(CLIENTS) + " |", "|---|" + "--:|" * len(CLIENTS)]
    for row, by_client in figures.items():
        cells = [_cell(by_client, client) for client in CLIENTS]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    lines.append("")
    lines.append(", ".join(f"{name} {value}" for name, value in machine().items()))
    return "\n".join(lines)


def _cell(by_client: dict[str, float], client: str) -> str:
    if client not in by_client:
        return ""
    figure, reference = by_client[client], by_client.get(REFERENCE)
    digits = 0 if figure >= 100 else 1  # noqa: PLR2004 - three digits are enough
    share = f" ({figure / reference:.2f})" if reference else ""
    return f"{figure:,.{digits}f}{share}"


def plot(figures: Figures, path: Path) -> None:
    """Draw each client's share of the reference's processor time."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - not for those who want no picture

    rows = [row for row in figures if "us/" in row and REFERENCE in figures[row]]
    clients = [client for client in CLIENTS if client.startswith("Chat")]
    figure, axes = plt.subplots(figsize=(8, 0.5 * len(rows) + 1.5))
    height = 0.8 / len(clients)
    for number, client in enumerate(clients):
        shares = [figures[row].get(client, 0) / figures[row][REFERENCE] for row in rows]
        places = [at + number * height for at in range(len(rows))]
        axes.barh(places, shares, height, label=client, zorder=3 if client == OURS else 2)
    axes.set_yticks([at + 0.4 - height / 2 for at in range(len(rows))], rows)
    axes.invert_yaxis()
    axes.set_xlabel(f"time, as a share of {REFERENCE}'s")
    axes.grid(axis="x", alpha=0.4)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path)
