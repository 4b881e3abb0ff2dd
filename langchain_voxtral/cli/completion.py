"""Completion in shells, by argcomplete, if that is installed."""

import argparse
import os
from typing import Any

_SHELLS = ("bash", "zsh", "fish")


def add_completion(parser: argparse.ArgumentParser) -> None:
    """Add the option that prints the shell's part of it."""
    parser.add_argument(
        "--completion",
        choices=_SHELLS,
        action=_PrintCompletion,
        help='print what completes this command in a shell: eval "$(%(prog)s --completion bash)"',
    )


def complete(parser: argparse.ArgumentParser) -> None:
    """Answer the shell, and end the process, if that has called to complete a line."""
    if "_ARGCOMPLETE" in os.environ:
        import argcomplete  # noqa: PLC0415 - an extra, needed only here

        argcomplete.autocomplete(parser)


class _PrintCompletion(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, _: Any, shell: Any, __: Any = None) -> None:
        try:
            from argcomplete.shell_integration import shellcode  # noqa: PLC0415 - an extra
        except ImportError:
            parser.error(
                '--completion needs argcomplete: pip install "langchain-voxtral[completion]"'
            )
        print(shellcode([parser.prog], shell=shell))
        parser.exit()
