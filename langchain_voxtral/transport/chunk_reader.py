"""Reads the chunked body of a response from its connection, past httpcore.

httpcore gets the head of the response and the end of its body, so that it knows when the
connection is free. What is between is decoded a read at a time: see `protocol.chunked_body`.
"""

import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any, Protocol

import httpcore

from langchain_voxtral.protocol.chunked_body import ChunkedBody

_READ_BYTES = 2**16


class _Connection(Protocol):
    body: ChunkedBody

    def receive(self, max_bytes: int, timeout: float | None) -> Any: ...


class _ChunkReader:
    """The body of a response, as httpcore has it."""

    def __init__(self, rest: Any, connection: _Connection, timeout: float | None) -> None:
        self._rest = rest
        self._connection = connection
        self._timeout = timeout

    def __iter__(self) -> Iterator[bytes]:
        body, receive, timeout = self._connection.body, self._connection.receive, self._timeout
        data = b""  # the first chunks may have come with the head
        try:
            while True:
                content = body.decode(data)
                if content:
                    yield content
                if not body.is_open or not (data := receive(_READ_BYTES, timeout)):
                    break
        except BaseException:
            self.close()
            raise
        yield from self._rest

    def close(self) -> None:
        self._rest.close()


class _AsyncChunkReader:
    """The same, asynchronous."""

    def __init__(self, rest: Any, connection: _Connection, timeout: float | None) -> None:
        self._rest = rest
        self._connection = connection
        self._timeout = timeout

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body, receive, timeout = self._connection.body, self._connection.receive, self._timeout
        data = b""
        try:
            while True:
                content = body.decode(data)
                if content:
                    yield content
                if not body.is_open or not (data := await receive(_READ_BYTES, timeout)):
                    break
        except BaseException:
            await self.aclose()
            raise
        async for content in self._rest:
            yield content

    async def aclose(self) -> None:
        await self._rest.aclose()


def _is_readable(request: httpcore.Request, response: httpcore.Response) -> bool:
    body = getattr(response.extensions.get("network_stream"), "body", None)
    return (
        isinstance(body, ChunkedBody)
        and body.is_open
        and request.method == b"POST"
        and any(name.lower() == b"transfer-encoding" for name, _ in response.headers)
    )


def read_chunks_directly(pool: httpcore.ConnectionPool | httpcore.AsyncConnectionPool) -> None:
    """Have the bodies of a pool's responses read here, where its connections offer that."""
    if isinstance(pool, httpcore.ConnectionPool):
        pool.handle_request = _handler(weakref.ref(pool))  # type: ignore[method-assign,assignment]
    else:
        pool.handle_async_request = _async_handler(weakref.ref(pool))  # type: ignore[method-assign,assignment]


# The handlers do not hold their pool: it is freed, as it was, when nobody holds it.


def _handler(pool: Callable[[], Any]) -> Callable[[httpcore.Request], httpcore.Response]:
    def handle_request(request: httpcore.Request) -> httpcore.Response:
        self = pool()
        response: httpcore.Response = type(self).handle_request(self, request)
        if _is_readable(request, response):
            response.stream = _ChunkReader(response.stream, *_connection(request, response))
        return response

    return handle_request


def _async_handler(
    pool: Callable[[], Any],
) -> Callable[[httpcore.Request], Coroutine[Any, Any, httpcore.Response]]:
    async def handle_async_request(request: httpcore.Request) -> httpcore.Response:
        self = pool()
        response: httpcore.Response = await type(self).handle_async_request(self, request)
        if _is_readable(request, response):
            response.stream = _AsyncChunkReader(response.stream, *_connection(request, response))
        return response

    return handle_async_request


def _connection(
    request: httpcore.Request, response: httpcore.Response
) -> tuple[_Connection, float | None]:
    timeout = request.extensions.get("timeout", {}).get("read")
    return response.extensions["network_stream"], timeout
