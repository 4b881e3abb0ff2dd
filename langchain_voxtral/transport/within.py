"""Closing streams from wherever a garbage collection happens to run.

httpcore's pool holds a lock, not a reentrant one, while it hands out a connection and takes it
back. A garbage collection may begin just there; if it finds an abandoned stream, closing that
asks for the lock in the thread that holds it, and waits for ever. So each thread notes when it is
within httpx, and closes what is abandoned meanwhile once it is out.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress

import httpx


class _Within(threading.local):
    """Whether this thread is within httpx, and what to close when it leaves."""

    def __init__(self) -> None:
        self._depth = 0
        self._waiting: deque[Callable[[], None]] = deque()

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        if self._depth == 1:  # still within: closing takes the lock too
            while self._waiting:
                with suppress(Exception):  # nobody is left who could be told
                    self._waiting.popleft()()
        self._depth -= 1

    def close(self, close: Callable[[], None]) -> None:
        """Call this now, or once the thread is out."""
        if self._depth:
            self._waiting.append(close)
            return
        with self:
            close()


httpx_guard = _Within()
"""A context for every call into a synchronous client that may take the pool's lock."""

_in_use: set[object] = set()
"""What open streams have of httpx."""


@contextmanager
def closing_safely(response: httpx.Response) -> Iterator[httpx.Response]:
    """Close a response on leaving, also if it is a garbage collection that leaves."""
    _in_use.add(response)
    try:
        yield response
    finally:
        httpx_guard.close(response.close)
        _in_use.discard(response)


def iter_bytes_safely(response: httpx.Response) -> Generator[bytes]:
    """Yield the body as it arrives."""
    parts: Generator[bytes] = response.iter_bytes()  # type: ignore[assignment]
    _in_use.add(parts)
    try:
        while True:
            with httpx_guard:
                part = next(parts, None)
            if part is None:
                return
            yield part
    finally:
        httpx_guard.close(parts.close)
        _in_use.discard(parts)
