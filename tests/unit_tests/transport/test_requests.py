"""What is sent is what httpx builds itself, with all that a client was given."""

import socket
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore
import httpx
import pytest
from support.scripted_server import Reply, ScriptedServer

from langchain_voxtral.transport import exchange
from langchain_voxtral.transport.client_pool import ClientPool, ClientSettings
from langchain_voxtral.transport.httpx_mapping import build_request
from langchain_voxtral.transport.retry import RetryState
from langchain_voxtral.transport.types import HTTPRequest, Timeouts

URL = "https://api.deepinfra.com/v1/inference/mistralai/Voxtral-Mini-3B-2507"
HEADERS = {
    "content-type": "application/json",
    "accept": "text/event-stream",
    "accept-encoding": "gzip, deflate",
    "user-agent": "langchain-voxtral/1",
    "authorization": "Bearer key-of-the-test",
}
TIMEOUTS = Timeouts(connect=3.0, read=7.0)


class Signing(httpx.Client):
    """A client that signs each request as it is built."""

    def build_request(self, *args: Any, **kwargs: Any) -> httpx.Request:
        """Add a header to what httpx builds."""
        request = super().build_request(*args, **kwargs)
        request.headers["X-Signature"] = "s"
        return request


def facts(request: httpx.Request) -> tuple[object, ...]:
    """Return all that decides what is sent."""
    return (
        request.method,
        request.url,
        request.headers.raw,
        request.content,
        request.extensions,
    )


@pytest.mark.parametrize("more", [{}, {"x-team": "a"}, {"host": "other.example"}])
@pytest.mark.parametrize(
    "client",
    [
        httpx.Client(),
        httpx.AsyncClient(),
        httpx.Client(headers={"X-Project": "p", "User-Agent": "mine", "Content-Type": "text/x"}),
        httpx.Client(headers=[("X-Twice", "1"), ("X-Twice", "2")]),
        httpx.Client(headers={"Host": "third.example"}),
        httpx.Client(headers={"Transfer-Encoding": "chunked"}),
        httpx.Client(params={"account": "a"}),
        httpx.Client(cookies={"session": "c"}),
        httpx.Client(base_url="https://proxy.example/v1"),
        Signing(),
    ],
)
def test_a_request_is_what_the_client_builds(
    client: httpx.Client | httpx.AsyncClient, more: dict[str, str]
) -> None:
    """Headers come in the client's order, with its own, parameters and cookies."""
    body = b'{"input":"Hi"}'
    request = HTTPRequest(URL, body, HEADERS | more, timeouts=TIMEOUTS)
    built = build_request(client, request, RetryState(request), is_stream=False)
    expected = client.build_request(
        "POST",
        URL,
        content=body,
        headers=request.headers,
        timeout=httpx.Timeout(connect=3.0, read=7.0, write=7.0, pool=7.0),
    )
    assert facts(built) == facts(expected)


class CountingStream(httpcore.NetworkStream):
    """A connection that notes how many bytes each write has."""

    def __init__(self, stream: httpcore.NetworkStream, sizes: list[int]) -> None:
        self._stream = stream
        self._sizes = sizes

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read."""
        return self._stream.read(max_bytes, timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Note the size of what is written; nothing is no write."""
        if buffer:
            self._sizes.append(len(buffer))
            self._stream.write(buffer, timeout)

    def close(self) -> None:
        """Close."""
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        """Return what is known."""
        return self._stream.get_extra_info(info)


class CountingBackend(httpcore.NetworkBackend):
    """Makes such connections."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect."""
        plain = httpcore.SyncBackend()
        stream = plain.connect_tcp(host, port, timeout, local_address, socket_options)
        return CountingStream(stream, self.sizes)


@pytest.mark.parametrize(("body_bytes", "expected_writes"), [(2, 1), (2**16, 2), (3 * 2**16, 4)])
def test_a_request_is_sent_in_as_few_writes_as_its_size_allows(
    body_bytes: int, expected_writes: int
) -> None:
    """The head leaves with the body: a packet less, and a call of the system."""
    backend = CountingBackend()
    body = b"[%b]" % (b" " * (body_bytes - 2))
    with ScriptedServer(default=Reply(body=b"{}")) as server, httpx.Client() as client:
        client._transport._pool._network_backend = backend  # type: ignore[attr-defined]
        clients = ClientPool(ClientSettings(http_client=client))
        for _ in range(2):
            exchange.post(clients, HTTPRequest(server.url, body, {}))
    assert [request.body for request in server.requests] == [[], []]
    assert len(backend.sizes) == 2 * expected_writes


async def test_an_asynchronous_request_arrives_in_one_piece() -> None:
    arrived: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            arrived.append(connection.recv(2**16))
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor() as threads:
        served = threads.submit(serve, listener)
        async with httpx.AsyncClient() as client:
            clients = ClientPool(ClientSettings(http_async_client=client))
            url = "http://127.0.0.1:{1}".format(*listener.getsockname())
            await exchange.apost(clients, HTTPRequest(url, b"body", {}))
        served.result()
    assert arrived[0].endswith(b"\r\n\r\nbody")
