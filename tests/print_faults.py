"""Run every fault in all call modes and print the outcomes: `python tests/print_faults.py`.

The exit status is 1 if an outcome is not the expected one.
"""

import logging
import sys
import time
from dataclasses import fields

from support.faults.runner import CALL_MODES, CallMode, Fault, Outcome, run_case
from support.faults.table import FAULTS

NAME, CELL = max(len(fault.name) for fault in FAULTS) + 2, 8
"""Widths of columns."""


def main() -> int:
    """Print the table; return the exit status."""
    logging.disable(logging.WARNING)  # retries are expected here
    began = time.monotonic()
    _say(" " * NAME + "".join(f"{owner:<{4 * CELL}}" for owner in ("chat", "llm", "fast")))
    _say(
        f"{'fault':<{NAME}}"
        + "".join(f"{call_mode.method:<{CELL}}" for call_mode in CALL_MODES)
        + "must be"
    )
    counts = [_row(fault) for fault in FAULTS]
    played, differing = (sum(column) for column in zip(*counts, strict=True))
    verdict = f"{differing} not as expected" if differing else "all as expected"
    seconds = time.monotonic() - began
    _say(f"\n{len(FAULTS)} faults, {played} outcomes, {verdict}, in {seconds:.0f} s.")
    return 1 if differing else 0


def _row(fault: Fault) -> tuple[int, int]:
    """Run one fault and print its row; return the number of outcomes and of those that differ."""
    cells, problems, expected = [], [], list[str]()
    for call_mode in CALL_MODES:
        case = call_mode.case(fault)
        if case is None:
            cells.append("·")
            continue
        problem = _difference(call_mode, case.outcome, run_case(case, call_mode))
        cells.append("✗" if problem else "✓")
        problems += [problem] if problem else []
        if case.outcome.verdict() not in expected:
            expected.append(case.outcome.verdict())
    row = "".join(f"{cell:<{CELL}}" for cell in cells)
    _say(f"{fault.name:<{NAME}}{row}{'; streamed: '.join(expected)}")
    for problem in problems:
        _say(problem)
    return len(cells) - cells.count("·"), len(problems)


def _difference(call_mode: CallMode, expected: Outcome, found: Outcome) -> str:
    """Return how an outcome differs from the expected one; "" if it does not."""
    differences = [
        f"{field.name} is {getattr(found, field.name)!r}, not {getattr(expected, field.name)!r}"
        for field in fields(Outcome)
        if getattr(found, field.name) != getattr(expected, field.name)
    ]
    return f"    {call_mode} {found.verdict()}: {'; '.join(differences)}" if differences else ""


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
