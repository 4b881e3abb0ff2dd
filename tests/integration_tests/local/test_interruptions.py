"""Clients that disconnect, servers that stop, engines that fail."""

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from langchain_voxtral.local import LocalVoxtral
from langchain_voxtral.local.api.app import App
from langchain_voxtral.local.engine.llama import Engine, GenerationEnd, Token
from langchain_voxtral.local.engine.speech import SpeechEngine
from langchain_voxtral.local.models import LoadedModel, TextModel
from langchain_voxtral.local.prompting.chat_template import SMOLLM2_TEMPLATE

INFER = "inference/mistralai/Voxtral-Mini-3B-2507"
LIMIT = 3000
ENDLESS = {
    "input": "Once",
    "max_new_tokens": LIMIT,
    "response_format": {"type": "regex", "regex": "[a-z ]{30000}"},
}


def generated_until_served(http: httpx.Client, server: LocalVoxtral, before: int) -> int:
    """Return the number of tokens generated since, after the engine has served another request."""
    assert http.post(INFER, json={"input": "Hi", "max_new_tokens": 1}).status_code == 200
    return server.app.model.engine.tokens_generated - before


def test_a_stream_that_is_closed_ends_the_generation(
    http: httpx.Client, local_server: LocalVoxtral
) -> None:
    before = local_server.app.model.engine.tokens_generated
    with http.stream("POST", INFER, json={**ENDLESS, "stream": True}) as answer:
        next(answer.iter_raw())
    assert generated_until_served(http, local_server, before) < LIMIT


def test_a_client_that_disconnects_ends_an_unstreamed_generation(
    http: httpx.Client, local_server: LocalVoxtral
) -> None:
    engine = local_server.app.model.engine
    before = engine.tokens_generated
    port = int(local_server.base_url.rsplit(":", 1)[1].removesuffix("/v1"))
    body = json.dumps(ENDLESS).encode()
    with socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(
            f"POST /v1/{INFER} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {local_server.api_key}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        while engine.tokens_generated == before:  # until it has started
            time.sleep(0.01)
    assert generated_until_served(http, local_server, before) < LIMIT


def test_comments_keep_the_stream_alive_while_a_prompt_is_processed() -> None:
    body = {"input": "x " * 300, "max_new_tokens": 2, "stream": True}
    with LocalVoxtral(n_ctx=512, api_key="", keep_alive=0.001) as server:
        sent = httpx.post(f"{server.base_url}/{INFER}", json=body, timeout=60, trust_env=False).text
    blocks = sent.split("\n\n")[:-1]
    comments = [block for block in blocks if block.startswith(":")]
    events = [json.loads(block[6:]) for block in blocks if not block.startswith(":")]
    assert blocks[0] == ": keep-alive"
    assert set(comments) == {": keep-alive"}
    assert events[-1]["details"] == {"finish_reason": "length"}


def test_a_context_that_is_full_ends_the_answer() -> None:
    body = {"input": "x " * 200, "response_format": ENDLESS["response_format"]}
    with LocalVoxtral(n_ctx=256, api_key="") as server:
        answer = httpx.post(f"{server.base_url}/{INFER}", json=body, timeout=60, trust_env=False)
    body = answer.json()
    assert body["num_tokens"] + body["num_input_tokens"] == pytest.approx(256, abs=1)


def test_a_server_that_stops_sends_an_error_event() -> None:
    server = LocalVoxtral(api_key="").start()
    with httpx.stream(
        "POST", f"{server.base_url}/{INFER}", json={**ENDLESS, "stream": True}, trust_env=False
    ) as answer:
        pieces = answer.iter_text()
        first = next(pieces)
        stopping = threading.Thread(target=server.stop)
        stopping.start()
        sent = first + "".join(pieces)
        stopping.join()
    *tokens, last = [json.loads(event[6:]) for event in sent.split("\n\n")[:-1]]
    assert last == {"error": {"message": "The server is stopping"}}
    assert all("token" in event for event in tokens)


class FailingEngine(Engine):
    """An engine that dies after some tokens."""

    def __init__(self, tokens: int) -> None:
        self.n_ctx = 4096
        self._count = tokens

    def generate(self, fields: object, on_token: Callable[[Token], object]) -> GenerationEnd:
        for number in range(self._count):
            on_token(Token(f"{number} ", number, -1.0))
        raise RuntimeError("the engine died")


class FailingModel(TextModel):
    """A model whose engine dies after some tokens; it is loaded when first asked for."""

    def __init__(self, tokens: int) -> None:
        super().__init__("failing.gguf")
        self._tokens = tokens

    def _load(self) -> LoadedModel:
        return LoadedModel(FailingEngine(self._tokens), SMOLLM2_TEMPLATE)


async def failing(tokens: int, **fields: object) -> httpx.Response:
    app = App(FailingModel(tokens), SpeechEngine(), hosts=["test"])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        answer = await client.post(
            "http://test/v1/inference/failing", json={"input": "Hi", **fields}
        )
    app.close(5)
    return answer


@pytest.mark.parametrize("stream", [False, True])
async def test_an_engine_that_fails_before_the_first_token_is_a_500(
    stream: bool, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await failing(0, stream=stream)
    assert (answer.status_code, answer.json()) == (500, {"detail": "inference error"})
    assert answer.headers["x-request-id"] in caplog.text
    assert "RuntimeError: the engine died" in caplog.text


async def test_an_engine_that_fails_later_is_an_event() -> None:
    answer = await failing(2, stream=True)
    events: list[dict[str, Any]] = [json.loads(x[6:]) for x in answer.text.split("\n\n")[:-1]]
    assert [event.get("token", {}).get("text") for event in events] == ["0 ", "1 ", None]
    assert events[-1] == {"error": {"message": "inference error"}}


def test_an_error_of_a_callback_is_raised_by_the_engine(local_server: LocalVoxtral) -> None:
    """Without our code, xllamacpp would swallow it."""

    def fail(_: Token) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        local_server.app.model.engine.generate({"prompt": "Hi", "max_tokens": 5}, fail)


def test_a_file_that_is_not_a_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "SmolLM2-135M-Instruct.Q4_1.gguf"
    path.write_bytes(b"GGUF nonsense")
    with pytest.raises(Exception, match=r"could not load .*SmolLM2.*\.gguf"):
        LocalVoxtral(model=path).start()
