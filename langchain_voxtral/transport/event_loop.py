"""asyncio's event loop, which all asynchronous methods need."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import ParamSpec, TypeVar

from langchain_voxtral.errors import VoxtralInvalidRequestError

P = ParamSpec("P")
T = TypeVar("T")


class NoEventLoopError(VoxtralInvalidRequestError, RuntimeError):
    """An asynchronous method was called where asyncio does not run; asyncio's is a RuntimeError."""


def is_in_event_loop() -> bool:
    """Return whether an event loop of asyncio runs in this thread, which must not be blocked."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def running_loop() -> asyncio.AbstractEventLoop:
    """Return asyncio's running event loop.

    Raises:
        NoEventLoopError: There is none.
    """
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise NoEventLoopError(
            "The asynchronous methods of this package run on asyncio, and no event loop of asyncio "
            "is running here. With trio, call the synchronous method in a thread, as in "
            "trio.to_thread.run_sync(chat.invoke, messages); elsewhere use asyncio.run()."
        ) from None


def on_asyncio(stream: AsyncIterator[T]) -> AsyncIterator[T]:
    """Return a stream; where asyncio does not run, one whose first item is the error about that."""
    return stream if is_in_event_loop() else _checked(stream)


async def _checked(stream: AsyncIterator[T]) -> AsyncIterator[T]:
    running_loop()  # it may have been made elsewhere
    async for item in stream:
        yield item


async def to_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do what `asyncio.to_thread` does, with an error that says what is missing."""
    running_loop()
    return await asyncio.to_thread(function, *args, **kwargs)
