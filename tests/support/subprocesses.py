"""Scripts that tests run in a Python of their own."""

import subprocess
import sys
import textwrap
from collections.abc import Mapping

PATIENCE = 30.0
"""Seconds after which a script that does not end fails its test."""


def run(script: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
    """Run a script, in which every warning is an error; it must succeed and say nothing."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), *arguments]
    done = subprocess.run(  # noqa: S603 - our own script
        command, capture_output=True, text=True, timeout=PATIENCE, check=False, env=environment
    )
    assert (done.stderr, done.returncode) == ("", 0)
