"""Work on many things at once, results in order, and few things alive at a time."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import Any, TypeVar

__all__ = ["ain_order", "in_order"]

T = TypeVar("T")
R = TypeVar("R")


def in_order(things: Generator[T], work: Callable[[T], R], most: int) -> Generator[R]:
    """Work on things in threads and yield the results in the things' order.

    At most `most + 1` things are alive: those that are worked on, and the next one. After a
    failure nothing more is begun; what is under way comes to its end, so that its result, which
    may be paid for, is not thrown away within `work`. When the caller stops early, it comes to its
    end in the background, but the end of the process does not wait for it.

    Args:
        things: What to work on; taken one by one, in the caller's thread.
        work: What to do.
        most: How many at once.

    Raises:
        Exception: What `work` raised: of those that failed, the first in order.
    """
    waiting: deque[Future[R]] = deque()
    try:
        for thing in things:
            if not _has_room(waiting, most):
                break
            waiting.append(_begun(work, thing))
            while waiting and _succeeded(waiting[0]):
                yield waiting.popleft().result()
        while waiting:
            wait([waiting[0]])
            if _failed(waiting):
                wait(waiting)
            yield waiting.popleft().result()
    finally:
        things.close()


def _begun(work: Callable[[T], R], thing: T) -> Future[R]:
    """Begin in a thread of its own, which ends with the process: an executor's would be awaited."""
    future: Future[R] = Future()
    context = copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(work, thing))
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is taken
            future.set_exception(error)

    Thread(target=run, name="voxtral-transcribe", daemon=True).start()
    return future


def _has_room(waiting: deque[Future[R]], most: int) -> bool:
    """Wait until fewer are under way; return whether one more may begin: not after a failure."""
    running = [future for future in waiting if not future.done()]
    if len(running) >= most:
        wait(running, return_when=FIRST_COMPLETED)
    return not _failed(waiting)


async def _ahas_room(waiting: "deque[asyncio.Task[R]]", most: int) -> bool:
    running = [task for task in waiting if not task.done()]
    if len(running) >= most:
        await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
    return not _failed(waiting)


def _failed(waiting: "deque[Future[R]] | deque[asyncio.Task[R]]") -> bool:
    return any(future.done() and future.exception() for future in waiting)


def _succeeded(future: "Future[R] | asyncio.Task[R]") -> bool:
    return future.done() and not future.exception()


async def ain_order(
    things: Generator[T], work: Callable[[T], Coroutine[Any, Any, R]], most: int
) -> AsyncGenerator[R]:
    """Do what `in_order` does on the event loop; the things are taken in a thread.

    What is under way when the caller stops early is cancelled.
    """
    loop = asyncio.get_running_loop()
    waiting: deque[asyncio.Task[R]] = deque()
    taking: asyncio.Future[T | None] | None = None
    take = partial(next, things, None)
    try:
        while True:
            # No task, as `to_thread` would be: that a loop which ends cancels, unlike its thread.
            taking = loop.run_in_executor(None, copy_context().run, take)
            thing = await asyncio.shield(taking)
            taking = None
            if thing is None or not await _ahas_room(waiting, most):
                break
            waiting.append(asyncio.create_task(work(thing)))
            while waiting and _succeeded(waiting[0]):
                yield waiting.popleft().result()
        while waiting:
            await asyncio.wait([waiting[0]])
            if _failed(waiting):
                await asyncio.wait(waiting)
            yield waiting.popleft().result()
    finally:
        await _ended(waiting, taking)
        things.close()


async def _ended(tasks: Iterable[asyncio.Task[R]], taking: asyncio.Future[T] | None) -> None:
    """Cancel tasks and wait for all; a thread cannot be cancelled and makes its thing first."""
    left: list[asyncio.Future[Any]] = [*tasks]
    for task in left:
        task.cancel()
    if taking is not None:
        left.append(taking)
    if left:
        await asyncio.wait(left)
    for future in left:
        if not future.cancelled():
            future.exception()  # else asyncio reports it as never looked at
