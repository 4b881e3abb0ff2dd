"""One generation at a time, first come first served."""

import threading
from collections import deque
from typing import Protocol

from langchain_voxtral.local.errors import ErrorResponse

__all__ = ["Scheduler", "WorkItem"]

_BUSY = {
    "error": {
        "message": "Model busy, retry later",
        "type": "invalid_request_error",
        "param": None,
        "code": "engine_overloaded",
    }
}


class WorkItem(Protocol):
    """What a worker does; it handles its own failures."""

    def run(self) -> None:
        """Do it, in the worker's thread."""

    def abort(self) -> None:
        """End it soon, because the server stops; called from another thread."""


class Scheduler:
    """A daemon thread that runs jobs in order.

    Generation gets a thread of its own because a call into llama.cpp blocks for seconds,
    and a daemon one because nothing can interrupt it while it reads a prompt.

    Args:
        queue_size: Jobs that may wait beside the one that runs.
    """

    def __init__(self, queue_size: int) -> None:
        self._queue_size = queue_size
        self._waiting: deque[WorkItem] = deque()
        self._running: WorkItem | None = None
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name="voxtral-engine", daemon=True)
        self._thread.start()

    def submit(self, job: WorkItem) -> None:
        """Queue a job.

        Raises:
            ErrorResponse: 429, the queue is full; 503, the server is stopping.
        """
        with self._changed:
            if self._closed:
                raise ErrorResponse.with_message(503, "The server is stopping")
            waiting = len(self._waiting) - (self._running is None)
            if waiting >= self._queue_size:
                raise ErrorResponse(429, _BUSY, {"retry-after": "1"})
            self._waiting.append(job)
            self._changed.notify()

    def withdraw(self, job: WorkItem) -> None:
        """Give up a job's place in the queue, if it still has one."""
        with self._changed:
            if job in self._waiting:
                self._waiting.remove(job)

    def close(self, patience: float) -> None:
        """Abort all jobs and wait up to `patience` seconds for the one that runs."""
        with self._changed:
            self._closed = True
            jobs = [*self._waiting, *([self._running] if self._running else [])]
            self._waiting.clear()
            self._changed.notify()
        for job in jobs:
            job.abort()
        self._thread.join(patience)

    def _run(self) -> None:
        while job := self._next():
            job.run()

    def _next(self) -> WorkItem | None:
        with self._changed:
            self._running = None
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._closed:
                self._running = self._waiting.popleft()
            return self._running
