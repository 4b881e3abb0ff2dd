"""The embedded server accepts any bytes: a documented response or a closed connection, no hang."""

import gzip
import io
import json
import logging
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPResponse
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.local_responses import (
    CHAT_PATH,
    FUZZ,
    INFER,
    NO_HTTP,
    PATH,
    PLAIN,
    PLAIN_CHAT,
    TIMEOUT_SECONDS,
    assert_documented,
    parse_strict_json,
)

from langchain_voxtral.local import LocalVoxtral


@pytest.fixture(autouse=True)
def _works_afterwards(http: httpx.Client, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """After any request, a plain request succeeds, and no failure was logged."""
    yield
    assert http.post(INFER, json=PLAIN).json()["num_tokens"] == 1
    assert [r for r in caplog.get_records("call") if r.levelno >= logging.ERROR] == []


class Kept(io.BytesIO):
    """A buffer from which several responses are read in turn."""

    def makefile(self, *_: object) -> "Kept":
        return self

    def close(self) -> None:
        pass


LAST_CHUNK = b"0\r\n\r\n"


def request(
    method: str = "POST",
    target: str = PATH,
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = json.dumps(PLAIN).encode(),
    *,
    chunked: bool = False,
) -> bytes:
    """Write a well-formed request."""
    framing = ("Transfer-Encoding", "chunked") if chunked else ("Content-Length", str(len(body)))
    lines = [f"{method} {target} HTTP/1.1", *(f"{n}: {v}" for n, v in (*headers, framing))]
    chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
    framed = chunk + LAST_CHUNK if chunked else body
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + framed


def good_headers(server: LocalVoxtral) -> dict[str, str]:
    return {
        "Host": "localhost",
        "Authorization": f"Bearer {server.api_key}",
        "Content-Type": "application/json",
    }


def connected(server: LocalVoxtral) -> socket.socket:
    port = urlsplit(server.base_url).port
    return socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)


def read_response(client: socket.socket) -> bytes:
    """Return everything until the server closes the connection."""
    return b"".join(iter(lambda: client.recv(2**16), b""))


def talk(server: LocalVoxtral, sent: bytes, *, hang_up: bool = False) -> bytes:
    with connected(server) as client:
        try:
            client.sendall(sent)
            if hang_up:
                client.shutdown(socket.SHUT_WR)
            return read_response(client)
        except TimeoutError:
            pytest.fail(f"it hangs after {sent!r:.200}")
        except OSError:
            return b""  # it stopped reading bytes that are not a request


def answers_in(data: bytes) -> list[tuple[int, str, bytes]]:
    answers, stream = [], Kept(data)
    while stream.tell() < len(data):
        answer = HTTPResponse(stream)  # type: ignore[arg-type]  # it is enough
        answer.begin()
        kind = answer.headers.get("content-type", "")
        answers.append((answer.status, kind, answer.read()))
    return answers


HOSTS = ("localhost", "LOCALHOST:1", "127.0.0.1:8200", "[::1]")
FOREIGN_HOSTS = (
    *("", "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "evil.example:80", "0"),
    *("127.0.0.2", "localhost.", "0.0.0.1", "[::]", "[::ffff:127.0.0.1]", "127.1", "2130706433"),
    *("user@localhost", "local host", "lo\xe7alhost", ",localhost", "localhost, evil.example"),
)
printable = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
TARGETS = (
    *(PATH, f"{PATH}?version=1", f"{PATH}/", "/v1/inference/", "/v1/inference", "*", "/%ff"),
    *("/v1/openai/models", "/v1/openai/models/", "/health", "/health?x=%ff%00", "//health"),
    *(CHAT_PATH, f"{CHAT_PATH}/", "/v1/chat/completions", "/v1/openai/chat/", "/v1/models/%ff"),
    *("/../health", "http://evil.example/health", PATH.replace("/v1", "/%76%31")),
)
GUARDED = ("/v1/inference/", "/v1/openai/chat/", "/v1/chat/")
targets = st.sampled_from(TARGETS) | printable.map("/".__add__)
methods = st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"]) | (
    st.text("ABCXYZ-_!", min_size=1, max_size=9)
)
values_of_headers = st.text(
    st.characters(codec="latin-1", exclude_categories=["Cc", "Zs"]), max_size=20
)
CONTENTS = (
    json.dumps(PLAIN_CHAT).encode(),
    *(json.dumps(PLAIN).encode(), gzip.compress(json.dumps(PLAIN).encode()), b"", b"{}", b"[]"),
    *(b'{"input": "\xff"}', b'\xef\xbb\xbf{"input": "Hi"', json.dumps(PLAIN).encode("utf-16")),
    *(b"[" * 10_000, gzip.compress(b"x")[:-3], gzip.compress(b" " * 9 * 2**20), b'{"input":"Hi"'),
)
contents = st.binary(max_size=40) | st.sampled_from(CONTENTS)


@st.composite
def headers_of_any_kind(draw: st.DrawFn, good: dict[str, str]) -> tuple[tuple[str, str], ...]:
    some = {
        "Host": draw(st.sampled_from(HOSTS) | st.sampled_from(FOREIGN_HOSTS)),
        "Authorization": draw(st.just(good["Authorization"]) | values_of_headers),
        "Content-Type": draw(
            st.just("application/json")
            | st.sampled_from(["Application/JSON; charset=x", "text/plain", ""])
            | values_of_headers
        ),
    }
    more = st.dictionaries(
        st.sampled_from(["Content-Encoding", "Accept-Encoding", "Expect", "Upgrade", "Range", "X"]),
        st.sampled_from(["gzip", "GZIP", "br", "identity", "100-continue", "websocket", "h2c"])
        | values_of_headers,
        max_size=3,
    )
    return (*some.items(), *draw(more).items(), ("Connection", "close"))


@FUZZ
@given(data=st.data())
def test_any_request(local_server: LocalVoxtral, data: st.DataObject) -> None:
    headers = data.draw(headers_of_any_kind(good_headers(local_server)))
    method = data.draw(st.just("POST") | methods)
    target = data.draw(st.sampled_from([PATH, CHAT_PATH]) | targets)
    sent = request(method, target, headers, data.draw(contents), chunked=data.draw(st.booleans()))
    [answer] = answers_in(talk(local_server, sent))
    if answer == NO_HTTP:
        return
    assert_documented(*answer)
    given_by = dict(headers)
    if given_by["Host"] in FOREIGN_HOSTS:
        assert answer[0] == 400
    elif given_by["Authorization"] != good_headers(local_server)["Authorization"]:
        assert answer[0] == 401 or not target.startswith(GUARDED)


@st.composite
def damaged(draw: st.DrawFn, sent: bytes) -> bytes:
    """Damage a request: cut it, or leave out, change and repeat bytes of it."""
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(sent)))
        end = min(len(sent), start + draw(st.integers(0, 30)))
        sent = sent[:start] + draw(st.binary(max_size=3)) + draw(
            st.sampled_from([b"", sent[start:end] * 2, sent[end : end + 5]])
        ) + sent[end:]  # fmt: skip
    return sent[: draw(st.integers(0, len(sent)) | st.just(len(sent)))]


@FUZZ
@given(data=st.data(), chunked=st.booleans(), stream=st.booleans())
def test_malformed_requests(
    local_server: LocalVoxtral, data: st.DataObject, chunked: bool, stream: bool
) -> None:
    headers = (*good_headers(local_server).items(), ("Connection", "close"))
    body = json.dumps(PLAIN | {"stream": stream}).encode()
    sent = data.draw(damaged(request(headers=headers, body=body, chunked=chunked)))
    for answer in answers_in(talk(local_server, sent, hang_up=True)):
        if answer != NO_HTTP:
            assert_documented(*answer)


@FUZZ
@given(sent=st.lists(st.binary() | st.sampled_from([b"\r\n", b"GET ", b" HTTP/1.1"])).map(b"".join))
@example(sent=b"\x16\x03\x01\x02\x00")  # a TLS client
@example(sent=b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")  # an HTTP/2 one
@example(sent=b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 2**20)
def test_bytes_that_are_not_http(local_server: LocalVoxtral, sent: bytes) -> None:
    answers = answers_in(talk(local_server, sent, hang_up=True))
    assert {status for status, _, _ in answers} <= {400}


@pytest.mark.parametrize("target", [PATH, "/nothing"])
def test_a_malformed_chunk_is_not_a_server_error(local_server: LocalVoxtral, target: str) -> None:
    """The head is valid, so the response has started when the chunk arrives."""
    whole = request(target=target, headers=tuple(good_headers(local_server).items()), chunked=True)
    head, end, _ = whole.partition(b"\r\n\r\n")
    assert answers_in(talk(local_server, head + end + b"no size\r\n")) == [NO_HTTP]


@settings(FUZZ, max_examples=40)
@given(data=st.data())
def test_pipelined_requests_are_answered_in_their_order(
    local_server: LocalVoxtral, data: st.DataObject
) -> None:
    good = tuple(good_headers(local_server).items())
    kinds = {
        200: request(headers=good),
        404: request(target="/nothing", headers=good),
        405: request("PUT", headers=good),
        415: request(headers=good[:2]),
        422: request(headers=good, body=b"{}", chunked=True),
    }
    wanted = data.draw(st.lists(st.sampled_from(sorted(kinds)), max_size=5))
    last = request(headers=(*good, ("Connection", "close")))
    sent = b"".join([*(kinds[status] for status in wanted), last])
    answers = answers_in(talk(local_server, sent))
    assert [status for status, _, _ in answers] == [*wanted, 200]
    for answer in answers:
        assert_documented(*answer)


def test_slow_clients_do_not_block_others(local_server: LocalVoxtral, http: httpx.Client) -> None:
    """Each stops at another place of its request: in its head, in its body, before both."""
    headers = (*good_headers(local_server).items(), ("Connection", "close"))
    sent = request(headers=headers)
    with ExitStack() as stack:
        slow = [stack.enter_context(connected(local_server)) for _ in range(0, len(sent), 10)]
        for number, client in enumerate(slow):
            client.sendall(sent[: number * 10])
        assert http.post(INFER, json=PLAIN).status_code == 200
        for number, client in enumerate(slow):
            client.sendall(sent[number * 10 :])
            assert [status for status, _, _ in answers_in(read_response(client))] == [200]


# Limits


def test_a_body_above_the_limit_is_refused_before_it_is_complete() -> None:
    """The end of the body is never sent."""
    with LocalVoxtral(n_ctx=256, max_body_bytes=1000, api_key="") as server:
        whole = request(headers=tuple(good_headers(server).items()), body=b"", chunked=True)
        with connected(server) as client:
            client.sendall(whole.removesuffix(LAST_CHUNK))
            for _ in range(9):
                client.sendall(b"%x\r\n%b\r\n" % (1000, bytes(1000)))
            answer = HTTPResponse(client)
            answer.begin()
            refusal = (answer.status, parse_strict_json(answer.read()))
    assert refusal == (413, {"error": {"message": "The request is larger than 1000 bytes"}})


def test_it_listens_on_one_local_address(local_server: LocalVoxtral) -> None:
    """If it were bound to all addresses, this one would reach it too."""
    port = urlsplit(local_server.base_url).port
    with pytest.raises(OSError, match=r".+"):
        socket.create_connection(("127.0.0.2", port), timeout=1).close()


def test_llama_cpps_own_port_is_on_loopback_and_needs_a_key(local_server: LocalVoxtral) -> None:
    address = local_server.app.model.engine.server.listening_address
    assert urlsplit(address).hostname == "127.0.0.1"
    for path in ("/completion", "/v1/chat/completions", "/tokenize", "/props", "/slots"):
        answer = httpx.post(address + path, json={"prompt": "Hi"}, trust_env=False)
        assert answer.status_code == 401, path
