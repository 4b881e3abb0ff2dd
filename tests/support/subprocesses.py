"""Run scripts in a Python process of their own."""

import subprocess
import sys
import textwrap
from collections.abc import Mapping

TIMEOUT_SECONDS = 60.0
"""Seconds after which a script that does not end fails its test."""


def run_python(script: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
    """Run a script with warnings as errors; it must succeed and write nothing to stderr."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *arguments]
    done = subprocess.run(  # noqa: S603 - our own script
        command,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
        env=environment,
    )
    assert (done.stderr, done.returncode) == ("", 0)
