"""Files by URL: only from public addresses, only within limits, never through redirects."""

import logging
import socket
import ssl
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from support.certificates import make_certificate, needs_openssl
from support.file_host import FileHost, ok

from langchain_voxtral.errors import (
    VoxtralConnectionError,
    VoxtralInvalidRequestError,
    VoxtralTimeoutError,
)
from langchain_voxtral.transport.client_factory import ssl_context
from langchain_voxtral.transport.url_fetch import FetchPolicy, fetch_url, is_public

ANYWHERE = FetchPolicy(allows=lambda _: True)
"""The servers of the tests are on loopback."""


def resolving(monkeypatch: pytest.MonkeyPatch, host: str, *answers: Sequence[str]) -> None:
    """Make a name resolve to these addresses, one group per lookup."""
    real, left = socket.getaddrinfo, list(answers)

    def resolve(asked: Any, *rest: Any, **named: Any) -> Any:
        if asked != host:
            return real(asked, *rest, **named)
        kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")
        return [(*kind, (address, 80)) for address in left.pop(0)]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


def get(url: str, **limits: Any) -> bytes:
    limits.setdefault("allows", lambda _: True)
    return fetch_url(url, name="block 1", policy=FetchPolicy(**limits))


def test_a_file_is_fetched_without_our_credentials() -> None:
    with FileHost(ok(b"RIFF....")) as host:
        assert get(host.url("/a b.wav?sig=1#t", host="localhost")) == b"RIFF...."
    [asked] = host.requests
    head = asked.decode().split("\r\n")
    assert head[0] == "GET /a%20b.wav?sig=1 HTTP/1.1"
    names = {line.partition(":")[0].lower() for line in head[1:] if line}
    assert names == {"host", "accept", "accept-encoding", "user-agent", "connection"} - (
        set() if any(line.lower().startswith("connection") for line in head) else {"connection"}
    )
    assert f"host: localhost:{host.port}" in [line.lower() for line in head]


def test_a_body_without_a_length_arrives_complete() -> None:
    body = b"4\r\nRIFF\r\n4\r\n....\r\n0\r\n\r\n"
    with FileHost(ok(body, "transfer-encoding: chunked")) as host:
        assert get(host.url()) == b"RIFF...."


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "0x7f000001",
        "2130706433",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - nothing is bound
        "224.0.0.1",
        "255.255.255.255",
        "[fe80::1]",
        "[fc00::1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ],
)
def test_private_addresses_are_refused(host: str) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="is no public address"):
        get(f"http://{host}:9/talk.wav", allows=is_public)


def test_a_name_with_a_private_address_is_not_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    """One private address among public ones is enough to refuse."""
    resolving(monkeypatch, "rebinding.example.org", ["8.8.8.8", "127.0.0.1"])
    with FileHost(ok(b"secret")) as host, pytest.raises(VoxtralInvalidRequestError) as raised:
        fetch_url(host.url(host="rebinding.example.org"))
    assert str(raised.value) == (
        f"the recording: http://rebinding.example.org:{host.port}/talk.wav cannot be fetched: "
        "rebinding.example.org is 127.0.0.1, which is no public address. Fetch it yourself and "
        "send the recording."
    )
    assert host.requests == []


def test_the_checked_address_is_the_requested_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A second lookup could give another address, so there is only one."""
    resolving(monkeypatch, "rebinding.example.org", ["127.0.0.1"], ["127.0.0.2"])
    with FileHost(ok(b"RIFF")) as host:
        assert fetch_url(host.url(host="rebinding.example.org"), policy=ANYWHERE) == b"RIFF"
    assert f"host: rebinding.example.org:{host.port}".encode() in host.requests[0].lower()


def test_the_next_address_is_tried_where_one_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolving(monkeypatch, "two.example.org", ["127.0.0.2", "127.0.0.1"])
    with FileHost(ok(b"RIFF")) as host:
        assert get(host.url(host="two.example.org")) == b"RIFF"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (
            b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
            "it redirects, and redirects are not followed: give the address it leads to",
        ),
        (
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            "the server answers with status 404",
        ),
        (
            ok(b"\x1f\x8b", "content-encoding: gzip", "content-length: 2"),
            "the server compresses it ('gzip'), unasked",
        ),
        (ok(b"", "content-length: 101"), "it is larger than 100 bytes"),
        (
            ok(b"65\r\n" + bytes(101) + b"\r\n", "transfer-encoding: chunked"),
            "it is larger than 100 bytes",
        ),
    ],
    ids=["redirect", "404", "gzip", "large", "large unsaid"],
)
def test_responses_outside_the_limits_are_refused(answer: bytes, problem: str) -> None:
    with FileHost(answer) as host, pytest.raises(VoxtralInvalidRequestError) as raised:
        get(host.url("/talk.wav?signature=s3cret"), max_bytes=100)
    shown = f"http://127.0.0.1:{host.port}/talk.wav"
    assert str(raised.value) == f"block 1: {shown} cannot be fetched: {problem}."
    assert len(host.requests) == 1


def test_a_silent_server_times_out() -> None:
    silent = FileHost(ok(b"RI", "content-length: 4"), holds=True)
    with silent as host, pytest.raises(VoxtralTimeoutError) as raised:
        get(host.url(), read_timeout=0.2)
    assert str(raised.value) == (
        f"block 1: {host.url()} cannot be fetched: it took too long (limits: 5 s to connect, "
        "0.2 s without a byte, 60 s in all)."
    )


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 200 OK\r\nx-drip: ", ok(b"RI", "content-length: 99999"), ok(b"RI", "x: y")],
    ids=["head", "body", "body without a length"],
)
def test_a_slow_server_times_out_too(answer: bytes) -> None:
    with FileHost(answer, drips=True) as host, pytest.raises(VoxtralTimeoutError):
        get(host.url(), total_timeout=0.2)
    assert not host.outlasted


def test_a_body_that_ends_too_late_is_refused() -> None:
    with FileHost(ok(b"RIFF", "x: y"), holds=True) as host, pytest.raises(VoxtralTimeoutError):
        get(host.url(), total_timeout=0.2)
    assert len(host.requests) == 1


def test_a_signature_in_a_url_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), FileHost(ok(b"RIFF")) as host:
        get(host.url("/talk.wav?signature=s3cret"))
    assert b"s3cret" in host.requests[0]
    assert "s3cret" not in caplog.text


def test_a_body_that_breaks_off_is_no_file() -> None:
    with FileHost(ok(b"RI", "content-length: 4")) as host, pytest.raises(VoxtralConnectionError):
        get(host.url())


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("ftp://example.org/a.wav", "block 1: its URL is none of http: and https:."),
        ("file:///etc/passwd", "block 1: its URL is none of http: and https:."),
        ("http:///a.wav", "block 1: its URL is none of http: and https:."),
        ("http://[::1/a.wav", "block 1: its URL is invalid ("),
        ("http://127.0.0.1:99999/", "block 1: its URL has an invalid port."),
        ("http://127.0.0.1:0/", "block 1: its URL has an invalid port."),
        ("http://me:pa55@example.org/", "block 1: its URL has a password in it, which would show"),
    ],
)
def test_urls_with_other_schemes_are_refused(url: str, problem: str) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        get(url)
    assert str(raised.value).startswith(problem)
    assert "pa55" not in str(raised.value)


def test_a_name_that_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(VoxtralConnectionError, match=r"'nowhere.invalid' is not known"):
        get("https://nowhere.invalid/a.wav")


def test_a_proxy_of_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy resolves the name itself and may reach private addresses."""
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with FileHost(ok(b"RIFF")) as host:
        assert get(host.url()) == b"RIFF"


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111", "93.184.216.34"])
def test_public_addresses_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        "2001:db8::1",
        "2002:808:808::1",
        "3fff::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "fe80::1%eth0",
        "fec0::1",
    ],
)
def test_mapped_and_unspecified_addresses_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["100.100.100.200", "168.63.129.16", "169.254.169.254", "192.0.0.192", "fd00:ec2::254"],
)
def test_metadata_addresses_of_clouds_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@needs_openssl
@pytest.mark.parametrize("host", ["talk.example.org", "other.example.org"])
def test_the_certificate_must_be_that_of_the_name(
    host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even though the connection is opened by address."""
    key, certificate = make_certificate(tmp_path, "talk.example.org")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    resolving(monkeypatch, host, ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    ssl_context.cache_clear()
    try:
        with FileHost(ok(b"RIFF"), context=context) as server:
            url = f"https://{host}:{server.port}/talk.wav"
            if host == "talk.example.org":
                assert get(url) == b"RIFF"
                return
            with pytest.raises(VoxtralConnectionError, match="certificate is not valid for"):
                get(url)
    finally:
        ssl_context.cache_clear()
