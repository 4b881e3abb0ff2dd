"""Cassettes contain no secrets: neither the committed ones, nor any that are written."""

import gzip
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from pydantic import SecretStr
from support.cassettes.format import (
    REQUEST_HEADERS,
    RESPONSE_HEADERS,
    CassetteFormat,
    json_bytes,
    read_body,
)
from support.cassettes.replay import CASSETTES, record, replay

from langchain_voxtral import ChatVoxtral, VoxtralTranscriptionParser, audio_block
from langchain_voxtral.audio.wav import wav_header
from langchain_voxtral.errors import VoxtralResponseError

LOOPBACK = "http://127.0.0.1/v1"
COMMITTED = sorted(CASSETTES.rglob("*.yaml"))
KEY = "dpi-SECRET-5f3a9c"
COOKIE = "crumb-71c0ffee"
ACCOUNT = "account-of-somebody"
ANSWER: dict[str, Any] = {
    "results": [{"generated_text": "Hello"}],
    "text": "Hello",
    "inference_status": {"status": "succeeded"},
    "request_id": "R1",
    "echo": {"text": f"you sent {KEY}", KEY: [COOKIE]},
}
CLEANED = ANSWER | {"echo": {"text": "you sent [redacted]", "[redacted]": ["[redacted]"]}}
SOUND = wav_header(16_000) + KEY.encode().ljust(16_000)
"""Half a second; its samples contain a secret."""

committed = pytest.mark.parametrize(
    "path", COMMITTED, ids=[str(path.relative_to(CASSETTES)) for path in COMMITTED]
)


# Committed cassettes


@committed
def test_committed_cassettes_contain_allowed_headers_only(path: Path) -> None:
    for interaction in _interactions(path):
        assert set(interaction["request"]["headers"]) <= REQUEST_HEADERS
        assert set(interaction["response"]["headers"]) <= RESPONSE_HEADERS


@committed
def test_committed_cassettes_contain_no_words_of_secrets(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    secret = (
        r"authorization:|bearer |cookie|api[_-]key|\bjwt:|-----BEGIN|x-deepinfra|\b127\.0\.0\.1:"
    )
    assert re.findall(secret, text, re.IGNORECASE) == []


@committed
def test_committed_cassettes_name_their_source(path: Path) -> None:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    hosts = {"documented": "api.deepinfra.com", "hosted": "api.deepinfra.com"}
    folder = path.parent.name
    assert document["source"].split(":")[0] == folder
    asked = {httpx.URL(interaction["request"]["uri"]).host for interaction in _interactions(path)}
    assert asked == {hosts.get(folder, "127.0.0.1")}


@committed
def test_only_documented_cassettes_contain_additions(path: Path) -> None:
    added = [interaction["response"].get("added") for interaction in _interactions(path)]
    expected = ["status", "headers"] if path.parent.name == "documented" else None
    assert added == [expected] * len(added)
    if expected is None:
        assert [one for one in _interactions(path) if "added" in one["request"]] == []


@committed
def test_committed_cassettes_contain_no_audio_and_no_boundary(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert re.findall(r"boundary|base64|[A-Za-z0-9+/]{100,}", text) == []


@committed
def test_only_documented_cassettes_contain_unknown_files(path: Path) -> None:
    fields = {"name", "type", "bytes", "sha256"}
    files = [
        set(value)
        for interaction in _interactions(path)
        for value in interaction["request"].get("form", {}).values()
        if isinstance(value, dict)
    ]
    assert files == [set() if path.parent.name == "documented" else fields] * len(files)


def _interactions(path: Path) -> list[dict[str, Any]]:
    interactions = yaml.safe_load(path.read_text(encoding="utf-8"))["interactions"]
    assert isinstance(interactions, list)
    return interactions


# Writing


def test_no_secret_of_an_exchange_is_written(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    with _server() as base_url, record(path, "test: a scripted server"):
        # Only the cassette is redacted, not what the caller gets.
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
        "json": CLEANED,
    }


def test_neither_secrets_nor_audio_of_a_form_are_written(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    with (
        _server() as base_url,
        VoxtralTranscriptionParser(
            base_url=base_url,
            api_key=SecretStr(KEY),
            prompt=f"I say {KEY}.",
            default_headers={"Cookie": f"crumb={COOKIE}", "X-Account": ACCOUNT},
        ) as parser,
        record(path, "test: a scripted server"),
    ):
        assert [document.page_content for document in parser.parse(SOUND)] == ["Hello"]
    text = path.read_text(encoding="utf-8")
    assert [secret for secret in (KEY, COOKIE, ACCOUNT, "boundary") if secret in text] == []
    assert _interactions(path)[0]["request"] == {
        "method": "POST",
        "uri": "http://127.0.0.1/v1/openai/audio/transcriptions",
        "headers": {"content-type": ["multipart/form-data"], "accept": ["application/json"]},
        "form": {
            "model": "mistralai/Voxtral-Mini-3B-2507",
            "prompt": "I say [redacted].",
            "response_format": "json",
            "temperature": "0.0",
            "file": {
                "name": "audio.wav",
                "type": "audio/wav",
                "bytes": len(SOUND),
                "sha256": hashlib.sha256(SOUND).hexdigest(),
            },
        },
    }


def test_the_audio_of_a_question_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    question = HumanMessage([audio_block(SOUND), {"type": "text", "text": "What is it?"}])
    with (
        _server() as base_url,
        record(path, "test: a scripted server"),
        pytest.raises(VoxtralResponseError),  # the response is not one of a chat
    ):
        _ask(base_url, [question])
    text = path.read_text(encoding="utf-8")
    assert [secret for secret in (KEY, COOKIE, ACCOUNT) if secret in text] == []
    facts = {"bytes": len(SOUND), "sha256": hashlib.sha256(SOUND).hexdigest()}
    assert _interactions(path)[0]["request"]["json"]["messages"] == [
        {
            "role": "user",
            "content": [
                {"type": "input_audio", "input_audio": {"data": facts, "format": "wav"}},
                {"type": "text", "text": "What is it?"},
            ],
        }
    ]


def test_a_compressed_response_is_written_decompressed(tmp_path: Path) -> None:
    path = tmp_path / "new.yaml"
    with _server(compressed=True) as base_url, record(path, "test: a scripted server"):
        _ask(base_url)
    assert _interactions(path)[0]["response"]["json"]["request_id"] == "R1"
    with replay(path):
        assert _ask(LOOPBACK).text == "Hello"


def test_a_secret_is_redacted_in_bodies_of_every_format() -> None:
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


def test_a_secret_that_cannot_be_redacted_prevents_writing() -> None:
    request = {"method": "POST", "uri": "http://h/", "body": b""}
    interaction = {
        "request": request | {"headers": {"Authorization": [f"Bearer {KEY}"]}},
        "response": {"status": {}, "headers": {}, "body": {"string": b""}},
    }
    with pytest.raises(ValueError, match="A secret of the recorded requests would be written"):
        CassetteFormat(f"test with {KEY}").serialize({"version": 1, "interactions": [interaction]})


def test_a_body_that_stays_compressed_is_not_written() -> None:
    interaction = {
        "request": {"method": "POST", "uri": "http://h/", "headers": {}, "body": b""},
        "response": {
            "status": {},
            "headers": {"Content-Encoding": ["zstd"]},
            "body": {"string": b"(\xb5/\xfd"},
        },
    }
    with pytest.raises(ValueError, match="A recorded body is compressed"):
        CassetteFormat("test").serialize({"version": 1, "interactions": [interaction]})


def test_a_failed_recording_leaves_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text("source: test\nversion: 1\ninteractions: []\n", encoding="utf-8")
    before = path.read_bytes()
    with (
        _server() as base_url,
        pytest.raises(ZeroDivisionError),
        record(path, "test: a scripted server"),
    ):
        _fail_after_asking(base_url)
    assert path.read_bytes() == before


def _fail_after_asking(base_url: str) -> None:
    _ask(base_url)
    raise ZeroDivisionError


def test_a_new_recording_replaces_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    with _server() as base_url:
        for words in ("Hello!", "Goodbye!"):
            with record(path, "test: a scripted server"):
                _ask(base_url, words)
    inputs = [interaction["request"]["json"]["input"] for interaction in _interactions(path)]
    assert inputs == [_prompt("Goodbye!")]


def test_a_recording_without_changes_leaves_the_older_one(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    fields = {"created": 1, "runtime_ms": 5}
    for source, news in (
        ("version 1", {"request_id": "R1", **fields}),
        ("version 2", {"request_id": "R2", "created": 2, "runtime_ms": 6}),
    ):
        with _server(ANSWER | news) as base_url, record(path, f"test: {source}"):
            _ask(base_url)
    assert yaml.safe_load(path.read_text(encoding="utf-8"))["source"] == "test: version 1"
    assert _interactions(path)[0]["response"]["json"] == CLEANED | {"request_id": "R1", **fields}


@given(st.binary() | st.text().map(str.encode))
@example("\x85 \u2028 \ufeff \r\n ...\n".encode())
def test_every_body_is_read_as_it_was_written(body: bytes) -> None:
    assert _through_a_cassette(body) == _compact(body)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.lists(_json), st.booleans())
@example(["\x85", "\ud800", "<<", "=", "1e5", "no", "2026-11-22", 1e-05, -0.0], True)
def test_json_values_are_read_as_they_were_written(value: object, ascii_only: bool) -> None:
    body = json.dumps(value, ensure_ascii=ascii_only).encode(errors="surrogatepass")
    assert repr(json.loads(_through_a_cassette(body))) == repr(value)


def _through_a_cassette(body: bytes) -> bytes:
    interaction = {
        "request": {"method": "POST", "uri": "http://h/", "body": body, "headers": {}},
        "response": {"status": {}, "headers": {}, "body": {"string": body}},
    }
    cassette_format = CassetteFormat("test")
    written = cassette_format.serialize({"version": 1, "interactions": [interaction]})
    read = cassette_format.deserialize(written)["interactions"][0]
    assert read["request"]["body"] == read["response"]["body"]["string"]
    sent = read["request"]["body"]
    assert isinstance(sent, bytes)
    return sent


def _compact(body: bytes) -> bytes:
    """Return compact JSON, as it is written."""
    try:
        value = json.loads(body, parse_constant=int)
    except ValueError:
        return body
    return json_bytes(value) if isinstance(value, dict | list) else body


# A server that echoes secrets


def _prompt(words: str) -> str:
    return (
        f"<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n{words}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def _ask(base_url: str, words: str | list[BaseMessage] = "Hello!") -> AIMessage:
    with ChatVoxtral(
        base_url=base_url,
        api_key=SecretStr(KEY),
        temperature=None,
        top_p=None,
        default_headers={"Cookie": f"crumb={COOKIE}", "X-Account": ACCOUNT},
    ) as chat:
        return chat.invoke(words)


@contextmanager
def _server(answer: dict[str, Any] = ANSWER, *, compressed: bool = False) -> Iterator[str]:
    """Send a response with cookies and an account name in its headers."""
    body = json_bytes(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            sent = gzip.compress(body) if compressed else body
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent)))
            self.send_header("Set-Cookie", f"crumb={COOKIE}; Path=/; HttpOnly")
            self.send_header("Set-Cookie", "seen=o; Path=/")
            self.send_header("X-DeepInfra-Account", ACCOUNT)
            self.send_header("X-Request-Id", answer["request_id"])
            if compressed:
                self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(sent)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/v1"
        finally:
            server.shutdown()
            thread.join()
