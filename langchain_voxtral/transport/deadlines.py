"""Time limits of exchanges, and closing connections safely.

httpx limits each read and each write, of which there may be many, and no name server at all. So
connections (see `network`) ask the exchange that uses them how long the next step may take.

httpcore's pool holds a lock, not a reentrant one, while it hands out a connection and takes it
back. A garbage collection may begin just there; if it finds an abandoned stream, closing that
asks for the lock in the thread that holds it, and waits for ever. So each thread notes when it is
within httpx, and closes what is abandoned meanwhile once it is out.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")


class TimeLimit:
    """When an exchange must end, and when its stream must have brought something.

    Args:
        due: When it must end, by `time.monotonic`; None for no limit.
        max_idle: Seconds from the last byte sent to the first item, and from item to item; None
            for no limit.

    Attributes:
        progress_at: When the last byte was sent or the last item came; None before.
        is_silent: Whether no byte has come since.
        is_kept: Whether the connection keeps this limit; a transport of the caller's does not.
    """

    __slots__ = ("due", "is_kept", "is_silent", "max_idle", "progress_at")

    def __init__(self, due: float | None = None, max_idle: float | None = None) -> None:
        self.due = due
        self.max_idle = max_idle
        self.progress_at: float | None = None
        self.is_silent = True
        self.is_kept = False

    @property
    def is_idle(self) -> bool:
        """Whether the stream has brought nothing for too long."""
        if self.max_idle is None or self.progress_at is None:
            return False
        return time.monotonic() - self.progress_at > self.max_idle

    def end_within(self, seconds: float) -> None:
        """End the exchange in so many seconds, unless it must end earlier."""
        due = time.monotonic() + seconds
        self.due = due if self.due is None else min(self.due, due)

    def clip(self, seconds: float | None, error: type[Exception]) -> float | None:
        """Return how many seconds the next step may take, at most so many.

        Raises:
            error: There is no time left.
        """
        due = self.due
        if self.max_idle is not None and self.progress_at is not None:
            idle_due = self.progress_at + self.max_idle
            due = idle_due if due is None else min(due, idle_due)
        if due is None:
            return seconds
        left = due - time.monotonic()
        if left <= 0:
            raise error
        return left if seconds is None else min(seconds, left)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Apply this limit to the connection that a request within opens or uses."""
        token = _current.set(self)
        try:
            yield
        finally:
            _current.reset(token)


_current: ContextVar[TimeLimit] = ContextVar("langchain_voxtral_time_limit")
_NO_LIMIT = TimeLimit()


def current_limit() -> TimeLimit:
    """Return the limit that is applied, or one that limits nothing."""
    return _current.get(_NO_LIMIT)


class _HTTPXGuard(threading.local):
    """Whether this thread is within httpx, and what to close when it leaves."""

    def __init__(self) -> None:
        self._depth = 0
        self._waiting: deque[Callable[[], None]] = deque()

    def __enter__(self) -> None:
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        if self._depth == 1:  # still within: closing takes the lock too
            while self._waiting:
                with suppress(Exception):  # no caller is left who could handle it
                    self._waiting.popleft()()
        self._depth -= 1

    def close(self, close: Callable[[], None]) -> None:
        """Call this now, or once the thread is out."""
        if self._depth:
            self._waiting.append(close)
            return
        with self:
            close()


httpx_guard = _HTTPXGuard()
"""A context for every call into a synchronous client that may take the pool's lock."""

_in_use: set[object] = set()
"""What open streams have of httpx, so that no garbage collection closes it."""


@contextmanager
def closing_safely(resource: T) -> Iterator[T]:
    """Close a response or its body on leaving, also if it is a garbage collection that leaves.

    (httpx types a body as an iterator, without the `close` that it has as a generator.)
    """
    _in_use.add(resource)
    try:
        yield resource
    finally:
        httpx_guard.close(resource.close)  # type: ignore[attr-defined]
        _in_use.discard(resource)
