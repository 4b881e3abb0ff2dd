"""Deadlines for blocking reads, and closing connections safely.

httpx limits the silence between two reads, which neither bounds a whole call nor can be changed
in the middle of a body. So one daemon thread shuts a socket down when its time is up.

httpcore's pool holds a lock, not a reentrant one, while it hands out a connection and takes it
back. A garbage collection may begin just there; if it finds an abandoned stream, closing that
asks for the lock in the thread that holds it, and waits for ever. So each thread notes when it is
within httpx, and closes what is abandoned meanwhile once it is out.
"""

import heapq
import itertools
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Self, TypeVar

import httpx

T = TypeVar("T")


class ReadDeadline:
    """The time that one response may take; use as a context manager.

    A response without a socket (of a mock transport) has no deadline.
    """

    def __init__(self, response: httpx.Response | httpx.Request) -> None:
        stream = response.extensions.get("network_stream")
        self._socket = stream.get_extra_info("socket") if stream is not None else None
        self._due: float | None = None
        # Held for each decision, so that a socket is never shut down for a response that is
        # over: the pool may have given it to the next request by then.
        self._deciding = threading.Lock()
        self.expired = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._deciding:
            self._due = self._socket = None

    def limit(self, seconds: float | None) -> None:
        """End the response in so many seconds, unless a shorter limit stands; None: no limit."""
        if seconds is None:
            return
        due = time.monotonic() + seconds
        if self._socket is not None and (self._due is None or due < self._due):
            self._due = due
            _get_thread().add(due, self)

    def is_current(self, due: float) -> bool:
        """Return whether this is still the deadline of a response that is not over."""
        return self._due == due

    def expire(self, due: float) -> None:
        """Shut the socket down, if this is still the deadline; a blocked read then ends."""
        with self._deciding:
            if not self.is_current(due) or self._socket is None:
                return
            self.expired = True
            # Not SSLSocket.shutdown, which would unwrap the connection under the reader; an
            # OSError says that its owner has closed it in the meantime.
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


_MIN_SWEEP = 64
"""Number of due times that are not worth sweeping."""


class _DeadlineThread:
    """The daemon thread, and its heap of due times."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, ReadDeadline]] = []
        self._sweep_at = _MIN_SWEEP
        self._counter = itertools.count()
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="voxtral-deadlines", daemon=True).start()

    def add(self, due: float, deadline: ReadDeadline) -> None:
        """Have a deadline expire when it is due."""
        with self._changed:
            if len(self._heap) >= self._sweep_at:
                self._sweep()
            heapq.heappush(self._heap, (due, next(self._counter), deadline))
            if self._heap[0][2] is deadline:
                self._changed.notify()

    def _sweep(self) -> None:
        """Forget responses that are over: most end long before a far deadline."""
        self._heap = [entry for entry in self._heap if entry[2].is_current(entry[0])]
        heapq.heapify(self._heap)
        self._sweep_at = max(_MIN_SWEEP, 2 * len(self._heap))  # so that a sweep pays for itself

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._heap or self._heap[0][0] > time.monotonic():
                    wait = self._heap[0][0] - time.monotonic() if self._heap else None
                    self._changed.wait(wait)
                due, _, deadline = heapq.heappop(self._heap)
            deadline.expire(due)


_lock = threading.Lock()
_deadline_thread: _DeadlineThread | None = None


def _get_thread() -> _DeadlineThread:
    global _deadline_thread  # noqa: PLW0603 - one thread a process
    with _lock:
        if _deadline_thread is None:
            _deadline_thread = _DeadlineThread()
        return _deadline_thread


def _after_fork_in_child() -> None:
    """Start anew: the thread did not survive, and the lock may have been held."""
    global _lock, _deadline_thread
    _lock, _deadline_thread = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


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
