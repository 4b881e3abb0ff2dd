"""Arguments of the command: each is checked before anything starts, and errors name its flag."""

import argparse
import difflib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

from langchain_voxtral.cli.wording import in_flags
from langchain_voxtral.protocol.languages import validate_language
from langchain_voxtral.transcription.progress import escape_control_characters

USAGE_STATUS = 2
"""Exit status of a command line that is wrong, as argparse's: nothing was started."""


class UsageError(ValueError):
    """A command line that is wrong in what its arguments mean together."""


class CommandParser(argparse.ArgumentParser):
    """A parser whose errors are one line, and name the help of the subcommand."""

    def parse_known_args(  # type: ignore[override]  # its overloads differ in the namespace alone
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """Reject what is unknown here: the parser above would name its own help, not this one."""
        arguments, unknown = super().parse_known_args(args, namespace)
        if unknown:
            known = [flag[2:] for flag in self._option_string_actions if flag.startswith("--")]
            close = difflib.get_close_matches(unknown[0].lstrip("-").partition("=")[0], known, n=1)
            hint = f"; did you mean --{close[0]}?" if close else ""
            self.error(f"unrecognized arguments: {' '.join(unknown)}{hint}")
        return arguments, unknown

    def error(self, message: str) -> NoReturn:
        """Print what is wrong, and end the process."""
        line = escape_control_characters(message.removeprefix("argument "))
        self.exit(USAGE_STATUS, f"langchain-voxtral: {line} (see {self.prog} --help)\n")


def number(
    low: float, high: float, kind: type[int] | type[float] = float
) -> Callable[[str], float]:
    """Return what reads a number, which must be in a range."""

    def read(text: str) -> float:
        with suppress(ValueError):
            value = kind(text)
            if low <= value <= high:
                return value
        name = "whole number" if kind is int else "number"
        raise argparse.ArgumentTypeError(f"{text!r} is no {name} from {low} to {high}")

    return read


def some_text(text: str) -> str:
    """Return a text, which must not be empty."""
    if not text.strip():
        raise argparse.ArgumentTypeError("it is empty")
    return text


def language_code(text: str) -> str:
    """Return the code of a language."""
    try:
        validate_language(text)
    except ValueError as error:
        flag = in_flags(f"language={text!r}")
        message = in_flags(str(error)).replace(flag, repr(text), 1)
        raise argparse.ArgumentTypeError(message) from None
    return text


def existing_file(text: str) -> str:
    """Return the path of a file that can be read."""
    try:
        with Path(text).expanduser().open("rb"):
            return text
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text} cannot be read: {error.strerror}") from None
