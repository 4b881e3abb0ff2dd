"""Play every fault in all eight ways and print what came of it: `python tests/print_faults.py`.

The exit status is 1 if any outcome is not the expected one.
"""

import logging
import sys
import time
from dataclasses import fields

from support.faults.runner import WAYS, Fault, Outcome, Way, happened
from support.faults.table import FAULTS

NAME, CELL = max(len(fault.name) for fault in FAULTS) + 2, 8
"""Widths of columns."""


def main() -> int:
    """Print the table; return the exit status."""
    logging.disable(logging.WARNING)  # retries are expected here
    began = time.monotonic()
    _say(" " * NAME + "".join(f"{owner:<{4 * CELL}}" for owner in ("chat", "llm")))
    _say(f"{'fault':<{NAME}}" + "".join(f"{way.method:<{CELL}}" for way in WAYS) + "must be")
    counts = [_row(fault) for fault in FAULTS]
    played, differing = (sum(column) for column in zip(*counts, strict=True))
    verdict = f"{differing} not as expected" if differing else "all as expected"
    seconds = time.monotonic() - began
    _say(f"\n{len(FAULTS)} faults, {played} outcomes, {verdict}, in {seconds:.0f} s.")
    return 1 if differing else 0


def _row(fault: Fault) -> tuple[int, int]:
    """Play one fault and print its row; return how many outcomes it has, and how many differ."""
    cells, problems, expected = [], [], list[str]()
    for way in WAYS:
        scene = way.scene(fault)
        if scene is None:
            cells.append("·")
            continue
        problem = _difference(way, scene.outcome, happened(scene, way))
        cells.append("✗" if problem else "✓")
        problems += [problem] if problem else []
        if scene.outcome.verdict() not in expected:
            expected.append(scene.outcome.verdict())
    row = "".join(f"{cell:<{CELL}}" for cell in cells)
    _say(f"{fault.name:<{NAME}}{row}{'; streamed: '.join(expected)}")
    for problem in problems:
        _say(problem)
    return len(cells) - cells.count("·"), len(problems)


def _difference(way: Way, expected: Outcome, found: Outcome) -> str:
    """Return in what an outcome differs from the expected one; nothing if in nothing."""
    told = [
        f"{field.name} is {getattr(found, field.name)!r}, not {getattr(expected, field.name)!r}"
        for field in fields(Outcome)
        if getattr(found, field.name) != getattr(expected, field.name)
    ]
    return f"    {way} {found.verdict()}: {'; '.join(told)}" if told else ""


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
