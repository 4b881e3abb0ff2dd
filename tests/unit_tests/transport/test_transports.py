"""Each transport is chosen as documented, sends the same, and leaves as little behind."""

import asyncio
import socket
from contextlib import suppress
from pathlib import Path

import pytest
import vcr
from support.cancel_at import CancelAt
from support.completion_requests import completion_request
from support.multipart_forms import parse_multipart
from support.resource_usage import count_connections, wait_until_idle
from support.scripted_server import Gate, ScriptedServer
from support.sse_replies import events, final, json_reply, streamed, token, whole
from support.subprocesses import run_python
from support.transports import on_each_transport

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.client import VoxtralClient
from langchain_voxtral.connection import ConnectionSettings
from langchain_voxtral.errors import (
    VoxtralError,
    VoxtralInvalidRequestError,
    VoxtralTimeoutError,
)
from langchain_voxtral.protocol.form_data import FormData
from langchain_voxtral.transport import ClientPool, ClientSettings, HTTPRequest, apost
from langchain_voxtral.transport.transport_choice import TRANSPORT_VARIABLE

FINE = whole("Hello!")
PROMPT = completion_request()
FORM = FormData([("model", "m")], "file", "a.wav", "audio/wav", bytes(600_000))


async def transport_name(clients: ClientPool) -> str:
    """Return the name of the transport below the running loop's client."""
    client = await clients.async_client()
    return type(client._transport).__name__


async def test_the_extra_is_used_where_it_is_installed_unless_the_variable_is_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = []
    for value in ("", "auto", "httpx"):
        monkeypatch.setenv(TRANSPORT_VARIABLE, value)
        settings.append(ClientSettings())
    pools = [ClientPool(each) for each in settings]
    names = [await transport_name(pool) for pool in pools]
    assert names == ["AiohttpTransport", "AiohttpTransport", "AsyncHTTPTransport"]
    assert settings[0] == settings[1] != settings[2]  # these share no connections
    for pool in pools:
        await pool.aclose()


def test_another_value_of_the_variable_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(TRANSPORT_VARIABLE, "curl")
    with pytest.raises(VoxtralInvalidRequestError, match="VOXTRAL_HTTP_TRANSPORT is 'curl'"):
        ClientSettings()


async def test_a_client_of_the_caller_keeps_its_transport() -> None:
    import httpx  # noqa: PLC0415

    async with httpx.AsyncClient() as client:
        pool = ClientPool(ClientSettings(http_async_client=client))
        assert await transport_name(pool) == "AsyncHTTPTransport"


async def send(clients: ClientPool, url: str, content: bytes | FormData) -> None:
    headers = {"Accept": "application/json", "Authorization": "Bearer k", "X-Mine": "1, 2"}
    await apost(clients, HTTPRequest(f"{url}/a%2Fb?c=d%20e", content, headers))


@pytest.mark.parametrize("content", [b"{}", b"[" + b"1," * 100_000 + b"1]", FORM])
def test_requests_are_the_same_on_each_transport(
    content: bytes | FormData, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def ask(url: str) -> None:
        clients = ClientPool(ClientSettings())
        await send(clients, url, content)
        await clients.aclose()

    with ScriptedServer(default=json_reply({})) as server:
        for name in ("httpx", "auto"):
            monkeypatch.setenv(TRANSPORT_VARIABLE, name)
            asyncio.run(ask(server.url))
    one, other = server.requests
    assert (one.method, one.path) == (other.method, other.path)
    if isinstance(content, FormData):
        for seen in (one, other):
            kind = seen.headers.pop("content-type")
            seen.headers["length"] = str(len(parse_multipart(seen.body, kind)[1][3]))
    else:
        assert one.body == other.body
    assert list(one.headers.items()) == list(other.headers.items())


async def test_a_password_of_netrc_is_not_sent(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with ScriptedServer(default=FINE) as server:
        async with ChatVoxtral(base_url=server.url) as chat:
            await chat.ainvoke("Hello!")
    assert "authorization" not in server.requests[0].headers


@pytest.mark.parametrize(("no_proxy", "is_asked"), [("", True), ("voxtral.example", False)])
async def test_the_environment_chooses_a_proxy(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, is_asked: bool
) -> None:
    with ScriptedServer(default=FINE) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url.removesuffix("/v1"))
        monkeypatch.setenv("NO_PROXY", no_proxy)
        with pytest.warns(UserWarning, match="plain http"):
            settings = ConnectionSettings(base_url="http://voxtral.example:9/v1", max_retries=0)
        async with settings:
            with suppress(VoxtralError):  # there is no such host
                await VoxtralClient(settings).acomplete(PROMPT)
    assert bool(proxy.requests) is is_asked


@pytest.mark.parametrize("name", ["x-long", "x-request-id"])
async def test_a_header_may_be_long(name: str) -> None:
    with ScriptedServer(default=whole("Hello!", headers={name: "x" * 50_000})) as server:
        async with ChatVoxtral(base_url=server.url, max_retries=0) as chat:
            assert (await chat.ainvoke("Hello!")).text == "Hello!"


async def test_the_time_of_the_caller_does_not_count() -> None:
    gate = Gate()
    with ScriptedServer(events(token("Hel"), gate, token("lo!"), final())) as server:
        async with ChatVoxtral(base_url=server.url, stream_idle_timeout=0.2) as chat:
            chunks = chat.astream("Hello!")
            assert (await anext(chunks)).text == "Hel"
            await asyncio.sleep(0.4)  # longer than the limit
            gate.open()
            assert "".join([chunk.text async for chunk in chunks]) == "lo!"


async def test_a_cookie_is_not_sent_back() -> None:
    with ScriptedServer(default=whole("Hello!", headers={"set-cookie": "a=b"})) as server:
        url = server.url.replace("127.0.0.1", "localhost")  # cookies are for names
        async with ChatVoxtral(base_url=url) as chat:
            await chat.ainvoke("Hello!")
            await chat.ainvoke("Hello!")
    assert [seen.headers.get("cookie") for seen in server.requests] == [None, None]


async def test_a_request_that_nobody_reads_leaves_no_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        chat = ChatVoxtral(
            base_url=f"http://127.0.0.1:{port}/v1", deadline=0.3, check_context=False
        )
        with pytest.raises(VoxtralTimeoutError):
            await chat.ainvoke("x" * 2**23)
        await wait_until_idle()
        await asyncio.sleep(0)  # the socket is closed by a call of the loop
        assert count_connections(port) == 0
        await chat.aclose()


async def test_a_call_can_be_cancelled_at_each_of_its_suspensions() -> None:
    async def read(client: VoxtralClient) -> None:
        async for _ in client.astream(PROMPT):
            pass

    async def complete(client: VoxtralClient) -> None:
        await client.acomplete(PROMPT)

    with ScriptedServer(default=streamed("Hel", "lo!")) as server:
        port = int(server.url.split(":")[2].removesuffix("/v1"))
        async with ConnectionSettings(base_url=server.url, deadline=60) as settings:
            client = VoxtralClient(settings)
            for call in (read, complete):
                step, is_cancelled = 0, True
                while is_cancelled:
                    run = CancelAt(call(client), step)
                    is_cancelled = await cancelled(run) > step
                    await wait_until_idle()
                    assert count_connections(port) <= 1, f"cancelled at suspension {step}"
                    step += 1
                assert step > 3
        await wait_until_idle()
        assert count_connections(port) == 0


async def cancelled(run: CancelAt) -> int:
    """Run to the end, or to the cancellation; return how often it was suspended."""

    async def in_a_task() -> None:
        with suppress(asyncio.CancelledError, VoxtralError):
            await run

    await asyncio.create_task(in_a_task())
    return run.suspensions


@on_each_transport
def test_forks_and_forgotten_loops_leave_the_connections_of_others_alone_and_log_nothing() -> None:
    script = """
        import asyncio, gc, os, sys, warnings
        from langchain_voxtral import ChatVoxtral
        warnings.simplefilter("ignore")  # asyncio warns of what is forgotten, rightly
        chat = ChatVoxtral(base_url=sys.argv[1])
        closed, forgotten = asyncio.new_event_loop(), asyncio.new_event_loop()
        closed.run_until_complete(chat.ainvoke("in a loop that is closed before its clients"))
        closed.close()
        forgotten.run_until_complete(chat.ainvoke("in a loop that is never closed"))
        child = os.fork()
        if child == 0:
            asyncio.run(chat.ainvoke("of the child"))
            sys.exit()
        assert os.waitpid(child, 0) == (child, 0)
        forgotten.run_until_complete(chat.ainvoke("of the parent"))
        del closed
        gc.collect()
    """
    with ScriptedServer(default=FINE) as server:
        run_python(script, server.url)
    _, parent, child, again = [seen.connection.port for seen in server.requests]
    assert parent == again != child


@pytest.mark.parametrize("played_by", ["httpx", "auto"])
@pytest.mark.parametrize("recorded_by", ["httpx", "auto"])
def test_a_cassette_is_played_on_each_transport(
    recorded_by: str, played_by: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def ask(url: str) -> list[str | None]:
        async with ChatVoxtral(base_url=url, max_retries=0) as chat:
            whole_text: str = (await chat.ainvoke("Hello!")).text
            streamed_text = "".join([chunk.text async for chunk in chat.astream("Hello!")])
            with pytest.raises(VoxtralInvalidRequestError) as caught:
                await chat.ainvoke("Hello!")
            return [whole_text, streamed_text, caught.value.request_id]

    refusal = json_reply({"detail": "no"}, status=422, headers={"x-request-id": "H1"})
    with ScriptedServer(whole("Hel"), streamed("l", "o!"), refusal) as server:
        monkeypatch.setenv(TRANSPORT_VARIABLE, recorded_by)
        with vcr.use_cassette(tmp_path / "cassette.yaml"):
            recorded = asyncio.run(ask(server.url))
    monkeypatch.setenv(TRANSPORT_VARIABLE, played_by)
    with vcr.use_cassette(tmp_path / "cassette.yaml", record_mode="none"):
        played = asyncio.run(ask(server.url))
    assert recorded == played == ["Hel", "lo!", "H1"]
