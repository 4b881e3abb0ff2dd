"""Compares ChatVoxtral with its peers and with the floors below them; `make bench` runs it.

    python -m benchmarks.peers [--full] [--only WORDS] [--json FILE] [--plot FILE]

All clients run in one process on one core, in turns, against one server in a process on another
core. Figures are medians: of processor time unless a row says otherwise.
"""

import argparse
import asyncio
import json
import os
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.peers import server
from benchmarks.peers.clients import CLIENTS
from benchmarks.peers.processes import PROCESS_ROWS
from benchmarks.peers.report import Figures, machine, plot, to_markdown
from benchmarks.peers.rows import Row, measure, rows


def main() -> None:
    """Run the comparison, print the table, and write the files that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--full", action="store_true", help="more work, more rounds: minutes")
    parser.add_argument("--only", default="", help="only rows whose name has these words")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--plot", type=Path, help="write a picture here")
    options = parser.parse_args()
    own, servers = _pin()
    table = [row for row in rows(is_full=options.full) if options.only in row.name]
    with server.running(servers) as url:
        if own is not None:
            os.sched_setaffinity(0, {own})
        figures = asyncio.run(_run(table, url, rounds=7 if options.full else 3))
        figures |= _run_processes(options.only, url)
    print(to_markdown(figures))
    if options.json:
        document = {"machine": machine(), "figures": figures}
        options.json.write_text(json.dumps(document, indent=1), encoding="utf-8")
    if options.plot:
        plot(figures, options.plot)


def _pin() -> tuple[int | None, int | None]:
    """Return a core for the clients and one for the server, if there are two to choose."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


async def _run(table: list[Row], url: str, *, rounds: int) -> Figures:
    clients: dict[tuple[str, str, int], Any] = {}
    taken: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(rounds + 1):
        for row in table:
            for name, make in CLIENTS.items():
                key = (name, row.mode, row.tokens)
                if key not in clients:
                    clients[key] = make(f"{url}/{row.mode}/{row.tokens}", row.tokens)
                if hasattr(clients[key], row.method):
                    microseconds = await measure(row, clients[key])
                    if number:  # the first round imports, and opens connections
                        taken[f"{row.name} (us/{row.unit})"][name].append(microseconds)
    for client in clients.values():
        if hasattr(client, "aclose"):
            await client.aclose()
    return {
        row: {name: statistics.median(figures) for name, figures in by_client.items()}
        for row, by_client in taken.items()
    }


def _run_processes(only: str, url: str) -> Figures:
    figures: Figures = {}
    for row in PROCESS_ROWS:
        if only in row.name:
            by_client = {name: row.measure(name, url) for name in CLIENTS}
            figures[f"{row.name} ({row.unit})"] = {
                name: figure for name, figure in by_client.items() if figure is not None
            }
    return figures


if __name__ == "__main__":
    main()
