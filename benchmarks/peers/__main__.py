"""Compares ChatVoxtral with its peers and with the floors below them; `make bench` runs it.

    python -m benchmarks.peers [--full] [--only WORDS] [--output FOLDER]

All clients run in one process on one core, in turns, against one server in a process on another
core.
"""

import argparse
import asyncio
import compileall
import json
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.peers import server
from benchmarks.peers.clients import choose_transport, names
from benchmarks.peers.measure import Results, run
from benchmarks.peers.rows import rows

_PROBES = {
    "import": ("import_ms", "import_without_gc_ms", "import_wall_ms"),
    "construction": ("construction_us",),
    "memory of a stream of {tokens:,} tokens": ("memory_mib",),
}


def main() -> None:
    """Run the comparison, print the tables, and write the files that are asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--full", action="store_true", help="more rows and rounds: minutes")
    parser.add_argument("--only", default="", help="only rows whose name has these words")
    parser.add_argument("--rounds", type=int, help="how often each row is measured")
    parser.add_argument("--output", type=Path, help="write JSON, Markdown and a picture here")
    options = parser.parse_args()
    table = [row for row in rows(is_full=options.full) if options.only in row.name]
    results = Results()
    own, servers = _pin()
    with server.running(servers) as url:
        if own is not None:
            os.sched_setaffinity(0, {own})
        for _ in range(7 if options.full else 1):
            _probe(results, options.only, url, tokens=20_000 if options.full else 5000)
        rounds = options.rounds or (20 if options.full else 5)
        asyncio.run(run(table, names(), url, rounds, results))
    _report(results, " ".join(["python -m benchmarks.peers", *sys.argv[1:]]), options.output)


def _report(results: Results, command: str, folder: Path | None) -> None:
    from benchmarks.peers import picture, report  # noqa: PLC0415 - matplotlib is heavy

    markdown = report.to_markdown(results, command)
    print(markdown)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        document = json.dumps(report.to_json(results, command), indent=1)
        (folder / "peers.json").write_text(document + "\n", encoding="utf-8")
        rows = [row for _, row, _ in report.tables(results)[report.PROCESSOR_TIME]]
        picture.draw(results, rows, folder / "peers.svg")
        title = "# ChatVoxtral beside other clients\n\n![Processor time](peers.svg)\n\n"
        (folder / "peers.md").write_text(title + markdown + "\n", encoding="utf-8")


def _pin() -> tuple[int | None, int | None]:
    """Return a core for the clients and one for the server, if there are two to choose."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


def _probe(results: Results, only: str, url: str, *, tokens: int) -> None:
    """Measure what takes a process of its own."""
    rows = {name.format(tokens=tokens): metrics for name, metrics in _PROBES.items()}
    rows = {name: metrics for name, metrics in rows.items() if only in name}
    if not rows:
        return
    # As pip does for the others: their modules are not compiled at the first import either.
    compileall.compile_dir("langchain_voxtral", quiet=1)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for client in names():
        choose_transport(client)
        command = [sys.executable, "-m", "benchmarks.peers.probe", client, url, str(tokens)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
        figures = json.loads(run.stdout)
        for row, metrics in rows.items():
            results.headlines[row] = metrics[0]
            if metrics[0] in figures:
                results.rounds[row][client].append({name: figures[name] for name in metrics})


if __name__ == "__main__":
    main()
