"""What is piped into the command `chat`."""

import os
import sys
import threading
from dataclasses import dataclass, field

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
        UsageError: It is not text in UTF-8.
    """
    if sys.stdin is None:
        return ""
    reader = _Reader(sys.stdin.fileno())
    reader.start()
    if not reader.started.wait(NOTICE_SECONDS):
        report("Waiting for stdin. (`< /dev/null` says that there is nothing.)")
        has_limit = is_optional and not (sys.stderr is not None and sys.stderr.isatty())
        if not reader.started.wait(PATIENCE_SECONDS if has_limit else None):
            print_status(
                f"Nothing came on stdin within {PATIENCE_SECONDS:g} s: the PROMPT is asked alone."
            )
            return ""
    return reader.text()


@dataclass
class _Reader:
    """Reads stdin in a thread, which a pipe without an end must not keep alive."""

    descriptor: int
    started: threading.Event = field(default_factory=threading.Event)
    _data: bytearray = field(default_factory=bytearray)
    _failure: OSError | None = None
    _thread: threading.Thread = field(init=False)

    def start(self) -> None:
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def text(self) -> str:
        """Wait for the end, and return everything.

        Raises:
            UsageError: It cannot be read, or is not text in UTF-8.
        """
        self._thread.join()
        if self._failure is not None:
            raise UsageError(f"stdin cannot be read: {self._failure.strerror}")
        try:
            return self._data.decode().strip()
        except UnicodeDecodeError as error:
            raise UsageError(f"stdin is not text in UTF-8 (byte {error.start})") from None

    def _read(self) -> None:
        try:
            # Not through sys.stdin: a thread that waits in it would break the end of the process.
            while part := os.read(self.descriptor, 1 << 16):
                self._data += part
                self.started.set()
        except OSError as error:
            self._failure = error
        self.started.set()
