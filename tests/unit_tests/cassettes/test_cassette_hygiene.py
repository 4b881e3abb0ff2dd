"""Cassettes hold no secrets, nothing leaves while they are played, and all of them is played."""

import gzip
import json
import re
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from cassette_format import (
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    CassetteFormat,
    json_bytes,
    read_body,
    written_body,
)
from cassette_scenes import SCENES, Scene, aplay, play
from cassette_tools import CASSETTES, record, replay
from hypothesis import given
from hypothesis import strategies as st
from pytest_socket import SocketBlockedError
from vcr.errors import CannotOverwriteExistingCassetteException

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.endpoint import DEEPINFRA_URL
from langchain_voxtral.errors import VoxtralError

COMMITTED = sorted(CASSETTES.rglob("*.yaml"))
KEY = "dpi-SECRET-5f3a9c"
COOKIE = "crumb-71c0ffee"
ACCOUNT = "account-of-somebody"
ANSWER = {
    "results": [{"generated_text": "Hello"}],
    "inference_status": {"status": "succeeded"},
    "request_id": "R1",
    "echo": {"text": f"you sent {KEY}", KEY: [COOKIE]},
}

committed = pytest.mark.parametrize(
    "path", COMMITTED, ids=[str(path.relative_to(CASSETTES)) for path in COMMITTED]
)


# Committed cassettes


@committed
def test_committed_cassettes_hold_harmless_headers_only(path: Path) -> None:
    for interaction in _interactions(path):
        assert set(interaction["request"]["headers"]) <= REQUEST_HEADERS
        assert set(interaction["response"]["headers"]) <= RESPONSE_HEADERS


@committed
def test_committed_cassettes_hold_no_words_of_secrets(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    secret = r"authorization:|bearer |cookie|api[_-]key|\bjwt:|-----BEGIN|x-deepinfra|\b127\.0\.0\.1:"
    assert re.findall(secret, text, re.IGNORECASE) == []


@committed
def test_committed_cassettes_say_where_they_come_from(path: Path) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    hosts = {"documented": "api.deepinfra.com", "hosted": "api.deepinfra.com"}
    folder = path.parent.name
    assert document["source"].split(":")[0] == folder
    asked = {httpx.URL(interaction["request"]["uri"]).host for interaction in _interactions(path)}
    assert asked == {hosts.get(folder, "127.0.0.1")}


@committed
def test_only_documented_cassettes_hold_anything_added(path: Path) -> None:
    added = [interaction["response"].get("added") for interaction in _interactions(path)]
    expected = ["status", "headers"] if path.parent.name == "documented" else None
    assert added == [expected] * len(added)


def _interactions(path: Path) -> list[dict[str, Any]]:
    interactions = yaml.safe_load(path.read_text(encoding="utf-8"))["interactions"]
    assert isinstance(interactions, list)
    return interactions


# Writing


def test_no_secret_of_an_exchange_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    with _server(ANSWER) as base_url, record(path, "test: a scripted server"):
        # What was cleaned is the cassette, not what the caller gets.
        assert _ask(base_url).text == "Hello"
    text = path.read_text(encoding="utf-8")
    assert [secret for secret in (KEY, COOKIE, ACCOUNT) if secret in text] == []
    request, response = (_interactions(path)[0][name] for name in ("request", "response"))
    assert request == {
        "method": "POST",
        "uri": "http://127.0.0.1/v1/inference/mistralai/Voxtral-Mini-3B-2507",
        "headers": {"content-type": ["application/json"], "accept": ["application/json"]},
        "json": {"input": _prompt("Hello!"), "stop": ["<|eot_id|>"]},
    }
    assert response == {
        "status": {"code": 200, "message": "OK"},
        "headers": {"content-type": ["application/json"], "x-request-id": ["R1"]},
        "json": ANSWER | {"echo": {"text": "you sent [redacted]", "[redacted]": ["[redacted]"]}},
    }


def test_a_compressed_answer_is_written_readable(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    with _server(ANSWER, compressed=True) as base_url, record(path, "test: a scripted server"):
        _ask(base_url)
    assert _interactions(path)[0]["response"]["json"]["request_id"] == "R1"
    with replay(path):
        assert _ask("http://127.0.0.1/v1").text == "Hello"


def test_a_secret_is_cleaned_from_bodies_of_every_form() -> None:
    bodies = [f"data: {KEY}\n\n".encode(), b"\xff" + KEY.encode(), b'["dpi\\u002dSECRET-5f3a9c"]']
    request = {"method": "POST", "uri": f"http://h/?key={KEY}", "body": KEY}
    headers = {"xi-api-key": [KEY]}
    interactions = [
        {
            "request": request | {"headers": headers},
            "response": {"status": {}, "headers": {}, "body": {"string": body}},
        }
        for body in bodies
    ]
    text = CassetteFormat("test").serialize({"version": 1, "interactions": interactions})
    written = yaml.safe_load(text)["interactions"]
    assert [read_body(interaction["response"]) for interaction in written] == [
        b"data: [redacted]\n\n",
        b"\xff[redacted]",
        b'["[redacted]"]',
    ]
    assert written[0]["request"] == {
        "method": "POST",
        "uri": "http://h/?key=[redacted]",
        "headers": {},
        "text": "[redacted]",
    }


def test_a_failed_recording_leaves_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text("source: test\nversion: 1\ninteractions: []\n", encoding="utf-8")
    before = path.read_bytes()
    with (
        _server(ANSWER) as base_url,
        pytest.raises(KeyboardInterrupt),
        record(path, "test: a scripted server"),
    ):
        _ask(base_url)
        raise KeyboardInterrupt
    assert path.read_bytes() == before


def test_a_new_recording_replaces_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    with _server(ANSWER) as base_url:
        for words in ("Hello!", "Goodbye!"):
            with record(path, "test: a scripted server"):
                _ask(base_url, words)
    inputs = [interaction["request"]["json"]["input"] for interaction in _interactions(path)]
    assert inputs == [_prompt("Goodbye!")]


@given(st.binary() | st.text().map(str.encode))
def test_every_body_is_read_as_it_was_written(body: bytes) -> None:
    text = yaml.safe_dump(written_body(body))
    assert _value(read_body(yaml.safe_load(text))) == _value(body)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.lists(_json), st.booleans())
def test_json_bodies_pass_through_a_cassette_file_unchanged(value: object, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only, allow_nan=True).encode()
    interaction = {
        "request": {"method": "POST", "uri": "http://h/", "body": body, "headers": {}},
        "response": {"status": {}, "headers": {}, "body": {"string": body}},
    }
    cassette_format = CassetteFormat("test")
    written = cassette_format.serialize({"version": 1, "interactions": [interaction]})
    read = cassette_format.deserialize(written)["interactions"][0]
    assert repr(json.loads(read["request"]["body"])) == repr(value)
    assert repr(json.loads(read["response"]["body"]["string"])) == repr(value)


def _value(body: bytes) -> object:
    """Return what a body says: a JSON document is the same with other white space."""
    try:
        value = json.loads(body)
    except ValueError:
        return body
    return json_bytes(value) if isinstance(value, dict | list) else body


# Playing


def test_a_partly_played_cassette_fails() -> None:
    path = CASSETTES / "embedded" / "busy_invoke.yaml"
    model = SCENES["busy_invoke"].model("http://127.0.0.1/v1").model_copy(update={"max_retries": 0})
    with pytest.raises(AssertionError, match=r"^Exchanges that nobody asked for: 2\. POST http"):  # noqa: SIM117
        with replay(path):
            with pytest.raises(VoxtralError):
                play(model, SCENES["busy_invoke"])


def test_a_cassette_that_is_not_there_fails() -> None:
    with pytest.raises(FileNotFoundError), replay(CASSETTES / "embedded" / "no_such.yaml"):
        pass


def test_a_failure_while_playing_is_not_hidden_by_what_was_not_played() -> None:
    with pytest.raises(ZeroDivisionError), replay(CASSETTES / "documented" / "hello.yaml"):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "changed",
    [
        {"max_tokens": 61},
        {"seed": None},
        {"stop": []},
        {"model": "mistralai/Voxtral-Small-24B-2507"},
        {"model_kwargs": {"top_k": 1}} if False else {"top_k": 1},
    ],
    ids=str,
)
def test_a_request_that_differs_in_one_field_is_refused(changed: dict[str, Any]) -> None:
    scene = SCENES["chat_invoke"]
    other = Scene(scene.given, settings=changed)
    with (
        pytest.raises(CannotOverwriteExistingCassetteException),
        replay(CASSETTES / "embedded" / "chat_invoke.yaml"),
    ):
        play(other.model("http://127.0.0.1/v1"), other)


def test_an_exchange_is_played_only_once() -> None:
    scene = SCENES["chat_invoke"]
    with (
        pytest.raises(CannotOverwriteExistingCassetteException),
        replay(CASSETTES / "embedded" / "chat_invoke.yaml"),
    ):
        play(scene.model("http://127.0.0.1/v1"), scene)
        play(scene.model("http://127.0.0.1/v1"), scene)


def test_a_request_past_vcrpy_finds_no_socket() -> None:
    """A transport that is not httpx's own is not patched by vcrpy."""
    with (
        _own_client() as client,
        _nothing_leaves(),
    ):
        chat = ChatVoxtral(base_url=DEEPINFRA_URL, api_key=KEY, http_client=client)
        chat.invoke("Hello!")


async def test_no_asynchronous_request_past_vcrpy_finds_a_socket() -> None:
    async with httpx.AsyncClient(transport=_OwnAsyncTransport()) as client:
        with _nothing_leaves():
            chat = ChatVoxtral(base_url=DEEPINFRA_URL, api_key=KEY, http_async_client=client)
            await chat.ainvoke("Hello!")


async def test_sockets_are_back_after_playing() -> None:
    scene = Scene("Hello!", settings={"temperature": None, "seed": None, "max_tokens": None, "stop": []})
    with replay(CASSETTES / "documented" / "hello.yaml"):
        await aplay(scene.model(DEEPINFRA_URL, KEY), scene)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(
        server.getsockname()
    ):
        pass


@contextmanager
def _nothing_leaves() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pytest-socket warns beside its error
        with pytest.raises(SocketBlockedError), replay(CASSETTES / "documented" / "hello.yaml"):
            yield


class _OwnTransport(httpx.BaseTransport):
    """A transport of one's own, around the real connections."""

    def __init__(self) -> None:
        import httpcore

        self._pool = httpcore.ConnectionPool()
