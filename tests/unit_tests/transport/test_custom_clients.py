"""Custom httpx clients are used and never closed."""

import asyncio
import gc
import gzip

import httpx
import pytest
from pydantic import SecretStr
from support.call_modes import Model, text_of
from support.multipart_forms import parse_multipart
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import final, json_reply, token, whole

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.protocol.form_data import FormData
from langchain_voxtral.transport import exchange
from langchain_voxtral.transport.client_pool import ClientPool, ClientSettings
from langchain_voxtral.transport.types import HTTPRequest, RetryPolicy

pytestmark = pytest.mark.usefixtures("_no_open_sockets")

FINE = whole("Hello!")


def test_a_client_of_the_caller_is_used_and_never_closed(model_class: type[Model]) -> None:
    with ScriptedServer(default=FINE) as server, httpx.Client(headers={"x-mine": "1"}) as client:
        with model_class(base_url=server.url, http_client=client) as model:
            model.invoke("Hello!")
        del model
        gc.collect()
        assert not client.is_closed
        model_class(base_url=server.url, http_client=client).invoke("Hello!")
    assert [seen.headers.get("x-mine") for seen in server.requests] == ["1", "1"]
    assert len(server.connections) == 1


async def test_an_async_client_of_the_caller_is_used_and_never_closed(
    model_class: type[Model],
) -> None:
    with ScriptedServer(default=FINE) as server:
        async with httpx.AsyncClient(headers={"x-mine": "1"}) as client:
            async with model_class(base_url=server.url, http_async_client=client) as model:
                await model.ainvoke("Hello!")
            del model
            gc.collect()
            assert not client.is_closed
            await model_class(base_url=server.url, http_async_client=client).ainvoke("Hello!")
    assert [seen.headers.get("x-mine") for seen in server.requests] == ["1", "1"]
    assert len(server.connections) == 1


def test_a_mock_transport_answers_instead_of_a_server(model_class: type[Model]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["accept"] == "text/event-stream":
            return httpx.Response(200, content=token("Hel") + token("lo STOP") + final())
        return httpx.Response(200, json={"results": [{"generated_text": "Hello STOP"}]})

    mock = httpx.MockTransport(answer)
    with httpx.Client(transport=mock) as client:
        model = model_class(http_client=client, api_key=SecretStr("k"), stop=["STOP"], deadline=60)
        invoked = model.invoke("Hello!")
        streamed_text = "".join(text_of(c) for c in model.stream("Hello!"))
    assert (text_of(invoked), streamed_text) == ("Hello ", "Hello ")


async def test_an_async_mock_transport_answers_instead_of_a_server(
    model_class: type[Model],
) -> None:
    mock = httpx.MockTransport(lambda _: httpx.Response(200, content=token("Hello") + final()))
    async with httpx.AsyncClient(transport=mock) as client:
        model = model_class(http_async_client=client, api_key=SecretStr("k"), deadline=60)
        text = "".join([text_of(c) async for c in model.astream("Hello!")])
    assert text == "Hello"


@pytest.mark.parametrize("headers", [{}, {"content-encoding": "gzip"}], ids=["plain", "gzip"])
async def test_a_hook_of_a_client_may_have_read_the_stream(headers: dict[str, str]) -> None:
    stream = token("Hello!") + final()
    body = gzip.compress(stream) if headers else stream

    async def aread(response: httpx.Response) -> None:
        await response.aread()

    with (
        ScriptedServer(default=Reply(headers=headers, body=body)) as server,
        httpx.Client(event_hooks={"response": [httpx.Response.read]}) as client,
    ):
        async with httpx.AsyncClient(event_hooks={"response": [aread]}) as async_client:
            model = ChatVoxtral(
                base_url=server.url,
                http_client=client,
                http_async_client=async_client,
                stream_idle_timeout=2,
            )
            text = "".join(str(chunk.text) for chunk in model.stream("Hello!"))
            async_text = "".join([str(c.text) async for c in model.astream("Hello!")])
    assert (text, async_text) == ("Hello!", "Hello!")


@pytest.mark.parametrize("is_async", [False, True])
def test_a_client_that_logs_in_sends_a_form_again(is_async: bool) -> None:
    """Digest authentication needs a second request with the same body."""
    challenge = {"www-authenticate": 'Digest realm="r", nonce="n", qop="auth", algorithm=MD5'}
    form = FormData([("model", "m")], "file", "a.wav", "audio/wav", bytes(600_000))
    login = httpx.DigestAuth("user", "password")

    async def ask(request: HTTPRequest) -> bytes:
        async with httpx.AsyncClient(auth=login) as client:
            clients = ClientPool(ClientSettings(http_async_client=client))
            return (await exchange.apost(clients, request)).content

    with ScriptedServer(json_reply({}, status=401, headers=challenge), json_reply({})) as server:
        once = RetryPolicy(retries=0)
        request = HTTPRequest(url=server.url, content=form, headers={}, retry=once)
        if is_async:
            content = asyncio.run(ask(request))
        else:
            with httpx.Client(auth=login) as client:
                content = exchange.post(
                    ClientPool(ClientSettings(http_client=client)), request
                ).content
    assert content == b"{}"
    first, second = server.requests
    assert first.body == second.body
    for seen in server.requests:
        assert seen.headers["content-length"] == str(len(seen.body))
        assert parse_multipart(seen.body, seen.headers["content-type"]) == [
            ("model", None, None, b"m"),
            ("file", "a.wav", "audio/wav", bytes(600_000)),
        ]
