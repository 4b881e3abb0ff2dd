"""The targets: what a token and a call may cost, most of them as shares of ChatOpenAI's figures."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.peers.clients import PEERS
from benchmarks.peers.measure import Results
from benchmarks.peers.rows import PACED

Measure = Callable[[Results, str], float | None]
"""Returns the figure of a client; None if it was not measured."""


@dataclass(frozen=True)
class Target:
    """A figure and its upper limits.

    Args:
        name: What is limited.
        measure: Returns the figure.
        default: The limit with the default dependencies.
        fast: The limit with the extra `fast`.
    """

    name: str
    measure: Measure
    default: float | None
    fast: float | None = None


def _share(row: str) -> Measure:
    return lambda results, ours: results.share(row, ours)


def _above(row: str, metric: str, floor: str) -> Measure:
    """Return how far a figure is above a floor's, in the metric's unit."""

    def measure(results: Results, ours: str) -> float | None:
        figure, other = results.median(row, ours, metric), results.median(row, floor, metric)
        return None if figure is None or other is None else figure - other

    return measure


def _growth(results: Results, ours: str) -> float | None:
    short = results.median("stream of 2,000 tokens", ours)
    long = results.median("stream of 20,000 tokens", ours)
    return long / short if short and long else None


def _surcharge(row: str) -> Measure:
    """Return what a feature adds to a plain stream, as a share of what it adds to core's."""

    def measure(results: Results, ours: str) -> float | None:
        added = []
        for client in (ours, "core alone"):
            plain, figure = results.median("burst, stream", client), results.median(row, client)
            if plain is None or figure is None:
                return None
            added.append(figure - plain)
        return added[0] / added[1]

    return measure


def _worst_against(*peers: str) -> Measure:
    def measure(results: Results, ours: str) -> float | None:
        ratios = [ratio for ratio, _, _ in compare(results, ours, peers)]
        return max(ratios) if ratios else None

    return measure


def compare(results: Results, ours: str, peers: tuple[str, ...]) -> list[tuple[float, str, str]]:
    """Return each row's ratio to each peer, worst first."""
    ratios = [
        (ratio, row, peer)
        for row, metric in results.headlines.items()
        for peer in peers
        if (ratio := results.share(row, ours, metric, peer)) is not None
    ]
    return sorted(ratios, reverse=True)


TARGETS = (
    Target("burst, stream", _share("burst, stream"), 0.13),
    Target("burst, astream", _share("burst, astream"), 0.12, 0.05),
    Target(f"{PACED}, stream", _share(f"{PACED}, stream"), 0.32),
    Target(f"{PACED}, astream", _share(f"{PACED}, astream"), 0.42, 0.24),
    Target("invoke", _share("invoke"), 0.43),
    Target("ainvoke", _share("ainvoke"), 0.52, 0.40),
    Target("abatch of 32", _share("abatch of 32"), 0.60),
    Target("32 streams at once", _share("streams at once: 32"), 0.25, 0.08),
    Target(
        "first token, stream: ms above httpx alone",
        _above("first token, stream", "p50_ms", "httpx alone"),
        0.7,
        0.7,
    ),
    Target(
        "first token, astream: ms above httpx alone",
        _above("first token, astream", "p50_ms", "httpx alone"),
        0.7,
        0.7,
    ),
    Target("a token of 20,000 / of 2,000", _growth, 1.3, 1.3),
    Target(  # a full collection of what was imported before falls into one import or the next
        "import: ms above langchain-core's, without garbage collection",
        _above("import", "import_without_gc_ms", "core alone"),
        100,
        100,
    ),
    Target(
        "construction, us",
        lambda results, ours: results.median("construction", ours, "construction_us"),
        40,
        40,
    ),
    *(
        Target(f"{row}: added cost / core's own", _surcharge(row), 1.0, 1.0)
        for row in (
            "stream with a callback",
            "stream with a tracer",
            "stream of v1 content",
            "stream of v3 events",
        )
    ),
    Target("worst row / ChatMistralAI", _worst_against("ChatMistralAI"), 1.0),
    Target("worst row / cheapest peer", _worst_against(*PEERS), None, 1.0),
)
