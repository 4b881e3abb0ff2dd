"""aiohttp below `httpx.AsyncClient`, by httpx-aiohttp, which behaves as httpx's own transport does.

Imported only where the extra `fast` is used. Requests through a proxy keep httpx's transport.
"""

import asyncio
import socket
import ssl
import time
import weakref
from collections.abc import AsyncIterator, Mapping
from contextvars import ContextVar
from functools import partial
from typing import Any, cast

import aiohttp
import httpx
import httpx_aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from aiohttp.http_exceptions import HttpProcessingError

from langchain_voxtral.transport.asyncio_backend import WRITE_BYTES, is_readable
from langchain_voxtral.transport.deadlines import TimeLimit, current_limit
from langchain_voxtral.transport.resolver import aresolve

_MAX_HEADER_BYTES = 100 * 2**10
"""Longest header, as with httpcore."""
_OWN_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""What aiohttp would add to a request."""
_ERRORS = (httpx.TransportError, aiohttp.ClientError, HttpProcessingError, OSError)


class AiohttpClient(httpx.AsyncClient):
    """A client whose requests go through aiohttp, except those for a proxy."""

    def _init_transport(self, *_: Any, **options: Any) -> httpx.AsyncBaseTransport:
        return AiohttpTransport(**options)


class AiohttpTransport(httpx_aiohttp.AiohttpTransport):
    """httpx-aiohttp's transport with the time limits of exchanges and the errors of httpx."""

    def get_client(self) -> aiohttp.ClientSession:
        """Return a session without habits of its own, for the running loop."""
        session = aiohttp.ClientSession(
            connector=_Connector(self.ssl_context, self.limits.keepalive_expiry),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_OWN_HEADERS,
            max_line_size=_MAX_HEADER_BYTES,
            max_field_size=_MAX_HEADER_BYTES,
        )
        # aiohttp logs an error about a session that is forgotten, as in a forked child.
        weakref.finalize(self, session.detach)
        return session

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return the response, whose body is not read yet."""
        limit = current_limit()
        # aiohttp would also count the time in which nobody reads.
        seconds = request.extensions.pop("timeout", {})
        steps = _Steps(limit, seconds)
        token = _steps.set(steps)
        try:
            async with steps.timer:
                response = await super().handle_async_request(_in_parts(request, steps))
        except _ERRORS as failure:
            error = steps.error("") if steps.timer.expired() else _as_httpx(failure)
        else:
            response.stream = _Body(response.stream, limit, seconds.get("read"))
            return response
        finally:
            steps.is_over = True
            _steps.reset(token)
        raise error  # without aiohttp's, which quote what the server sent


class _Steps:
    """Limits each step of an exchange, until the head of the response has come."""

    def __init__(self, limit: TimeLimit, seconds: Mapping[str, float | None]) -> None:
        self.limit = limit
        self.timer = asyncio.timeout(None)
        self.error: type[httpx.TimeoutException] = httpx.ConnectTimeout
        self.has_parts = False  # whether the body is written in parts
        self.is_over = False
        self._seconds = seconds
        self._clock = asyncio.get_running_loop().time

    def begin(self, name: str, error: type[httpx.TimeoutException]) -> None:
        """Begin a step that may take as long as httpx's limit of this name says."""
        if self.is_over or self.timer.expired():
            return
        self.error = error
        try:
            left = self.limit.clip(self._seconds.get(name), TimeoutError)
        except TimeoutError:
            left = 0
        self.timer.reschedule(None if left is None else self._clock() + left)

    def end_writing(self) -> None:
        """Begin to wait for the response."""
        self.limit.progress_at, self.limit.is_silent = time.monotonic(), True
        self.begin("read", httpx.ReadTimeout)


_steps: ContextVar[_Steps] = ContextVar("langchain_voxtral_steps")


def _in_parts(request: httpx.Request, steps: _Steps) -> httpx.Request:
    """Return a request whose body is written in parts, of which each has its limit."""
    if int(request.headers.get("content-length", 0)) <= WRITE_BYTES:
        return request
    steps.has_parts = True
    return httpx.Request(
        request.method,
        request.url,
        headers=request.headers,
        stream=_Parts(cast("httpx.AsyncByteStream", request.stream), steps),
        extensions=request.extensions,
    )


class _Parts(httpx.AsyncByteStream):
    """A body in parts."""

    def __init__(self, stream: httpx.AsyncByteStream, steps: _Steps) -> None:
        self._stream = stream
        self._steps = steps

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._stream:
            for start in range(0, len(data), WRITE_BYTES):
                self._steps.begin("write", httpx.WriteTimeout)
                yield data[start : start + WRITE_BYTES]
        self._steps.end_writing()


class _Body(httpx.AsyncByteStream):
    """The body of a response, of which each read has its limit."""

    def __init__(self, stream: Any, limit: TimeLimit, seconds: float | None) -> None:
        self._stream = stream
        self._limit = limit
        self._seconds = seconds

    async def __aiter__(self) -> AsyncIterator[bytes]:
        reads = aiter(self._stream)
        error: BaseException
        while True:
            try:
                async with asyncio.timeout(self._limit.clip(self._seconds, TimeoutError)):
                    data = await anext(reads, None)
            except TimeoutError:
                error = httpx.ReadTimeout("")
                break
            except _ERRORS as failure:
                error = _as_httpx(failure)
                break
            if data is None:
                return
            yield data
        raise error

    async def aclose(self) -> None:
        await self._stream.aclose()


class _Connector(aiohttp.TCPConnector):
    """Makes any number of connections, in the time of the exchange that asks."""

    def __init__(self, ssl_context: ssl.SSLContext, keepalive_seconds: float | None) -> None:
        super().__init__(
            ssl=ssl_context,
            limit=0,
            keepalive_timeout=keepalive_seconds,
            resolver=_Resolver(),
            use_dns_cache=False,
        )
        self._factory = cast("partial[ResponseHandler]", partial(_Protocol, loop=self._loop))

    async def connect(self, *args: Any, **options: Any) -> Connection:
        """Return a connection; the request is written to it next."""
        steps = _steps.get()
        steps.begin("connect", httpx.ConnectTimeout)
        connection = await super().connect(*args, **options)
        cast("_Protocol", connection.protocol).steps = steps
        if not steps.has_parts:
            steps.end_writing()
        return connection

    def __del__(self, *_: Any) -> None:
        """Do not log an error about open connections: a loop that is closed has none."""


class _Protocol(ResponseHandler):
    """A connection, limited by the exchange that uses it."""

    steps: _Steps

    def data_received(self, data: bytes) -> None:
        if data:  # aiohttp asks with none for what is left to parse
            self.steps.limit.is_silent = False
            self.steps.begin("read", httpx.ReadTimeout)
        super().data_received(data)

    def is_connected(self) -> bool:
        """Return whether an idle connection can be used: its end may not have been read yet."""
        return super().is_connected() and not is_readable(cast("asyncio.Transport", self.transport))

    def close(self) -> None:
        """Close at once, though the server does not take what was sent."""
        self.abort()


class _Resolver(AbstractResolver):
    """Looks names up in threads that nobody has to wait for."""

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - aiohttp's
    ) -> list[ResolveResult]:
        try:
            addresses = await aresolve(host, port)
        except UnicodeError as error:
            raise OSError(str(error)) from error
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    async def close(self) -> None:
        """There is nothing to close."""


def _as_httpx(failure: BaseException) -> httpx.TransportError:
    """Return httpx's error for one of aiohttp."""
    # httpx-aiohttp calls some broken connections slow ones, so its own are not kept.
    error = failure.__cause__ if isinstance(failure, httpx.TransportError) else failure
    match error:
        case None:
            return cast("httpx.TransportError", failure)
        case aiohttp.ClientConnectorError():
            return httpx.ConnectError(str(error.__cause__ or error))
        case aiohttp.InvalidURL():
            return httpx.UnsupportedProtocol(str(error))
        case OSError():
            return httpx.ReadError(str(error))
        case _:
            return httpx.RemoteProtocolError(str(error))
