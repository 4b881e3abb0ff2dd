"""Connections are shared, and freed by closing, abandoning and cancelling."""

import asyncio
import gc
from collections.abc import AsyncGenerator

import pytest
from support.call_modes import Caller, Model, text_of
from support.scripted_server import End, Gate, Repeat, ScriptedServer
from support.sse_replies import events, final, streamed, token, whole
from support.transports import on_each_transport

pytestmark = pytest.mark.usefixtures("_no_earlier_models", "_no_open_sockets")

FINE = whole("Hello!")
ENDLESS = events(Repeat(token("on "), 0.001))


def test_closing_frees_the_connection_and_the_next_call_opens_another(caller: Caller) -> None:
    with ScriptedServer(default=FINE) as server:
        model = caller.model(server)
        for _ in range(2):
            caller.invoke(model)
            caller.invoke(model)
            caller.close(model)
            server.wait_until_disconnected()
    one, two, three, four = [seen.connection.port for seen in server.requests]
    assert one == two != three == four
    caller.close(model)  # closing twice is allowed


def test_a_with_block_frees_the_connection(model_class: type[Model]) -> None:
    with ScriptedServer(default=FINE) as server:
        with model_class(base_url=server.url) as model:
            model.invoke("Hello!")
        server.wait_until_disconnected()
        with model:
            model.invoke("Hello!")
        server.wait_until_disconnected()
    assert len(server.connections) == 2


async def test_an_async_with_block_frees_all_connections(model_class: type[Model]) -> None:
    with ScriptedServer(default=FINE) as server:
        async with model_class(base_url=server.url) as model:
            await model.ainvoke("Hello!")
            await asyncio.to_thread(model.invoke, "Hello!")
        await asyncio.to_thread(server.wait_until_disconnected)
        assert len(server.connections) == 2


def test_a_garbage_collected_model_frees_its_connection(model_class: type[Model]) -> None:
    with ScriptedServer(default=FINE) as server:
        model_class(base_url=server.url).invoke("Hello!")
        gc.collect()
        server.wait_until_disconnected()


async def test_a_garbage_collected_model_frees_its_connection_in_a_loop(
    model_class: type[Model],
) -> None:
    with ScriptedServer(default=FINE) as server:
        await model_class(base_url=server.url).ainvoke("Hello!")
        gc.collect()
        await asyncio.to_thread(server.wait_until_disconnected)


def test_models_with_equal_settings_share_connections(caller: Caller) -> None:
    with ScriptedServer(default=FINE) as server:
        one, other = caller.model(server, temperature=0), caller.model(server, temperature=1)
        caller.invoke(one)
        caller.invoke(other)
        caller.close(one)
        caller.invoke(other)
        assert len({seen.connection.port for seen in server.requests}) == 1
        caller.close(other)
        server.wait_until_disconnected()


def test_closing_a_model_does_not_break_the_stream_of_another(caller: Caller) -> None:
    gate = Gate()
    reply = events(token("Hel"), gate, token("lo"), final())
    with ScriptedServer(reply, FINE) as server:
        one, other = caller.model(server), caller.model(server)
        chunks = caller.stream(one)
        assert next(chunks).text == "Hel"
        caller.invoke(other)
        caller.close(other)
        gate.open()
        assert "".join(chunk.text for chunk in chunks) == "lo"
        caller.close(one)


def test_a_stream_that_was_read_to_its_end_leaves_its_connection_for_the_next(
    caller: Caller,
) -> None:
    with ScriptedServer(default=streamed("Hello")) as server:
        model = caller.model(server)
        for _ in range(3):
            list(caller.stream(model))
        caller.close(model)
    assert (len(server.requests), len(server.connections)) == (3, 1)


def test_breaking_out_of_a_stream_closes_its_connection(model_class: type[Model]) -> None:
    with ScriptedServer(ENDLESS, FINE) as server:
        model = model_class(base_url=server.url)
        for _ in model.stream("Hello!"):
            break
        server.wait_until_disconnected()
        assert getattr(answer := model.invoke("Hello!"), "text", answer) == "Hello!"
        model.close()


async def test_breaking_out_of_an_async_stream_closes_its_connection(
    model_class: type[Model],
) -> None:
    with ScriptedServer(ENDLESS, FINE) as server:
        model = model_class(base_url=server.url)
        async for _ in model.astream("Hello!"):
            break
        await asyncio.to_thread(server.wait_until_disconnected)
        assert getattr(answer := await model.ainvoke("Hello!"), "text", answer) == "Hello!"
        await model.aclose()


async def test_closing_an_async_stream_closes_its_connection(model_class: type[Model]) -> None:
    with ScriptedServer(ENDLESS) as server:
        chunks = model_class(base_url=server.url).astream("Hello!")
        assert isinstance(chunks, AsyncGenerator)
        await anext(chunks)
        await chunks.aclose()
        await asyncio.to_thread(server.wait_until_disconnected)


@on_each_transport
def test_a_loop_that_ends_in_the_middle_of_a_stream_leaves_nothing(
    model_class: type[Model], caplog: pytest.LogCaptureFixture
) -> None:
    async def first_only(model: Model) -> str:
        async for chunk in model.astream("Hello!"):
            return text_of(chunk)
        return ""

    with ScriptedServer(ENDLESS) as server:
        text = asyncio.run(first_only(model_class(base_url=server.url)))
        assert set(text.split()) == {"on"}  # several tokens may come together
        server.wait_until_disconnected()
    gc.collect()
    assert caplog.records == []


async def test_cancelling_a_stream_closes_its_connection(model_class: type[Model]) -> None:
    began = asyncio.Event()

    async def read(model: Model) -> None:
        async for _ in model.astream("Hello!"):
            began.set()

    with ScriptedServer(events(token("Hello"), End.STALL)) as server:
        task = asyncio.create_task(read(model_class(base_url=server.url)))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_until_disconnected)


async def test_cancelling_a_call_closes_its_connection(model_class: type[Model]) -> None:
    with ScriptedServer(events(End.STALL)) as server:
        task = asyncio.create_task(model_class(base_url=server.url, deadline=60).ainvoke("Hello!"))
        await asyncio.to_thread(server.wait_for_requests, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_until_disconnected)
    assert len(server.requests) == 1


async def test_a_timeout_of_the_caller_is_not_converted(model_class: type[Model]) -> None:
    with ScriptedServer(events(End.STALL)) as server:
        model = model_class(base_url=server.url, deadline=60)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(model.ainvoke("Hello!"), 0.1)
        await asyncio.to_thread(server.wait_until_disconnected)
    assert len(server.requests) <= 1
