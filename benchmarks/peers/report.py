"""The figures and the targets as tables, and as an object for JSON."""

import os
import platform
import statistics
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.peers.clients import CLIENTS, FAST, OURS, PEERS
from benchmarks.peers.measure import Results
from benchmarks.peers.rows import PACED
from benchmarks.peers.targets import TARGETS, compare

_PACKAGES = (
    "langchain-voxtral",
    "langchain-core",
    "langchain-openai",
    "langchain-mistralai",
    "langchain-community",
    "httpx",
    "aiohttp",
    "httpx-aiohttp",
)
_UNITS = {
    "cpu": "us/{unit}",
    "wall": "us/{unit}",
    "p50_ms": "ms",
    "p99_ms": "ms",
    "import_ms": "ms",
    "import_without_gc_ms": "ms",
    "import_wall_ms": "ms",
    "construction_us": "us",
    "memory_mib": "MiB",
}
_PROBES = {
    "import_ms": "",
    "import_without_gc_ms": ", without garbage collection",
    "import_wall_ms": ", wall time",
    "construction_us": "",
    "memory_mib": "",
}
"""What is measured in a process of its own, and what it adds to the name of a row."""
PROCESSOR_TIME = "Processor time"
"""The title of the table that the picture shows."""
Line = tuple[str, str, str]
"""A line of a table: its name, and the row and the metric that it shows."""


def machine() -> dict[str, str]:
    """Return what the figures were measured on."""
    facts = {
        "processor": _processor(),
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "Python": platform.python_version(),
    }
    for name in _PACKAGES:
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = "-"
    return facts


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def tables(results: Results) -> dict[str, list[Line]]:
    """Return the lines of each table by its title."""
    rows = results.headlines
    first = [row for row in rows if rows[row] == "p50_ms"]
    priced = [row for row in rows if rows[row] == "cpu"]
    at_once = [row for row in rows if row.startswith("streams at once")]
    return {
        PROCESSOR_TIME: [(row, row, "cpu") for row in priced],
        "Wall time": [(row, row, "wall") for row in priced if not row.startswith(PACED)],
        "Latency": [(f"{row}, median", row, "p50_ms") for row in first]
        + [
            (f"{row}, {metric[:3]} of a stream", row, metric)
            for row in at_once
            for metric in ("p50_ms", "p99_ms")
        ],
        "Import, construction, memory": [
            (row + suffix, row, metric)
            for row in results.rounds
            for metric, suffix in _PROBES.items()
            if results.figures(row, OURS, metric)
        ],
    }


def to_markdown(results: Results, command: str) -> str:
    """Return the tables: figures, in brackets shares of the reference's, and the targets."""
    clients = [client for client in CLIENTS if any(client in by for by in results.rounds.values())]
    facts = ", ".join(f"{name} {fact}" for name, fact in machine().items())
    parts = [f"Command: `{command}`", f"Measured on: {facts}"]
    for title, lines in tables(results).items():
        cells = [
            [f"{name} ({_UNITS[metric].format(unit=results.units.get(row))})"]
            + [_cell(results, row, client, metric) for client in clients]
            for name, row, metric in lines
        ]
        if cells:
            parts += [f"## {title}", _table([["", *clients], *cells])]
    parts += ["## Targets", _table(_targets(results)), *_behind(results), _reads(results)]
    return "\n\n".join(part for part in parts if part)


def _cell(results: Results, row: str, client: str, metric: str) -> str:
    figure = results.median(row, client, metric)
    if figure is None:
        return ""
    share = results.share(row, client, metric)
    return _number(figure) + (f" ({share:.2f})" if share is not None else "")


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if abs(figure) >= 100 else f"{figure:.3g}"  # noqa: PLR2004 - three digits


def _table(rows: list[list[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |"
        for row in rows
    ]
    rule = (
        "|"
        + "|".join("-" * (width + 1) + ("-" if not at else ":") for at, width in enumerate(widths))
        + "|"
    )
    return "\n".join([lines[0], rule, *lines[1:]])


def _targets(results: Results) -> list[list[str]]:
    table = [["", "limit", OURS, "", "limit", FAST, ""]]
    for target in TARGETS:
        if target.measure(results, OURS) is None:
            continue
        cells = [target.name]
        for client, limit in ((OURS, target.default), (FAST, target.fast)):
            figure = target.measure(results, client)
            if figure is None:
                cells += ["" if limit is None else f"{limit:g}", "", ""]
            elif limit is None:
                cells += ["", f"{figure:.2f}", ""]
            else:
                cells += [f"{limit:g}", f"{figure:.2f}", "met" if figure <= limit else "MISSED"]
        table.append(cells)
    return table


def _behind(results: Results) -> list[str]:
    """Return which rows are behind which peer."""
    lines = []
    for client, peers in ((OURS, PEERS), (FAST, PEERS)):
        rows = [
            f"{row} ({ratio:.2f} of {peer})"
            for ratio, row, peer in compare(results, client, peers)
            if ratio > 1
        ]
        if rows:
            lines.append(f"{client} is behind in: " + "; ".join(rows))
    return lines


def _reads(results: Results) -> str:
    reads = results.median(f"{PACED}, stream", "sockets", "reads")
    if reads is None:
        return ""
    return f"Sockets needed {reads:.2f} reads for each token that was sent alone."


def to_json(results: Results, command: str) -> dict[str, Any]:
    """Return the figures with their spread, and where they come from."""
    figures = {
        row: {
            client: {metric: _spread(results.figures(row, client, metric)) for metric in rounds[0]}
            for client, rounds in by_client.items()
        }
        for row, by_client in results.rounds.items()
    }
    targets = {
        target.name: {
            "default": {"limit": target.default, "measured": target.measure(results, OURS)},
            "fast": {"limit": target.fast, "measured": target.measure(results, FAST)},
        }
        for target in TARGETS
    }
    return {"command": command, "machine": machine(), "figures": figures, "targets": targets}


def _spread(figures: list[float]) -> dict[str, float]:
    low, _, high = (
        statistics.quantiles(figures, n=4, method="inclusive") if len(figures) > 1 else figures * 3
    )
    return {
        "median": round(statistics.median(figures), 3),
        "lower_quartile": round(low, 3),
        "upper_quartile": round(high, 3),
        "rounds": len(figures),
    }
