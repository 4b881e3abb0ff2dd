"""A conversation in the terminal: its prompt and its commands."""

import sys
from collections.abc import Callable, Iterator

from langchain_voxtral.cli.console import Report, print_status

_HELP = """\
/clear   forget the conversation, except --system
/help    list these commands
/exit    end, as exit, quit and Ctrl-D do, and Ctrl-C twice
Ctrl-C clears the line, and stops an answer. A question that begins with / needs a space before it.
"""

_ENDINGS = ("/exit", "/quit", "exit", "quit")
"""What other programs end by is no question; with a space before it, it is one."""


def questions(report: Report, clear: Callable[[], None]) -> Iterator[str]:
    """Yield what the user asks, until the conversation ends; commands are run here.

    Args:
        report: What prints notices.
        clear: What forgets the conversation.
    """
    import readline  # noqa: F401, PLC0415 - its import gives input() line editing

    report("/help lists the commands; Ctrl-C stops an answer, Ctrl-D ends the conversation.")
    while (line := _read_line(report)) is not None:
        question = line.strip()
        if line.rstrip() in _ENDINGS:
            return
        if question == "/clear":
            clear()
            report("The conversation is forgotten.")
        elif question == "/help":
            print(_HELP, end="", file=sys.stderr)
        elif line.startswith("/"):
            print_status(f"{question.split()[0]} is no command: /help lists them.")
        elif question:
            yield question


def _read_line(report: Report) -> str | None:
    """Return the next line; None after Ctrl-D, or after Ctrl-C twice in a row."""
    for interrupts in (1, 2):
        try:
            return input("> ")
        except EOFError:
            print(file=sys.stderr)
            return None
        except KeyboardInterrupt:
            print(file=sys.stderr)
            if interrupts == 1:
                report("(Ctrl-C again ends the conversation.)")
    return None
