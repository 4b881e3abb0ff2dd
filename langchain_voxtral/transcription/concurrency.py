"""Ordered parallel work over a generator, in threads or on an event loop."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")


def map_ordered(items: Generator[T], work: Callable[[T], R], limit: int) -> Generator[R]:
    """Apply `work` to each item in threads and yield the results in order.

    At most `limit + 1` items are alive: those in work and the next one. After a failure, of `work`
    or of `items` itself, nothing more is started; the results before it are yielded first, and
    what is in work is finished, because its result may be paid for. If the caller stops early,
    running work is finished in the background, and the process does not wait for it to exit.
    """
    pending: deque[Future[R]] = deque()
    try:
        while True:
            try:
                item = next(items, None)
            except Exception as error:  # noqa: BLE001 - raised behind the results before it
                pending.append(_failure(error))
                break
            if item is None or not _has_slot(pending, limit):
                break
            pending.append(_start(work, item))
            while pending and _succeeded(pending[0]):
                yield pending.popleft().result()
        while pending:
            wait([pending[0]])
            if _any_failed(pending):
                wait(pending)
            yield pending.popleft().result()
    finally:
        items.close()


async def amap_ordered(
    items: Generator[T], work: Callable[[T], Coroutine[Any, Any, R]], limit: int
) -> AsyncGenerator[R]:
    """Do what `map_ordered` does in tasks; the items are made in a thread.

    If the caller stops early, running work is cancelled.
    """
    loop = asyncio.get_running_loop()
    pending: deque[asyncio.Future[R]] = deque()
    next_item: asyncio.Future[T | None] | None = None
    take = partial(next, items, None)
    try:
        while True:
            # Not `to_thread`: a loop that ends cancels its task, but cannot cancel its thread.
            next_item = loop.run_in_executor(None, copy_context().run, take)
            try:
                item = await asyncio.shield(next_item)
            except Exception as error:  # noqa: BLE001 - raised behind the results before it
                pending.append(loop.create_future())
                pending[-1].set_exception(error)
                break
            if item is None or not await _ahas_slot(pending, limit):
                break
            pending.append(asyncio.create_task(work(item)))
            while pending and _succeeded(pending[0]):
                yield pending.popleft().result()
        while pending:
            await asyncio.wait([pending[0]])
            if _any_failed(pending):
                await asyncio.wait(pending)
            yield pending.popleft().result()
    finally:
        await _cancel([*pending], next_item)
        items.close()


def _start(work: Callable[[T], R], item: T) -> Future[R]:
    """Start work in a daemon thread; the interpreter would wait for an executor's at exit."""
    future: Future[R] = Future()
    context = copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(work, item))
        except BaseException as error:  # noqa: BLE001 - raised where the result is taken
            future.set_exception(error)

    Thread(target=run, name="voxtral-transcribe", daemon=True).start()
    return future


def _failure(error: Exception) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


def _has_slot(pending: deque[Future[R]], limit: int) -> bool:
    """Wait until fewer than `limit` are running; return False if one has failed."""
    running = [future for future in pending if not future.done()]
    if len(running) >= limit:
        wait(running, return_when=FIRST_COMPLETED)
    return not _any_failed(pending)


async def _ahas_slot(pending: "deque[asyncio.Future[R]]", limit: int) -> bool:
    running = [future for future in pending if not future.done()]
    if len(running) >= limit:
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    return not _any_failed(pending)


def _any_failed(pending: "deque[Future[R]] | deque[asyncio.Future[R]]") -> bool:
    return any(future.done() and future.exception() for future in pending)


def _succeeded(future: "Future[R] | asyncio.Future[R]") -> bool:
    return future.done() and not future.exception()


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
