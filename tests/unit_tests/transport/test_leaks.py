"""Models hold no more resources than they need, however often they are used or abandoned."""

import asyncio
import gc
import sys
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any, cast

import httpx
import pytest
from support.call_modes import Caller, Model, text_of
from support.resource_usage import (
    count_connections,
    count_instances,
    resource_usage,
    wait_until_idle,
)
from support.scripted_server import TIMEOUT_SECONDS, End, ScriptedServer
from support.sse_replies import events, streamed, token, whole
from support.subprocesses import run_python
from support.transports import on_each_transport

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.errors import VoxtralAPIError, VoxtralIncompleteStreamError
from langchain_voxtral.transport.client_pool import ClientLease, ClientPool
from langchain_voxtral.transport.deadlines import TimeLimit

pytestmark = [
    pytest.mark.usefixtures("_no_earlier_models", "_no_open_sockets"),
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells all that a process holds"),
]

CALLS = 100
ABANDONED = 40
FINE = whole("Hello!")
OPEN = events(token("Hel"), End.STALL)


def connections(server: ScriptedServer) -> int:
    """Count our open connections to a server of this process."""
    return count_connections(int(server.url.split(":")[2].removesuffix("/v1")))


# Calls


@pytest.mark.parametrize("streaming", [False, True], ids=["invoke", "stream"])
def test_many_calls_hold_one_connection_and_none_after_closing(
    caller: Caller, streaming: bool
) -> None:
    with ScriptedServer(default=streamed("Hello!") if streaming else FINE) as server:
        model = caller.model(server)

        def call() -> None:
            if streaming:
                list(caller.stream(model))
            else:
                caller.invoke(model)

        call()
        before = resource_usage()
        for _ in range(CALLS if not streaming else CALLS // 5):
            call()
        assert (resource_usage(), connections(server)) == (before, 1)
        caller.close(model)
        server.wait_until_disconnected()
        assert connections(server) == 0


def test_many_calls_that_fail_hold_nothing_more(caller: Caller) -> None:
    refusal, cut = whole(), events(token("Hel"), End.CUT)
    with ScriptedServer(*[refusal, cut] * ABANDONED) as server:
        model = caller.model(server)
        for _ in range(ABANDONED):
            with pytest.raises(VoxtralAPIError):
                caller.invoke(model)
            with pytest.raises(VoxtralIncompleteStreamError):
                list(caller.stream(model))
        server.wait_until_disconnected()
        assert connections(server) == 0


def test_calls_with_a_long_deadline_leave_no_timers(model_class: type[Model]) -> None:
    with ScriptedServer(default=FINE) as server:
        model = model_class(base_url=server.url, deadline=3600)
        for _ in range(CALLS):
            model.invoke("Hello!")
        model.close()
    assert count_instances(TimeLimit) < CALLS / 2


def test_a_server_that_was_used_leaves_nothing_open(caller: Caller) -> None:
    def use() -> None:
        with ScriptedServer(FINE, streamed("Hello!"), OPEN) as server:
            model = caller.model(server)
            caller.invoke(model)
            list(caller.stream(model))
            chunks = cast("Generator[object]", caller.stream(model))
            next(chunks)
            caller.close(model)

    use()
    gc.collect()
    before = resource_usage()
    for _ in range(10):
        use()
    gc.collect()
    assert resource_usage() == before


# Models


def test_many_models_one_after_the_other_leave_no_clients(model_class: type[Model]) -> None:
    kinds = (ClientPool, ClientLease, httpx.Client, model_class)
    before = [count_instances(kind) for kind in kinds]
    with ScriptedServer(default=FINE) as server:
        for number in range(ABANDONED):
            model_class(base_url=server.url, seed=number).invoke("Hello!")
        assert connections(server) == 0
    assert [count_instances(kind) for kind in kinds] == before


async def test_many_models_one_after_the_other_leave_no_clients_in_a_loop(
    model_class: type[Model],
) -> None:
    kinds = (ClientPool, ClientLease, httpx.AsyncClient, model_class)
    before = [count_instances(kind) for kind in kinds]
    with ScriptedServer(default=FINE) as server:
        for number in range(ABANDONED):
            await model_class(base_url=server.url, seed=number).ainvoke("Hello!")
        await asyncio.to_thread(server.wait_until_disconnected)
        await wait_until_idle()
        assert connections(server) == 0
    assert [count_instances(kind) for kind in kinds] == before


def test_many_models_at_once_share_one_connection(caller: Caller) -> None:
    with ScriptedServer(default=FINE) as server:
        models = [caller.model(server, seed=number) for number in range(ABANDONED)]
        for model in models:
            caller.invoke(model)
        assert connections(server) == 1
        for model in models:
            caller.close(model)
        server.wait_until_disconnected()
        assert connections(server) == 0


# Abandoned streams


def broken_off(chunks: Iterator[object]) -> None:
    for _ in chunks:
        break


def closed(chunks: Iterator[object]) -> None:
    next(chunks)
    cast("Generator[object]", chunks).close()


def deleted(chunks: Iterator[object]) -> None:
    next(chunks)
    del chunks


def never_begun(chunks: Iterator[object]) -> None:
    del chunks


@pytest.mark.parametrize("leave", [broken_off, closed, deleted, never_begun])
def test_an_abandoned_stream_has_freed_its_connection_when_it_is_left(
    model_class: type[Model], leave: Callable[[Iterator[object]], None]
) -> None:
    with ScriptedServer(default=OPEN) as server:
        model = model_class(base_url=server.url)
        for _ in range(ABANDONED // 2):
            leave(model.stream("Hello!"))
            assert connections(server) == 0


def test_a_stream_in_a_cycle_is_freed_by_a_garbage_collection(model_class: type[Model]) -> None:
    with ScriptedServer(default=OPEN) as server:
        model = model_class(base_url=server.url)
        gc.disable()
        try:
            for _ in range(5):
                cycle: list[Any] = [model.stream("Hello!")]
                next(cycle[0])
                cycle.append(cycle)
            del cycle
            assert connections(server) == 5
            gc.collect()
            assert connections(server) == 0
        finally:
            gc.enable()


def test_a_garbage_collection_may_find_a_stream_at_any_time() -> None:
    """Also while a connection is taken from the pool or returned; its lock is not reentrant."""
    script = """
        import gc, itertools, sys
        from langchain_voxtral import ChatVoxtral
        chat = ChatVoxtral(base_url=sys.argv[1])
        chat.invoke("Hello!")
        gc.disable()
        gc.freeze()
        for allocations in itertools.count():
            gc.collect()
            cycle = [chat.stream("Hello!")]
            next(cycle[0])
            cycle.append(cycle)
            del cycle
            gc.set_threshold(gc.get_count()[0] + allocations, 0, 0)
            before = gc.get_stats()[0]["collections"]
            gc.enable()
            assert chat.invoke("Hello!").text == "Hello!"
            gc.disable()
            if gc.get_stats()[0]["collections"] == before:
                break  # a whole call makes fewer
        assert allocations > 50, allocations
    """
    with ScriptedServer(FINE, *[OPEN, FINE] * 1000) as server:
        run_python(script, server.url)


async def abroken_off(chunks: AsyncIterator[object]) -> None:
    async for _ in chunks:
        break


async def aclosed(chunks: AsyncIterator[object]) -> None:
    async with aclosing(cast("AsyncGenerator[object]", chunks)):
        await anext(chunks)


async def adeleted(chunks: AsyncIterator[object]) -> None:
    await anext(chunks)
    del chunks


async def acancelled(chunks: AsyncIterator[object]) -> None:
    await anext(chunks)
    waiting = asyncio.ensure_future(anext(chunks))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@pytest.mark.parametrize("leave", [abroken_off, aclosed, adeleted, acancelled])
async def test_an_abandoned_async_stream_leaves_no_connection_and_no_task(
    model_class: type[Model], leave: Callable[[AsyncIterator[object]], Any]
) -> None:
    with ScriptedServer(default=OPEN) as server:
        model = model_class(base_url=server.url)
        for _ in range(ABANDONED // 2):
            await leave(model.astream("Hello!"))
        await asyncio.to_thread(server.wait_until_disconnected)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            await wait_until_idle()
        assert connections(server) == 0
        await model.aclose()


# Threads and event loops


def test_many_threads_hold_no_more_connections_than_threads(model_class: type[Model]) -> None:
    def ask(_: int) -> str:
        return "".join(text_of(chunk) for chunk in model.stream("Hello!"))

    with ScriptedServer(default=streamed("Hello", "!")) as server:
        model = model_class(base_url=server.url)
        before = resource_usage().threads
        with ThreadPoolExecutor(32) as pool:
            answers = list(pool.map(ask, range(320)))
            assert connections(server) <= 32
        assert (answers, resource_usage().threads) == (["Hello!"] * 320, before)
        model.close()
        assert connections(server) == 0
    assert len(server.requests) == 320


@on_each_transport
def test_event_loops_in_turn_leave_neither_loops_nor_connections(model_class: type[Model]) -> None:
    loops: weakref.WeakSet[asyncio.AbstractEventLoop] = weakref.WeakSet()

    async def ask(model: Model) -> str:
        loops.add(asyncio.get_running_loop())
        return text_of(await model.ainvoke("Hello!"))

    with ScriptedServer(default=FINE) as server:
        model = model_class(base_url=server.url)
        answers = [asyncio.run(ask(model)) for _ in range(30)]
        gc.collect()
        # The last one is dropped when there is another.
        assert (answers, len(loops), connections(server)) == (["Hello!"] * 30, 1, 0)


@on_each_transport
def test_two_event_loops_and_threads_use_one_model_at_once() -> None:
    async def ask_often(model: ChatVoxtral) -> list[str]:
        answers = await asyncio.gather(*[model.ainvoke("Hello!") for _ in range(20)])
        return [answer.text for answer in answers]

    with ScriptedServer(default=FINE) as server, ThreadPoolExecutor(4) as pool:
        model = ChatVoxtral(base_url=server.url)
        loops = [pool.submit(asyncio.run, ask_often(model)) for _ in range(2)]
        threads = [pool.submit(model.batch, ["Hello!"] * 20) for _ in range(2)]
        assert [loop.result() for loop in loops] == [["Hello!"] * 20] * 2
        texts = [[answer.text for answer in thread.result()] for thread in threads]
        assert texts == [["Hello!"] * 20] * 2
        model.close()
        server.wait_until_disconnected()
    assert len(server.requests) == 80


async def test_a_stream_that_nobody_holds_is_closed_without_the_garbage_collector() -> None:
    with ScriptedServer(OPEN) as server:
        async with ChatVoxtral(base_url=server.url) as model:
            gc.disable()
            try:
                [chunk] = await asyncio.gather(anext(model.astream("Hello!")))
                await asyncio.to_thread(server.wait_until_disconnected)
            finally:
                gc.enable()
    assert chunk.text == "Hel"
