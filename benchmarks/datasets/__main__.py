"""Measures jobs on datasets of Ray against a server of fixed latency; `make bench` runs it.

    python -m benchmarks.datasets [--full] [--only PART] [--output FOLDER]

Each part runs in a process of its own: `rows`, and with `--full` also `audio` and `memory`.
"""

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

from benchmarks.datasets.parts import PARTS
from benchmarks.peers.report import machine


def main() -> None:
    """Run the parts, print the tables, and write the file that is asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.datasets", description=__doc__)
    parser.add_argument("--full", action="store_true", help="all parts: ten minutes")
    parser.add_argument("--only", choices=PARTS, help="only this part")
    parser.add_argument("--output", type=Path, help="write datasets.md here")
    options = parser.parse_args()
    names = list(PARTS) if options.full else ["rows"]
    command = " ".join(["python -m benchmarks.datasets", *sys.argv[1:]])
    facts = ", ".join(f"{name} {value}" for name, value in machine().items())
    parts = [f"Command: `{command}`", f"Measured on: {facts}, ray {version('ray')}"]
    context = multiprocessing.get_context("spawn")
    for name in [options.only] if options.only else names:
        with ProcessPoolExecutor(1, context) as process:
            parts.append(process.submit(PARTS[name]).result())
        print(parts[-1], end="\n\n", flush=True)
    if options.output is not None:
        text = "\n\n".join(["# Jobs on datasets", *parts])
        (options.output / "datasets.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
