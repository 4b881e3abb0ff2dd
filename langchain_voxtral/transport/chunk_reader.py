"""Reads the chunked body of a response from its connection, past httpcore.

httpcore gets the head of the response and the end of its body, so that it knows when the
connection is free. What is between is decoded a read at a time: see `protocol.chunked_body`.
"""

from collections.abc import AsyncIterator, Iterator
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
        while True:
            content = body.decode(data)
            if content:
                yield content
            if not body.is_open or not (data := receive(_READ_BYTES, timeout)):
                break
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
        while True:
            content = body.decode(data)
            if content:
                yield content
            if not body.is_open or not (data := await receive(_READ_BYTES, timeout)):
                break
        async for content in self._rest:
            yield content

    async def aclose(self) -> None:
        await self._rest.aclose()


def open_body(request: httpcore.Request, response: httpcore.Response) -> Any:
    """Return the body of a response, which is read past httpcore if it comes in chunks."""
    stream: Any = response.extensions.get("network_stream")
    body = getattr(stream, "body", None)
    if (
        isinstance(body, ChunkedBody)
        and body.is_open
        and request.method == b"POST"
        and any(name.lower() == b"transfer-encoding" for name, _ in response.headers)
    ):
        reader = _ChunkReader if isinstance(stream, httpcore.NetworkStream) else _AsyncChunkReader
        return reader(response.stream, stream, request.extensions.get("timeout", {}).get("read"))
    return response.stream
