"""Engines run one piece of work at a time, each in a thread of its own, first come first served."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from langchain_voxtral.local.engine.llama import GenerationEnd, Token
from langchain_voxtral.local.errors import ErrorResponse

if TYPE_CHECKING:
    from langchain_voxtral.local.models import TextModel

_BUSY = {
    "error": {
        "message": "Model busy, retry later",
        "type": "invalid_request_error",
        "param": None,
        "code": "engine_overloaded",
    }
}
_STOPPING = "The server is stopping"

Result = TypeVar("Result")


class WorkCancelledError(Exception):
    """Nobody waits for the results of the work any more."""


class WorkItem(Generic[Result]):
    """Work for an engine's thread, whose results an event loop reads one by one.

    An async context manager. Leaving it, however, cancels the work: what waits does not start,
    and what runs ends when it next calls `put` or `check`.

    Args:
        scheduler: The thread to run in.
        work: Called there with this object, to which it gives its results.
    """

    def __init__(
        self, scheduler: "Scheduler", work: "Callable[[WorkItem[Result]], object]"
    ) -> None:
        self._scheduler = scheduler
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._results: asyncio.Queue[Result | Exception] = asyncio.Queue()
        self._is_cancelled = False
        self.has_started = False
        """Whether the scheduler has begun it; it does not change once the context is left."""

    async def __aenter__(self) -> Self:
        self._scheduler.submit(self)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._is_cancelled = True
        self._scheduler.remove(self)

    async def next(self) -> Result:
        """Return the next result, or raise what the work raised."""
        result = await self._results.get()
        if isinstance(result, Exception):
            raise result
        return result

    async def next_within(self, seconds: float) -> Result | None:
        """Return the next result, or None if it takes longer."""
        try:
            async with asyncio.timeout(seconds):
                return await self.next()
        except TimeoutError:
            return None

    def put(self, result: Result) -> None:
        """Hand over a result; raises `WorkCancelledError` if nobody waits for more."""
        self._send(result)
        self.check()

    def check(self) -> None:
        """Raise `WorkCancelledError` if nobody waits for results."""
        if self._is_cancelled:
            raise WorkCancelledError

    def run(self) -> None:
        """Do the work, in the scheduler's thread."""
        try:
            self._work(self)
        except Exception as error:  # noqa: BLE001 - raised again by `next`
            self._send(error)

    def abort(self) -> None:
        """Cancel the work because the server stops, and raise 503 where its results are read."""
        self._is_cancelled = True
        self._send(ErrorResponse.with_message(503, _STOPPING))

    def _send(self, result: Result | Exception) -> None:
        try:
            self._loop.call_soon_threadsafe(self._results.put_nowait, result)
        except RuntimeError:  # the loop is closed
            self._is_cancelled = True


class Scheduler:
    """A thread that runs work items in order.

    It is a daemon thread, not a `ThreadPoolExecutor`, because Python waits for an executor's
    thread before it calls `atexit` functions, and only those stop a generation that runs.

    Args:
        queue_size: Items that may wait beside the one that runs.
        name: The thread's name.
    """

    def __init__(self, queue_size: int, name: str) -> None:
        self._queue_size = queue_size
        self._waiting: deque[WorkItem[Any]] = deque()
        self._running: WorkItem[Any] | None = None
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, item: WorkItem[Any]) -> None:
        """Queue an item; `ErrorResponse` 429 if the queue is full, 503 if the server stops."""
        with self._changed:
            if self._is_closed:
                raise ErrorResponse.with_message(503, _STOPPING)
            if len(self._waiting) - (self._running is None) >= self._queue_size:
                raise ErrorResponse(429, _BUSY, {"retry-after": "1"})
            self._waiting.append(item)
            self._changed.notify()

    def remove(self, item: WorkItem[Any]) -> None:
        """Take an item out of the queue if it still waits."""
        with self._changed:
            if item in self._waiting:
                self._waiting.remove(item)

    def close(self, timeout: float) -> None:
        """Abort all items and wait up to `timeout` seconds for the one that runs."""
        with self._changed:
            self._is_closed = True
            items = [*self._waiting, *([self._running] if self._running else [])]
            self._waiting.clear()
            self._changed.notify()
        for item in items:
            item.abort()
        self._thread.join(timeout)

    def _run(self) -> None:
        while item := self._next():
            item.run()

    def _next(self) -> WorkItem[Any] | None:
        with self._changed:
            self._running = None
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if not self._is_closed:
                self._running = self._waiting.popleft()
                self._running.has_started = True
            return self._running


class TextWorker:
    """A language model and its queue."""

    def __init__(self, model: "TextModel", queue_size: int) -> None:
        self._model = model
        self._scheduler = Scheduler(queue_size, "voxtral-engine")
        self.close = self._scheduler.close

    async def load(self) -> None:
        """Load the model, if it is not; what fails is tried again by the next call.

        Raises:
            VoxtralLocalError: It cannot be had or loaded.
        """
        if not self._model.is_loaded:
            async with WorkItem(self._scheduler, _load(self._model)) as item:
                await item.next()

    def generate(self, requests: Sequence[Mapping[str, object]]) -> WorkItem[Token | GenerationEnd]:
        """Return the work that generates one text after the other: tokens, end, tokens, end."""

        def work(item: WorkItem[Token | GenerationEnd]) -> None:
            for fields in requests:
                item.put(self._model.engine.generate(fields, item.put))

        return WorkItem(self._scheduler, work)


def _load(model: "TextModel") -> Callable[[WorkItem[None]], None]:
    def work(item: WorkItem[None]) -> None:
        model.load()
        item.put(None)

    return work
