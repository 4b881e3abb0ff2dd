"""Our own clients keep connections and find them in constant time."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import ExitStack, aclosing, closing
from types import FrameType
from typing import Any

import httpx
import pytest
from support.call_modes import Caller, Response
from support.scripted_server import End, Gate, Reply, ScriptedServer
from support.sse_replies import events, final, streamed, token, whole

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.transport.connection_pool import replace_pools

FINE = whole("Hello!")


@pytest.fixture(params=["sync", "async"])
def chats(request: pytest.FixtureRequest) -> Iterator[Caller]:
    with asyncio.Runner() as runner:
        yield Caller(ChatVoxtral, runner if request.param == "async" else None)


def opened(chats: Caller, model: Any, count: int) -> list[Iterator[Response]]:
    """Begin so many streams at once."""
    streams = [chats.stream(model) for _ in range(count)]
    for stream in streams:
        next(stream)
    return streams


def ports(server: ScriptedServer) -> list[int]:
    return [request.connection.port for request in server.requests]


def test_as_many_connections_are_opened_as_streams_run_at_once() -> None:
    with ScriptedServer(default=streamed("Hel", "lo!")) as server:
        model = ChatVoxtral(base_url=server.url)
        for _ in range(3):
            streams = [model.stream("Hello!") for _ in range(32)]
            assert all(next(stream).text.startswith("Hel") for stream in streams)
            for stream in streams:
                list(stream)
        model.close()
        server.wait_until_disconnected()
    assert (len(server.requests), len(server.connections)) == (96, 32)


async def test_as_many_connections_are_opened_as_async_streams_run_at_once() -> None:
    with ScriptedServer(default=streamed("Hel", "lo!")) as server:
        model = ChatVoxtral(base_url=server.url)
        for _ in range(3):
            streams = [model.astream("Hello!") for _ in range(32)]
            first = await asyncio.gather(*(anext(stream) for stream in streams))
            assert all(chunk.text.startswith("Hel") for chunk in first)
            for stream in streams:
                [_ async for _ in stream]
        await model.aclose()
        await asyncio.to_thread(server.wait_until_disconnected)
    assert (len(server.requests), len(server.connections)) == (96, 32)


def test_the_connection_that_was_used_last_is_used_next(chats: Caller) -> None:
    with ScriptedServer(default=streamed("Hel", "lo!")) as server:
        model = chats.model(server)
        first, second, third = opened(chats, model, 3)
        for stream in (first, third, second):
            list(stream)
        for stream in opened(chats, model, 3):
            list(stream)
        chats.close(model)
    one, two, three = ports(server)[:3]
    assert ports(server)[3:] == [two, three, one]


def test_each_server_has_connections_of_its_own(chats: Caller) -> None:
    with ScriptedServer(default=FINE) as server, ScriptedServer(default=FINE) as other:
        models = [chats.model(each) for each in (server, other)]
        for _ in range(2):
            for model in models:
                chats.invoke(model)
        for model in models:
            chats.close(model)
        other.wait_until_disconnected()
        server.wait_until_disconnected()
    for each in (server, other):
        assert (len(each.requests), len(each.connections)) == (2, 1)


def test_connections_that_the_server_has_closed_are_not_used(chats: Caller) -> None:
    gates = [Gate() for _ in range(3)]
    closing = [
        Reply(steps=[*events(token("Hel")).steps, gate, *events(final()).steps], closes=True)
        for gate in gates
    ]
    with ScriptedServer(*closing, default=FINE) as server:
        model = chats.model(server, max_retries=0)
        streams = opened(chats, model, 3)
        for gate in gates:
            gate.open()
        for stream in streams:
            list(stream)
        server.wait_until_disconnected()
        assert chats.invoke(model).text == "Hello!"
        chats.close(model)
    assert (len(server.requests), len(server.connections)) == (4, 4)


@pytest.mark.parametrize(
    "reply",
    [
        events(token("Hel"), End.CUT),
        events(token("Hel"), End.RESET),
        Reply(steps=[b"not HTTP\r\n\r\n"], is_raw=True),
        Reply(steps=[End.CUT]),
    ],
    ids=["cut", "reset", "not HTTP", "no answer"],
)
def test_a_connection_is_closed_after_an_error(chats: Caller, reply: Reply) -> None:
    with ScriptedServer(reply, default=FINE) as server:
        model = chats.model(server, max_retries=0)
        with pytest.raises(VoxtralError):
            list(chats.stream(model))
        server.wait_until_disconnected()
        assert [chats.invoke(model).text for _ in range(2)] == ["Hello!"] * 2
        chats.close(model)
    first, second, third = ports(server)
    assert first != second == third


def test_closing_closes_connections_that_are_idle_and_in_use(chats: Caller) -> None:
    with ScriptedServer(*[streamed("Hel", "lo!")] * 3, default=events(token("a"), End.STALL)) as s:
        model = chats.model(s, max_retries=0)
        for stream in opened(chats, model, 3):
            list(stream)
        begun = opened(chats, model, 1)
        chats.close(model)
        s.wait_until_disconnected()
        with pytest.raises(VoxtralError):
            list(begun[0])
    assert len(s.connections) == 3


@pytest.mark.parametrize("chats", ["sync"], indirect=True)
def test_the_work_for_a_request_does_not_grow_with_the_connections(chats: Caller) -> None:
    def looks(streams: int) -> int:
        """Count how often connections are asked what they are, with so many in use and idle."""
        count = 0

        def profile(frame: FrameType, event: str, _: object) -> None:
            nonlocal count
            asked = {"has_expired", "is_idle", "is_closed", "is_available", "can_handle_request"}
            count += event == "call" and frame.f_code.co_name in asked

        with ScriptedServer(default=streamed("Hel", "lo!")) as server:
            model = chats.model(server)
            for stream in opened(chats, model, 2 * streams)[streams:]:
                list(stream)
            sys.setprofile(profile)
            chats.invoke(model, stream=True)
            sys.setprofile(None)
            chats.close(model)
        return count

    assert looks(20) == looks(2) > 0


# Expiry


@pytest.fixture
def servers() -> Iterator[tuple[ScriptedServer, ScriptedServer]]:
    with ExitStack() as stack:
        first, second = (stack.enter_context(ScriptedServer(default=FINE)) for _ in range(2))
        yield first, second


EXPIRED = httpx.Limits(keepalive_expiry=0.0)


def test_idle_connections_that_nobody_uses_again_are_closed(
    servers: tuple[ScriptedServer, ScriptedServer],
) -> None:
    first, second = servers
    transport = httpx.HTTPTransport(limits=EXPIRED)
    replace_pools(transport, expiry_seconds=0.0)
    with closing(httpx.Client(transport=transport)) as client:
        client.get(first.url)
        client.get(second.url)
        first.wait_until_disconnected()
        client.get(second.url)
    assert [len(each.connections) for each in servers] == [1, 2]


async def test_idle_async_connections_that_nobody_uses_again_are_closed(
    servers: tuple[ScriptedServer, ScriptedServer],
) -> None:
    first, second = servers
    transport = httpx.AsyncHTTPTransport(limits=EXPIRED)
    replace_pools(transport, expiry_seconds=0.0)
    async with aclosing(httpx.AsyncClient(transport=transport)) as client:
        await client.get(first.url)
        await client.get(second.url)
        await asyncio.to_thread(first.wait_until_disconnected)
        await client.get(second.url)
    assert [len(each.connections) for each in servers] == [1, 2]
