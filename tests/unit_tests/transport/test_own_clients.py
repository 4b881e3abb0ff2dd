"""Clients of the caller's own: used, and never closed."""

import gc

import httpx
import pytest
from callers import Model, text_of
from pydantic import SecretStr
from replies import final, token, whole
from scripted_server import ScriptedServer

pytestmark = pytest.mark.usefixtures("_nothing_left_behind")

FINE = whole("Hello!")


def test_a_client_of_the_callers_own_is_used_and_never_closed(face: type[Model]) -> None:
    with ScriptedServer(default=FINE) as server, httpx.Client(headers={"x-mine": "1"}) as client:
        with face(base_url=server.url, http_client=client) as model:
            model.invoke("Hello!")
        del model
        gc.collect()
        assert not client.is_closed
        face(base_url=server.url, http_client=client).invoke("Hello!")
    assert [seen.headers.get("x-mine") for seen in server.requests] == ["1", "1"]
    assert len(server.connections) == 1


async def test_an_async_client_of_the_callers_own_is_used_and_never_closed(
    face: type[Model],
) -> None:
    with ScriptedServer(default=FINE) as server:
        async with httpx.AsyncClient(headers={"x-mine": "1"}) as client:
            async with face(base_url=server.url, http_async_client=client) as model:
                await model.ainvoke("Hello!")
            del model
            gc.collect()
            assert not client.is_closed
            await face(base_url=server.url, http_async_client=client).ainvoke("Hello!")
    assert [seen.headers.get("x-mine") for seen in server.requests] == ["1", "1"]
    assert len(server.connections) == 1


def test_a_mock_transport_answers_in_place_of_a_server(face: type[Model]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.headers["accept"] == "text/event-stream":
            return httpx.Response(200, content=token("Hel") + token("lo STOP") + final())
        return httpx.Response(200, json={"results": [{"generated_text": "Hello STOP"}]})

    mock = httpx.MockTransport(answer)
    with httpx.Client(transport=mock) as client:
        model = face(http_client=client, api_key=SecretStr("k"), stop=["STOP"], deadline=60)
        invoked = model.invoke("Hello!")
        streamed_text = "".join(text_of(c) for c in model.stream("Hello!"))
    assert (text_of(invoked), streamed_text) == ("Hello ", "Hello ")


async def test_an_async_mock_transport_answers_in_place_of_a_server(face: type[Model]) -> None:
    mock = httpx.MockTransport(lambda _: httpx.Response(200, content=token("Hello") + final()))
    async with httpx.AsyncClient(transport=mock) as client:
        model = face(http_async_client=client, api_key=SecretStr("k"), deadline=60)
        text = "".join([text_of(c) async for c in model.astream("Hello!")])
    assert text == "Hello"
