"""Ordered parallel work over a generator, in threads or on an event loop."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from threading import Event, Thread
from typing import Any, Generic, TypeVar

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")


def stream_ordered(
    items: Generator[T], work: Callable[[T, Callable[[P], None]], R], limit: int
) -> Generator[P | R]:
    """Apply `work` to each item in threads and yield its outputs in the order of the items.

    Outputs are the pieces that work emits, by the function that it is given, and then its result.
    Those of the first item that is in work leave as they come; the others wait for their turn.

    At most `limit + 1` items are alive: those in work and the next one. After a failure, of `work`
    or of `items` itself, nothing more is started; the outputs before it are yielded first, and
    what is in work is finished, because its result may be paid for. If the caller stops early,
    work that emits ends at its next piece; other work is finished in the background, and the
    process does not wait for it to exit.
    """
    changed, works = Event(), _Works[P, R](limit)
    item: T | None = None
    has_more = True
    try:
        while True:
            changed.clear()  # before looking, so that no change is missed
            yield from works.take()
            if works.has_failed:
                item, has_more = None, False
            if item is not None and works.has_slot:
                works.add(partial(_start, work, item), changed.set)
                item = None
            elif item is None and has_more:
                try:
                    item = next(items, None)
                except Exception as error:  # noqa: BLE001 - raised behind the outputs before it
                    works.add_failure(Future(), error)
                has_more = item is not None
            elif works.pending:
                changed.wait()
            else:
                return
    finally:
        works.is_stopped = True
        items.close()


async def astream_ordered(
    items: Generator[T],
    work: Callable[[T, Callable[[P], None]], Coroutine[Any, Any, R]],
    limit: int,
) -> AsyncGenerator[P | R]:
    """Do what `stream_ordered` does in tasks; the items are made in a thread.

    If the caller stops early, running work is cancelled.
    """
    loop = asyncio.get_running_loop()
    changed, works = asyncio.Event(), _Works[P, R](limit)
    item: T | None = None
    next_item: asyncio.Future[T | None] | None = None
    has_more = True
    take = partial(next, items, None)
    try:
        while True:
            changed.clear()
            for output in works.take():
                yield output
            if works.has_failed:
                item, has_more = None, False
            if item is not None and works.has_slot:
                works.add(partial(_create_task, work, item), changed.set)
                item = None
            elif item is None and has_more and next_item is None:
                # Not `to_thread`: a loop that ends cancels its task, but cannot cancel its thread.
                next_item = loop.run_in_executor(None, copy_context().run, take)
                next_item.add_done_callback(lambda _: changed.set())
            elif next_item is not None and next_item.done():
                try:
                    item = next_item.result()
                except Exception as error:  # noqa: BLE001 - raised behind the outputs before it
                    works.add_failure(loop.create_future(), error)
                next_item, has_more = None, item is not None
            elif works.pending or next_item is not None:
                await changed.wait()
            else:
                return
    finally:
        await _cancel([each.future for each in works.pending], next_item)
        items.close()


@dataclass(slots=True)
class _Work(Generic[P, R]):
    """Work on one item: the pieces that nobody has taken yet, and what becomes of it."""

    pieces: deque[P] = field(default_factory=deque)
    future: Any = None  # of `concurrent.futures` or of asyncio

    @property
    def has_failed(self) -> bool:
        return self.future.done() and self.future.exception() is not None


class _Works(Generic[P, R]):
    """The work that is not yielded yet, in the order of its items."""

    def __init__(self, limit: int) -> None:
        self.pending: deque[_Work[P, R]] = deque()
        self.is_stopped = False
        self._limit = limit

    @property
    def has_failed(self) -> bool:
        return any(each.has_failed for each in self.pending)

    @property
    def has_slot(self) -> bool:
        return sum(not each.future.done() for each in self.pending) < self._limit

    def add(self, start: Callable[[Callable[[P], None]], Any], notify: Callable[[], None]) -> None:
        """Start work; `notify` is called for each of its pieces, and when it is done."""
        work = _Work[P, R]()

        def emit(piece: P) -> None:
            if self.is_stopped:
                raise GeneratorExit("The caller has left.")  # as callbacks know it of chats
            work.pieces.append(piece)
            notify()

        work.future = start(emit)
        self.pending.append(work)
        work.future.add_done_callback(lambda _: notify())

    def add_failure(self, future: Any, error: Exception) -> None:
        """Add a failure in the place of work, as a future of the kind that the work has."""
        future.set_exception(error)
        self.pending.append(_Work(future=future))

    def take(self) -> Iterator[P | R]:
        """Yield what may leave now.

        Raises:
            Exception: What the first work has failed with, once no work is running.
        """
        while self.pending:
            first = self.pending[0]
            is_done = first.future.done()  # before its pieces are taken, so that they are all
            while first.pieces:
                yield first.pieces.popleft()
            if not is_done or (first.has_failed and not self._is_idle):
                return
            yield self.pending.popleft().future.result()

    @property
    def _is_idle(self) -> bool:
        return all(each.future.done() for each in self.pending)


def _start(
    work: Callable[[T, Callable[[P], None]], R], item: T, emit: Callable[[P], None]
) -> Future[R]:
    """Start work in a daemon thread; the interpreter would wait for an executor's at exit."""
    future: Future[R] = Future()
    context = copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(work, item, emit))
        except BaseException as error:  # noqa: BLE001 - raised where the result is taken
            future.set_exception(error)

    Thread(target=run, name="voxtral-transcribe", daemon=True).start()
    return future


def _create_task(
    work: Callable[[T, Callable[[P], None]], Coroutine[Any, Any, R]],
    item: T,
    emit: Callable[[P], None],
) -> asyncio.Task[R]:
    return asyncio.create_task(work(item, emit))


async def _cancel(tasks: list[asyncio.Future[Any]], next_item: asyncio.Future[T] | None) -> None:
    """Cancel tasks and wait for them, and for a thread, which makes its item before it ends."""
    for task in tasks:
        task.cancel()
    if next_item is not None:
        tasks.append(next_item)
    if tasks:
        await asyncio.wait(tasks)
    for task in tasks:
        if not task.cancelled():
            task.exception()  # else asyncio logs it as never retrieved
