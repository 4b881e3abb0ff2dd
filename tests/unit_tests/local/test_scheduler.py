"""The queue of an engine."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import pytest

from langchain_voxtral.local.engine.scheduler import Scheduler, WorkCancelledError, WorkItem
from langchain_voxtral.local.errors import ErrorResponse


class Log(list[str]):
    """Records what ran, in order, and can block an item."""

    def __init__(self) -> None:
        self.started, self.gate = threading.Event(), threading.Event()

    def item(self, scheduler: Scheduler, name: str) -> WorkItem[str]:
        def work(item: WorkItem[str]) -> None:
            if name == "running":
                self.started.set()
                assert self.gate.wait(10)
            self.append(name)
            item.put(name)

        return WorkItem(scheduler, work)


@contextlib.asynccontextmanager
async def busy_scheduler(log: Log, queue_size: int = 16) -> AsyncIterator[Scheduler]:
    scheduler = Scheduler(queue_size, "test")
    async with log.item(scheduler, "running"):
        assert await asyncio.to_thread(log.started.wait, 10)
        yield scheduler
    log.gate.set()
    scheduler.close(10)


async def test_items_run_in_order_of_arrival() -> None:
    log = Log()
    async with busy_scheduler(log) as scheduler, contextlib.AsyncExitStack() as stack:
        items = [log.item(scheduler, str(number)) for number in range(4)]
        for item in items:
            await stack.enter_async_context(item)
        assert await items[0].next_within(0) is None
        log.gate.set()
        assert [await item.next() for item in items] == ["0", "1", "2", "3"]
    assert log == ["running", "0", "1", "2", "3"]


async def test_a_full_queue_refuses_until_a_slot_is_free() -> None:
    log = Log()
    async with busy_scheduler(log, queue_size=1) as scheduler:
        async with log.item(scheduler, "waiting") as waiting:
            with pytest.raises(ErrorResponse) as caught:
                await log.item(scheduler, "too many").__aenter__()
        async with log.item(scheduler, "next") as item:
            log.gate.set()
            assert await item.next() == "next"
    assert (caught.value.status, caught.value.headers) == (429, {"retry-after": "1"})
    assert caught.value.body == {
        "error": {
            "message": "Model busy, retry later",
            "type": "invalid_request_error",
            "param": None,
            "code": "engine_overloaded",
        }
    }
    assert (waiting.has_started, item.has_started) == (False, True)
    assert log == ["running", "next"]


async def test_an_idle_scheduler_accepts_an_item_without_a_queue() -> None:
    log = Log()
    async with busy_scheduler(log, queue_size=0) as scheduler:
        with pytest.raises(ErrorResponse):
            await log.item(scheduler, "too many").__aenter__()
    assert log == ["running"]


async def test_cancelled_work_ends_at_its_next_result() -> None:
    scheduler, entered, left = Scheduler(1, "test"), threading.Event(), threading.Event()
    ended: list[BaseException] = []

    def work(item: WorkItem[int]) -> None:
        entered.set()
        assert left.wait(10)
        try:
            item.put(1)
        except WorkCancelledError as error:
            ended.append(error)

    async with WorkItem(scheduler, work):
        assert await asyncio.to_thread(entered.wait, 10)
    left.set()
    scheduler.close(10)
    assert len(ended) == 1


async def test_an_error_of_the_work_is_raised_by_next() -> None:
    def work(_: WorkItem[int]) -> None:
        raise ZeroDivisionError

    scheduler = Scheduler(1, "test")
    async with WorkItem(scheduler, work) as item:
        with pytest.raises(ZeroDivisionError):
            await item.next()
    scheduler.close(10)


async def test_a_closed_scheduler_aborts_its_items_and_refuses_others() -> None:
    log = Log()
    async with busy_scheduler(log) as scheduler, log.item(scheduler, "waiting") as waiting:
        scheduler.close(0)
        with pytest.raises(ErrorResponse) as aborted:
            await waiting.next()
        with pytest.raises(ErrorResponse) as refused:
            await log.item(scheduler, "late").__aenter__()
    assert (aborted.value.status, refused.value.status) == (503, 503)
    assert log == ["running"]
