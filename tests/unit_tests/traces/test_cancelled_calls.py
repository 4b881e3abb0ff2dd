"""Calls that are cancelled end their runs, wherever they are waiting."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import HumanMessage
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.tracers import LangChainTracer
from pydantic import SecretStr
from support.documented_exchanges import KEY, STREAM
from support.trace_recorder import TraceRecorder

from langchain_voxtral import ChatVoxtral, VoxtralLLM


class Waiting:
    """Something that never comes, and is told when somebody waits for it."""

    def __init__(self) -> None:
        self.has_begun = asyncio.Event()

    async def wait(self) -> None:
        self.has_begun.set()
        await asyncio.Event().wait()


class Body(httpx.AsyncByteStream):
    """The first token of a stream."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield STREAM[0]
        await self._waiting.wait()


class Limiter(BaseRateLimiter):
    """Lets nobody pass."""

    def __init__(self, waiting: Waiting) -> None:
        self._waiting = waiting

    def acquire(self, *, blocking: bool = True) -> bool:
        raise AssertionError

    async def aacquire(self, *, blocking: bool = True) -> bool:
        await self._waiting.wait()
        return False


class Cache(InMemoryCache):
    """Never answers."""

    def __init__(self, waiting: Waiting) -> None:
        super().__init__()
        self._waiting = waiting

    async def alookup(self, prompt: str, llm_string: str) -> None:
        await self._waiting.wait()


def client(waiting: Waiting) -> httpx.AsyncClient:
    async def answer(request: httpx.Request) -> httpx.Response:
        if json.loads(request.content).get("stream"):
            headers = {"content-type": "text/event-stream"}
            return httpx.Response(200, headers=headers, stream=Body(waiting))
        await waiting.wait()
        raise AssertionError

    return httpx.AsyncClient(transport=httpx.MockTransport(answer))


async def cancel(waiting: Waiting, call: Any) -> None:
    task = asyncio.ensure_future(call)
    await waiting.has_begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def everything(stream: AsyncIterator[Any]) -> list[Any]:
    return [each async for each in stream]


CALLS: dict[str, Any] = {
    "ainvoke": lambda model, config: model.ainvoke("Hello!", config),
    "abatch": lambda model, config: model.abatch(["Hello!"], config),
    "astream": lambda model, config: everything(model.astream("Hello!", config)),
}
PLACES: dict[str, Any] = {
    "the answer": lambda _: {},
    "the cache": lambda waiting: {"cache": Cache(waiting)},
    "the rate limiter": lambda waiting: {"rate_limiter": Limiter(waiting)},
    "the stream inside": lambda _: {"streaming": True},
    "blocks of the stream inside": lambda _: {"streaming": True, "output_version": "v1"},
}
WHERE = [(call, place) for call in ("ainvoke", "abatch") for place in PLACES]


@pytest.mark.parametrize(("call", "place"), [*WHERE, ("astream", "the answer")])
async def test_a_cancelled_call_of_a_chat_ends_its_run(call: str, place: str) -> None:
    waiting, recorder = Waiting(), TraceRecorder()
    chat = ChatVoxtral(
        api_key=SecretStr(KEY), http_async_client=client(waiting), **PLACES[place](waiting)
    )
    await cancel(waiting, CALLS[call](chat, {"callbacks": [LangChainTracer(client=recorder)]}))
    [run] = recorder.model_runs
    assert run["error"].startswith("CancelledError")


@pytest.mark.parametrize("call", CALLS)
async def test_a_cancelled_call_of_an_llm_ends_its_run(call: str) -> None:
    waiting, recorder = Waiting(), TraceRecorder()
    llm = VoxtralLLM(api_key=SecretStr(KEY), http_async_client=client(waiting))
    await cancel(waiting, CALLS[call](llm, {"callbacks": [LangChainTracer(client=recorder)]}))
    [run] = recorder.model_runs
    assert run["error"].startswith("CancelledError")


@pytest.mark.parametrize("mode", ["messages", "updates"])
async def test_a_cancelled_agent_ends_all_its_runs(mode: str) -> None:
    waiting, recorder = Waiting(), TraceRecorder()
    agents = pytest.importorskip("langchain.agents")
    agent: Any = agents.create_agent(
        ChatVoxtral(api_key=SecretStr(KEY), http_async_client=client(waiting))
    )
    config = {"callbacks": [LangChainTracer(client=recorder)]}
    given = {"messages": [HumanMessage("Hello!")]}
    await cancel(waiting, everything(agent.astream(given, config, stream_mode=mode)))
    assert len(recorder.updated) == len(recorder.created) > 1
    [run] = recorder.model_runs
    assert run["error"].startswith("CancelledError")
