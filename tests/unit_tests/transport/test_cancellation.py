"""Every way to stop reading frees the connection at once; the model can be called again."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from typing import Any, cast

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import Runnable, RunnableLambda
from support.blocking_points import BUSY, OPEN, BlockingPoint, at_each_blocking_point
from support.call_modes import Model, text_of
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import whole

from langchain_voxtral import ChatVoxtral, VoxtralLLM

pytestmark = pytest.mark.usefixtures("_no_open_sockets")

FINE = whole("Hello!")


async def is_over(server: ScriptedServer, model: Model) -> None:
    """Check that the connections are closed, nothing was retried, and a new call works."""
    await asyncio.to_thread(server.wait_until_disconnected)
    assert len(server.requests) == 1
    assert text_of(await model.ainvoke("Hello!")) == "Hello!"
    await model.aclose()


# Tasks


@at_each_blocking_point
@pytest.mark.parametrize("deadline", [None, 60])
async def test_a_task_can_be_cancelled_wherever_it_waits(
    model_class: type[Model], reply: Reply, streaming: bool, deadline: float | None
) -> None:
    with ScriptedServer(reply, FINE) as server, BlockingPoint(server, reply) as point:
        model = model_class(base_url=server.url, deadline=deadline)
        task = asyncio.create_task(point.acall(model, streaming=streaming))
        await asyncio.to_thread(point.wait)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError):
            await task
        if reply is BUSY:  # the connection is idle in the pool
            await model.aclose()
        await is_over(server, model)


@at_each_blocking_point
@pytest.mark.parametrize("deadline", [None, 60])
async def test_a_timeout_of_the_caller_raises_timeout_error(
    model_class: type[Model], reply: Reply, streaming: bool, deadline: float | None
) -> None:
    with ScriptedServer(reply, FINE) as server, BlockingPoint(server, reply) as point:
        model = model_class(base_url=server.url, deadline=deadline)
        limit = asyncio.timeout(None)

        async def end() -> None:
            await asyncio.to_thread(point.wait)
            limit.reschedule(asyncio.get_running_loop().time())

        async def limited() -> None:
            async with limit:
                await point.acall(model, streaming=streaming)

        ending = asyncio.create_task(end())
        with pytest.raises(TimeoutError) as caught:
            await limited()
        await ending
        assert type(caught.value) is TimeoutError
        if reply is BUSY:
            await model.aclose()
        await is_over(server, model)


async def test_a_task_group_that_fails_cancels_its_streams(model_class: type[Model]) -> None:
    with ScriptedServer(OPEN, FINE) as server, BlockingPoint(server, OPEN) as point:
        model = model_class(base_url=server.url)

        async def fail() -> None:
            await asyncio.to_thread(point.wait)
            raise ZeroDivisionError

        async def both() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(point.acall(model, streaming=True))
                group.create_task(fail())

        with pytest.raises(ExceptionGroup) as caught:
            await both()
        assert [type(error) for error in caught.value.exceptions] == [ZeroDivisionError]
        await is_over(server, model)


# Consumers


@pytest.mark.parametrize("error", [None, ZeroDivisionError, KeyboardInterrupt])
def test_a_consumer_that_stops_or_fails_frees_the_connection(
    model_class: type[Model], error: type[BaseException] | None
) -> None:
    def consume() -> None:
        with closing(cast("Generator[Any]", model.stream("Hello!"))) as chunks:
            assert text_of(next(chunks)) == "Hel"
            if error is not None:
                raise error

    with ScriptedServer(OPEN, FINE) as server:
        model = model_class(base_url=server.url)
        if error is None:
            consume()
        else:
            with pytest.raises(error):
                consume()
        server.wait_until_disconnected()
        assert text_of(model.invoke("Hello!")) == "Hello!"
        model.close()


def itself(model: Model) -> Runnable[Any, Any]:
    return model


def chain(model: Model) -> Runnable[Any, Any]:
    sent: Runnable[str, Any] = RunnableLambda(str)
    return sent.pipe(model, StrOutputParser())


@pytest.mark.parametrize("made", [itself, chain])
@pytest.mark.parametrize("error", [None, ZeroDivisionError])
async def test_an_async_consumer_that_stops_or_fails_frees_the_connection(
    model_class: type[Model],
    made: Callable[[Model], Runnable[Any, Any]],
    error: type[BaseException] | None,
) -> None:
    async def consume() -> None:
        chunks = cast("AsyncGenerator[Any]", made(model).astream("Hello!"))
        async with aclosing(chunks):
            assert text_of(await anext(chunks)) == "Hel"
            if error is not None:
                raise error

    with ScriptedServer(OPEN, FINE) as server:
        model = model_class(base_url=server.url)
        if error is None:
            await consume()
        else:
            with pytest.raises(error):
                await consume()
        await is_over(server, model)


async def test_closing_a_stream_of_events_frees_the_connection(model_class: type[Model]) -> None:
    with ScriptedServer(OPEN, FINE) as server:
        model = model_class(base_url=server.url)
        events = cast("AsyncGenerator[Any]", model.astream_events("Hello!", version="v2"))
        async with aclosing(events):
            while (await anext(events))["event"] not in {"on_chat_model_stream", "on_llm_stream"}:
                pass
        await is_over(server, model)


# Callbacks


class Failing(BaseCallbackHandler):
    """A handler that fails at the first token and raises."""

    raise_error = True

    def on_llm_new_token(self, *_: Any, **__: Any) -> None:
        raise ZeroDivisionError


class AsyncFailing(AsyncCallbackHandler):
    """The same, asynchronous."""

    raise_error = True

    async def on_llm_new_token(self, *_: Any, **__: Any) -> None:
        raise ZeroDivisionError


def test_a_callback_that_fails_ends_the_stream_with_its_error(model_class: type[Model]) -> None:
    with ScriptedServer(OPEN, FINE) as server:
        model = model_class(base_url=server.url)
        with pytest.raises(ZeroDivisionError):
            list(model.stream("Hello!", {"callbacks": [Failing()]}))
        server.wait_until_disconnected()
        assert text_of(model.invoke("Hello!")) == "Hello!"
        model.close()


@pytest.mark.parametrize("handler", [Failing, AsyncFailing])
async def test_a_callback_that_fails_ends_the_async_stream_with_its_error(
    model_class: type[Model], handler: type[BaseCallbackHandler]
) -> None:
    with ScriptedServer(OPEN, FINE) as server:
        model = model_class(base_url=server.url)
        with pytest.raises(ZeroDivisionError):
            [_ async for _ in model.astream("Hello!", {"callbacks": [handler()]})]
        await is_over(server, model)


def test_a_callback_that_fails_ends_an_invoke_that_streams_inside() -> None:
    with ScriptedServer(OPEN, FINE) as server:
        model = ChatVoxtral(base_url=server.url, streaming=True)
        with pytest.raises(ZeroDivisionError):
            model.invoke("Hello!", {"callbacks": [Failing()]})
        server.wait_until_disconnected()
        assert VoxtralLLM(base_url=server.url).invoke("Hello!") == "Hello!"
        model.close()
