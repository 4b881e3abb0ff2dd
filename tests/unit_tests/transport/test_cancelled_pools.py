"""Wherever asynchronous calls are cancelled, the pool keeps idle connections only."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx
import pytest
from support.cancel_at import CancelAt
from support.completion_requests import completion_request
from support.resource_usage import count_connections, wait_until_idle
from support.scripted_server import Gate, Reply, ScriptedServer
from support.sse_replies import event, events, final, json_reply, streamed, token, whole

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.audio.wav import wav_header
from langchain_voxtral.client import VoxtralClient
from langchain_voxtral.connection import ConnectionSettings
from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.protocol.transcription_forms import TranscriptionOptions
from langchain_voxtral.protocol.transcription_request import (
    TranscriptionRequest,
)
from langchain_voxtral.providers import DEEPINFRA
from langchain_voxtral.transcription_client import TranscriptionClient
from langchain_voxtral.transport.client_pool import ClientPool, ClientSettings

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells all that a process holds"
)

NO_LIMITS = httpx.Limits()
PROMPT = completion_request()
CHUNK = AudioChunk(0, 0.0, 1.0, wav_header(320) + bytes(320))
OPTIONS = TranscriptionOptions("transcribe", None, None, 0.0)


async def complete(client: VoxtralClient) -> None:
    await client.acomplete(PROMPT)


async def read_stream(client: VoxtralClient) -> None:
    async for _ in client.astream(PROMPT):
        pass


async def stop_reading(client: VoxtralClient) -> None:
    reads = client.astream(PROMPT)
    await anext(reads)
    await reads.aclose()


async def transcribe(client: VoxtralClient) -> None:
    await TranscriptionClient(client.settings).atranscribe(
        TranscriptionRequest(DEEPINFRA, "transcriptions", "m", OPTIONS, CHUNK, "a chunk")
    )


CALLS: dict[str, tuple[Callable[[VoxtralClient], Coroutine[Any, Any, None]], Reply]] = {
    "complete": (complete, whole("Hello!")),
    "complete after a retry": (complete, json_reply({}, status=503, headers={"retry-after": "0"})),
    "stream": (read_stream, streamed("Hel", "lo!")),
    "stream with an error": (read_stream, events(token("Hel"), event({"error": "bad"}))),
    "stream that is not read to its end": (stop_reading, streamed("Hel", "lo!")),
    "transcribe": (transcribe, json_reply({"text": "Hello!"})),
}


@dataclass
class Session:
    """A client of a scripted server, and the pool below it."""

    server: ScriptedServer
    client: VoxtralClient
    pool: httpcore.AsyncConnectionPool

    async def has_only_idle_connections(self) -> bool:
        """Check the pool against this process's sockets."""
        await wait_until_idle()
        states = {each.is_idle() for each in self.pool.connections}
        port = int(self.server.url.split(":")[2].removesuffix("/v1"))
        return (
            states <= {True}
            and not self.pool._requests
            and count_connections(port) == len(self.pool.connections)
        )


@dataclass
class OwnSession(Session):
    """The same with a client of ours."""

    pool: Any

    async def has_only_idle_connections(self) -> bool:
        await wait_until_idle()
        idle = [each for kept in self.pool._connections._idle.values() for each in kept]
        port = int(self.server.url.split(":")[2].removesuffix("/v1"))
        return (
            all(each.is_idle() for each in idle)
            and not self.pool._connections._taken
            and count_connections(port) == len(idle)
        )


@asynccontextmanager
async def own_session(reply: Reply, **settings: Any) -> AsyncIterator[Session]:
    clients = ClientPool(ClientSettings(transport="httpx"))
    with ScriptedServer(default=reply) as server:
        http_client: Any = await clients.async_client()
        client = VoxtralClient(
            ConnectionSettings(
                base_url=server.url,
                http_async_client=http_client,
                **{"max_retries": 1, **settings},
            )
        )
        yield OwnSession(server, client, http_client._transport._pool)
        await clients.aclose()


@asynccontextmanager
async def session(
    reply: Reply, limits: httpx.Limits = NO_LIMITS, **settings: Any
) -> AsyncIterator[Session]:
    with ScriptedServer(default=reply) as server:
        async with httpx.AsyncClient(limits=limits) as http_client:
            client = VoxtralClient(
                ConnectionSettings(
                    base_url=server.url,
                    http_async_client=http_client,
                    **{"max_retries": 1, **settings},
                )
            )
            transport: Any = http_client._transport
            yield Session(server, client, transport._pool)


async def cancelled_at(coroutine: Coroutine[Any, Any, None], *times: int) -> int:
    """Run a coroutine that is cancelled; return how often it was suspended."""
    run = CancelAt(coroutine, *times)

    async def in_a_task() -> None:
        with suppress(asyncio.CancelledError, VoxtralError):
            await run

    await asyncio.create_task(in_a_task())
    return run.suspensions


@pytest.mark.parametrize("session", [session, own_session], ids=["theirs", "ours"])
@pytest.mark.parametrize("again_after", [None, 1], ids=["once", "twice"])
@pytest.mark.parametrize(("call", "reply"), CALLS.values(), ids=CALLS)
async def test_a_call_can_be_cancelled_at_each_of_its_suspensions(
    call: Callable[[VoxtralClient], Coroutine[Any, Any, None]],
    reply: Reply,
    again_after: int | None,
    session: Callable[..., AbstractAsyncContextManager[Session]],
) -> None:
    # With a deadline, timeouts of asyncio are suspended too.
    async with session(reply, deadline=60.0 if again_after else None) as ours:
        step, is_cancelled = 0, True
        while is_cancelled:
            times = (step,) if again_after is None else (step, step + again_after)
            is_cancelled = await cancelled_at(call(ours.client), *times) > step
            assert await ours.has_only_idle_connections(), f"cancelled at suspension {step}"
            step += 1
        assert step > 4


async def test_a_call_can_be_cancelled_as_it_waits_for_the_only_connection() -> None:
    async with session(whole("Hello!"), httpx.Limits(max_connections=1)) as ours:
        gate = Gate()
        ours.server.script(events(token("Hel"), gate, token("lo!"), final()))
        stream = ours.client.astream(PROMPT)
        await anext(stream)
        waiting = [asyncio.create_task(complete(ours.client)) for _ in range(3)]
        while len(ours.pool._requests) < len(waiting) + 1:  # noqa: ASYNC110 - nothing to await
            await asyncio.sleep(0)
        waiting[0].cancel()
        gate.open()
        rest = asyncio.create_task(anext(stream))
        while not waiting[1].done():
            await asyncio.sleep(0)
            waiting[1].cancel()
        await rest
        await stream.aclose()
        await asyncio.wait(waiting)
        assert [each.cancelled() for each in waiting] == [True, True, False]
        assert await ours.has_only_idle_connections()


async def test_a_connection_that_is_given_up_is_closed_though_the_call_is_cancelled() -> None:
    async with session(streamed("Hello!")) as ours:
        streams = [ours.client.astream(PROMPT) for _ in range(4)]
        for stream in streams:
            await anext(stream)
        for stream in streams:
            [_ async for _ in stream]
        assert len(ours.pool.connections) == 4
        ours.pool._max_keepalive_connections = 0  # all are surplus now
        assert await cancelled_at(complete(ours.client), 0) > 0
        assert await ours.has_only_idle_connections()
        assert ours.pool.connections == []


async def test_no_call_begins_on_a_connection_that_the_pool_gives_up() -> None:
    few = httpx.Limits(max_keepalive_connections=1)
    async with session(whole("Hello!"), few, max_retries=0) as ours:
        for _ in range(4):
            await asyncio.gather(*(complete(ours.client) for _ in range(30)))


async def test_closing_goes_on_though_it_is_cancelled() -> None:
    with ScriptedServer() as server:
        port = int(server.url.split(":")[2].removesuffix("/v1"))
        for step in range(3):
            settings = ConnectionSettings(base_url=server.url)
            client = VoxtralClient(settings)
            gate = Gate()
            server.script(*[events(token("Hel"), gate, token("lo!"), final())] * 3)
            streams = [client.astream(PROMPT) for _ in range(3)]
            for stream in streams:
                await anext(stream)
            gate.open()
            for stream in streams:
                [_ async for _ in stream]
            assert count_connections(port) == 3
            await cancelled_at(settings.aclose(), step)
            await wait_until_idle()
            assert count_connections(port) == 0


@pytest.mark.parametrize("session", [session, own_session], ids=["theirs", "ours"])
async def test_a_storm_of_cancellations_leaves_idle_connections_only(
    session: Callable[..., AbstractAsyncContextManager[Session]],
) -> None:
    chance = random.Random(7)  # noqa: S311 - the same storm each time
    async with session(streamed("Hel", "lo!")) as ours:
        model = ChatVoxtral(
            base_url=ours.server.url, http_async_client=ours.client.settings.http_async_client
        )

        async def call(*, is_abandoned: bool) -> None:
            async for _ in model.astream("Hello!"):
                if is_abandoned:
                    return

        async def cancelled_call() -> None:
            task = asyncio.create_task(call(is_abandoned=chance.random() < 0.5))
            for _ in range(chance.randrange(60)):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

        for _ in range(5):
            await asyncio.gather(*(cancelled_call() for _ in range(20)))
        assert await ours.has_only_idle_connections()
        assert (await model.ainvoke("Hello!", stream=True)).text == "Hello!"
