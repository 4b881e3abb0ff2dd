"""What is piped into the command `chat`."""

import errno
import os
import select
import sys
import threading
from contextlib import suppress

from langchain_voxtral.cli.arguments import UsageError
from langchain_voxtral.cli.console import Report, print_status

NOTICE_SECONDS = 2.0
PATIENCE_SECONDS = 30.0
"""How long stdin may bring nothing beside a PROMPT. Supervisors and CI leave pipes open that nobody
writes to, and reading one would never end."""


def is_piped() -> bool:
    """Return whether stdin is anything but a terminal, or is closed."""
    return sys.stdin is None or not sys.stdin.isatty()


def read_piped(report: Report, *, is_optional: bool) -> str:
    """Return the text on stdin, to its end.

    Args:
        report: What prints that it is waited for.
        is_optional: Whether to go on without it if it brings nothing. Where a person sees stderr,
            it is waited for all the same: Ctrl-C ends that.

    Raises:
        UsageError: It cannot be read, or is not text in UTF-8.
    """
    if sys.stdin is None:
        return ""
    first: list[bytes] = []
    waiting = threading.Thread(target=_read_first, args=(first,), daemon=True)
    waiting.start()
    waiting.join(NOTICE_SECONDS)
    if waiting.is_alive():
        report("Waiting for stdin. (`< /dev/null` says that there is nothing.)")
        has_limit = is_optional and not (sys.stderr is not None and sys.stderr.isatty())
        waiting.join(PATIENCE_SECONDS if has_limit else None)
        if waiting.is_alive():
            print_status(
                f"Nothing came on stdin within {PATIENCE_SECONDS:g} s: the PROMPT is asked alone."
            )
            return ""
    try:
        data = b"".join([*first, *iter(_read_some, b"")])
        return data.decode("utf-8-sig").strip()  # Windows writes a mark before a text
    except OSError as error:
        raise UsageError(f"stdin cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"stdin is not text in UTF-8 (byte {error.start})") from None


def _read_first(parts: list[bytes]) -> None:
    """Read what stdin brings first, in a thread, which a pipe without an end keeps for ever."""
    with suppress(OSError):  # reading the rest fails with it, too
        parts.append(_read_some())


def _read_some() -> bytes:
    """Return what stdin brings next; nothing at its end, or if it is not open for reading."""
    # Not through sys.stdin: a thread that waits in it would break the end of the process.
    descriptor = sys.stdin.fileno()
    while True:
        try:
            return os.read(descriptor, 1 << 16)
        except BlockingIOError:  # another process, which has the pipe too, made it so
            select.select([descriptor], [], [])
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            return b""  # `nohup` opens stdin so
