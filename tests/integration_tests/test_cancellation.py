"""A caller that stops reading stops the engine."""

import asyncio
import signal
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing, closing
from typing import Any, cast

import pytest
from pydantic import SecretStr

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.local import LocalVoxtral

LIMIT = 3000
ENDLESS: dict[str, Any] = {
    "max_tokens": LIMIT,
    "response_format": {"type": "regex", "regex": "[a-z ]{30000}"},
}


class Engine:
    """The embedded engine and the number of tokens generated since the test started."""

    def __init__(self, server: LocalVoxtral) -> None:
        self._engine = server.app.model.engine
        self._before = self._engine.tokens_generated

    @property
    def tokens(self) -> int:
        """Tokens generated since."""
        return self._engine.tokens_generated - self._before

    def await_begun(self) -> None:
        """Block until it generates."""
        while not self.tokens:
            time.sleep(0.01)


@pytest.fixture
def engine(local_server: LocalVoxtral) -> Engine:
    return Engine(local_server)


@pytest.fixture
def chat(local_server: LocalVoxtral) -> ChatVoxtral:
    return ChatVoxtral(
        base_url=local_server.base_url,
        api_key=SecretStr(local_server.api_key),
        stream_idle_timeout=None,
    )


def has_stopped(chat: ChatVoxtral, engine: Engine) -> bool:
    """Return whether the engine, which serves one request at a time, stopped before the limit."""
    assert chat.invoke("Hi", max_tokens=1).response_metadata["finish_reason"] == "length"
    return 0 < engine.tokens < LIMIT


def broken_off(chat: ChatVoxtral) -> None:
    for _ in chat.stream("Once", **ENDLESS):
        break


def closed(chat: ChatVoxtral) -> None:
    with closing(cast("Generator[Any]", chat.stream("Once", **ENDLESS))) as chunks:
        next(chunks)


def failed(chat: ChatVoxtral) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(map(fail, chat.stream("Once", **ENDLESS)))


@pytest.mark.parametrize("leave", [broken_off, closed, failed])
def test_an_abandoned_stream_stops_the_engine(
    chat: ChatVoxtral, engine: Engine, leave: Callable[[ChatVoxtral], None]
) -> None:
    leave(chat)
    assert has_stopped(chat, engine)


async def test_an_async_stream_that_is_closed_stops_the_engine(
    chat: ChatVoxtral, engine: Engine
) -> None:
    async with aclosing(cast("AsyncGenerator[Any]", chat.astream("Once", **ENDLESS))) as chunks:
        await anext(chunks)
    assert await asyncio.to_thread(has_stopped, chat, engine)
    await chat.aclose()


@pytest.mark.parametrize("streaming", [False, True], ids=["invoke", "stream"])
async def test_a_task_that_is_cancelled_stops_the_engine(
    chat: ChatVoxtral, engine: Engine, streaming: bool
) -> None:
    async def call() -> None:
        if not streaming:
            await chat.ainvoke("Once", **ENDLESS)
        async for _ in chat.astream("Once", **ENDLESS):
            pass

    task = asyncio.create_task(call())
    await asyncio.to_thread(engine.await_begun)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(has_stopped, chat, engine)
    await chat.aclose()


@pytest.mark.parametrize("streaming", [False, True], ids=["invoke", "stream"])
def test_ctrl_c_stops_the_engine(chat: ChatVoxtral, engine: Engine, streaming: bool) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def press() -> None:
        engine.await_begun()
        signal.pthread_kill(main, signal.SIGINT)

    pressing = threading.Thread(target=press)
    pressing.start()
    with pytest.raises(KeyboardInterrupt):
        list(chat.stream("Once", **ENDLESS)) if streaming else chat.invoke("Once", **ENDLESS)
    pressing.join()
    assert has_stopped(chat, engine)
