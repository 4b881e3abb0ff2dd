"""A clock for blocking reads: shuts a socket down when its time is up.

httpx limits the silence between two reads, which neither bounds a whole call nor can be
changed in the middle of a body. One daemon thread watches all sockets that need it.
"""

import heapq
import itertools
import os
import socket
import threading
import time
from contextlib import suppress
from typing import Self

import httpx


class ReadDeadline:
    """Time left for one response; use as a context manager.

    Args:
        response: An open response, or a request whose connection is noted as a response's is; one
            without a socket (a mock transport) is not watched.
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
            _keeper().add(due, self)

    def is_current(self, due: float) -> bool:
        """Tell whether this is still the limit of a response that is not over."""
        return self._due == due

    def expire(self, due: float) -> None:
        """Shut the socket down, if this is still the limit; a blocked read then ends."""
        with self._deciding:
            if not self.is_current(due) or self._socket is None:
                return
            self.expired = True
            # Not SSLSocket.shutdown, which would unwrap the connection under the reader; an
            # OSError says that its owner has closed it in the meantime.
            with suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


_FEW = 64
"""Due times that are not worth sweeping."""


class _DeadlineThread:
    """The thread and its heap of due times."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, ReadDeadline]] = []
        self._crowded = _FEW
        self._order = itertools.count()
        self._changed = threading.Condition()
        threading.Thread(target=self._run, name="voxtral-watchdog", daemon=True).start()

    def add(self, due: float, watch: ReadDeadline) -> None:
        with self._changed:
            if len(self._heap) >= self._crowded:
                self._sweep()
            heapq.heappush(self._heap, (due, next(self._order), watch))
            if self._heap[0][2] is watch:
                self._changed.notify()

    def _sweep(self) -> None:
        """Forget what is over: with a far deadline most responses end long before it is due."""
        self._heap = [entry for entry in self._heap if entry[2].is_current(entry[0])]
        heapq.heapify(self._heap)
        self._crowded = max(_FEW, 2 * len(self._heap))  # so that a sweep pays for itself

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._heap or self._heap[0][0] > time.monotonic():
                    wait = self._heap[0][0] - time.monotonic() if self._heap else None
                    self._changed.wait(wait)
                due, _, watch = heapq.heappop(self._heap)
            watch.expire(due)


_lock = threading.Lock()
_the_keeper: _DeadlineThread | None = None


def _keeper() -> _DeadlineThread:
    """Return this process's keeper."""
    global _the_keeper  # noqa: PLW0603 - one thread a process
    keeper = _the_keeper
    if keeper is None:
        with _lock:
            keeper = _the_keeper
            if keeper is None:
                keeper = _the_keeper = _DeadlineThread()
    return keeper


def _after_fork_in_child() -> None:
    """Start anew: the thread did not survive, and the lock may have been held."""
    global _lock, _the_keeper
    _lock, _the_keeper = threading.Lock(), None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
