"""Measures the rows in turns, and keeps what was measured."""

import gc
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import replace
from typing import Any

from benchmarks.peers.clients import CLIENTS, REFERENCE, choose_transport
from benchmarks.peers.rows import Row
from benchmarks.peers.server import WORD, prompt

Figures = dict[str, float]
"""Figures of one measurement by metric: microseconds of `cpu` and `wall` time for each token or
call, milliseconds `p50_ms` and `p99_ms` of single calls, and the `reads` for each token."""


class Results:
    """What was measured, by row and client, a figure for each round and metric."""

    def __init__(self) -> None:
        self.rounds: dict[str, dict[str, list[Figures]]] = defaultdict(lambda: defaultdict(list))
        self.units: dict[str, str] = {}
        self.headlines: dict[str, str] = {}
        """The metric of each row that clients are compared by."""

    def describe(self, rows: list[Row]) -> None:
        """Keep what the report says about rows."""
        self.units |= {row.name: row.unit for row in rows}
        self.headlines |= {row.name: row.headline for row in rows}

    def figures(self, row: str, client: str, metric: str) -> list[float]:
        """Return the figure of each round."""
        rounds = self.rounds.get(row, {}).get(client, ())
        return [figures[metric] for figures in rounds if metric in figures]

    def median(self, row: str, client: str, metric: str = "cpu") -> float | None:
        """Return the median of the rounds; None if there are none."""
        figures = self.figures(row, client, metric)
        return statistics.median(figures) if figures else None

    def share(
        self, row: str, client: str, metric: str = "cpu", of: str = REFERENCE
    ) -> float | None:
        """Return the median of the rounds' ratios to another client's figure of the same round."""
        figures, others = self.figures(row, client, metric), self.figures(row, of, metric)
        ratios = [mine / other for mine, other in zip(figures, others, strict=False) if other]
        return statistics.median(ratios) if ratios else None


async def run(rows: list[Row], names: list[str], url: str, rounds: int, results: Results) -> None:
    """Measure each row with each client, `rounds` times after one that warms up."""
    results.describe(rows)
    clients = {}
    for name in names:
        choose_transport(name)
        clients[name] = CLIENTS[name](url)
    for number in range(rounds + 1):
        # What has been loaded is not looked at by each collection again.
        gc.collect()
        gc.freeze()
        start = number % len(names)
        order = [*names[start:], *names[:start]][:: 1 if number % 2 else -1]
        for row in rows if number else [replace(row, tokens=20) for row in rows]:
            if number > row.max_rounds:
                continue
            for name in order:
                if hasattr(clients[name], row.method):
                    choose_transport(name)
                    figures = await _measure(row, clients[name])
                    if number:
                        results.rounds[row.name][name].append(figures)
        print(f"round {number} of {rounds}", file=sys.stderr)
    for client in clients.values():
        if hasattr(client, "aclose"):
            await client.aclose()


async def _measure(row: Row, client: Any) -> Figures:
    # Opens connections, so that no client pays for those that have been idle for too long.
    await row.call(client, row.method, prompt(1, row.mode), row.count if row.is_parallel else 1)
    gc.collect()
    cpu, wall = time.process_time(), time.perf_counter()
    calls, seconds = await row.call(client, row.method, prompt(row.tokens, row.mode), row.count)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    _check(row, calls)
    units = row.count * (row.tokens if row.unit == "token" else 1)
    figures = {"cpu": cpu / units * 1e6, "wall": wall / units * 1e6}
    figures["reads"] = sum(map(len, calls)) / (row.count * row.tokens)
    if seconds:
        ordered = sorted(seconds)
        figures["p50_ms"] = statistics.median(ordered) * 1e3
        figures["p99_ms"] = ordered[int(0.99 * len(ordered))] * 1e3
    return figures


def _check(row: Row, calls: list[list[Any]]) -> None:
    """Raise an error if a text is not what the server sent."""
    for parts in calls:
        text = parts[0][:0].join(parts)
        if isinstance(text, str):
            is_whole = text == WORD * row.tokens
        else:  # a floor's bytes; a document has the words once, and so does a stream
            is_whole = text.count(WORD.encode()) == row.tokens
        if not is_whole:
            raise ValueError(f"{row.name}: not the {row.tokens} tokens that were sent")
