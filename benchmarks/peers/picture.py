"""The processor time of each row as a picture: a dot for each client."""

from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.peers.clients import FAST, OURS, REFERENCE
from benchmarks.peers.measure import Results

_STYLES = {
    "core alone": {"marker": "|", "color": "0.35", "s": 90},
    "ChatDeepInfra": {"marker": "s", "color": "#E69F00", "s": 34},
    "ChatMistralAI": {"marker": "^", "color": "#009E73", "s": 40},
    OURS: {"marker": "o", "color": "#0072B2", "s": 110},
    FAST: {"marker": "D", "color": "#D55E00", "s": 80},
}
"""Okabe and Ito's colours, which colour-blind people tell apart; later ones are drawn above."""
_LABELS = {"core alone": "langchain-core alone"}


def draw(results: Results, rows: list[str], path: Path) -> None:
    """Draw each client's share of the reference's processor time."""
    mpl.rcParams["svg.fonttype"] = "none"
    mpl.rcParams["svg.hashsalt"] = "peers"
    figure, axes = plt.subplots(figsize=(9, 0.33 * len(rows) + 1.6))
    axes.hlines(range(len(rows)), 0, 1, color="0.9", zorder=0)
    for client, style in _STYLES.items():
        points = [
            (share, at)
            for at, row in enumerate(rows)
            if (share := results.share(row, client)) is not None
        ]
        if points:
            axes.scatter(*zip(*points, strict=True), label=_LABELS.get(client, client), **style)
    axes.axvline(1, color="0.35", linewidth=1)
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel(f"processor time; {REFERENCE} = 1, less is better")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles[::-1], labels[::-1], loc="upper center", ncols=5, frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 0.95))
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(figure)
