"""Messages of the command, on stderr."""

import argparse
import logging
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from langchain_voxtral.cli.arguments import UsageError
from langchain_voxtral.cli.wording import flag_of, in_flags
from langchain_voxtral.transcription.progress import escape_control_characters

Report = Callable[[str], None]


def print_status(line: str) -> None:
    """Print a line on stderr; stdout is for answers.

    Control characters, in names of files and texts of servers, do not reach the terminal.
    """
    print(escape_control_characters(line), file=sys.stderr, flush=True)


def status_reporter(arguments: argparse.Namespace) -> Report:
    """Return what prints notices: with --quiet nothing does."""
    return _ignore if arguments.quiet else print_status


def _ignore(_: str) -> None:
    pass


def print_error(error: Exception | str, files: Iterable[str] = ()) -> None:
    """Print what went wrong, in one line."""
    text = error if isinstance(error, str) else one_line_message(error, files)
    print_status(f"langchain-voxtral: {' '.join(text.split())}")


def is_usage_error(error: Exception) -> bool:
    """Return whether the command line is wrong, so that nothing was started."""
    from pydantic import ValidationError  # noqa: PLC0415 - only when something is wrong

    return isinstance(error, UsageError | ValidationError)


def one_line_message(error: Exception, files: Iterable[str] = ()) -> str:
    """Return an error's message with the names of flags."""
    from pydantic import ValidationError  # noqa: PLC0415 - only when something is wrong

    if not isinstance(error, ValidationError):
        return in_flags(str(error), files)
    return "; ".join(
        f"{flag_of('.'.join(map(str, problem['loc'])))}: {in_flags(problem['msg'])}".removeprefix(
            ": "
        )
        for problem in error.errors()
    )


@contextmanager
def warnings_on_stderr(*, quiet: bool, files: Iterable[str] = ()) -> Iterator[None]:
    """Print what the package logs and warns of as lines of the command.

    The engine's own notice is left to `announce_engine`; with --quiet it prints none at all.
    """
    handler = _LinePrinter(files)
    logger = logging.getLogger("langchain_voxtral")
    notices = logging.getLogger("langchain_voxtral.local" + ("" if quiet else ".notice"))
    level = notices.level
    notices.setLevel(logging.ERROR)
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            yield
    finally:
        logger.removeHandler(handler)
        notices.setLevel(level)


class _LinePrinter(logging.Handler):
    def __init__(self, files: Iterable[str]) -> None:
        super().__init__(logging.WARNING)
        self.files = files

    def emit(self, record: logging.LogRecord) -> None:
        print_status(" ".join(in_flags(record.getMessage(), self.files).split()))


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    print_status(in_flags(" ".join(str(message).split())))
