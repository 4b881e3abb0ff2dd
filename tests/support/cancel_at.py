"""Cancels a task at chosen points, so that a test can try each of them."""

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any


class CancelAt:
    """Runs a coroutine, and cancels its task as it suspends for the given times, from 0.

    Example:
        ```python
        run = CancelAt(model.ainvoke("Hello!"), 3)
        with suppress(asyncio.CancelledError):
            await run
        assert run.suspensions >= 3
        ```
    """

    def __init__(self, coroutine: Coroutine[Any, Any, Any], *times: int) -> None:
        self._coroutine = coroutine
        self._times = times
        self.suspensions = 0

    def __await__(self) -> Generator[Any, Any, Any]:
        task = asyncio.current_task()
        assert task is not None
        resume, argument = self._coroutine.send, None
        while True:
            try:
                awaited = resume(argument)
            except StopIteration as end:
                return end.value
            if self.suspensions in self._times:
                task.cancel()  # asyncio delivers it at the suspension that follows
            self.suspensions += 1
            resume, argument = self._coroutine.send, None
            try:
                yield awaited
            except BaseException as error:  # noqa: BLE001 - the coroutine gets it
                resume, argument = self._coroutine.throw, error
