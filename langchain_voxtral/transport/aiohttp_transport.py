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
_READ_BYTES = 2**16
_OWN_HEADERS = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""What aiohttp would add to a request."""
_ERRORS = (httpx.TransportError, aiohttp.ClientError, HttpProcessingError, OSError)


class AiohttpTransport(httpx_aiohttp.AiohttpTransport):
    """httpx-aiohttp's transport with the time limits of exchanges and the errors of httpx."""

    def get_client(self) -> aiohttp.ClientSession:
        """Return a session without habits of its own, for the running loop."""
        session = aiohttp.ClientSession(
            response_class=_Response,
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
        # aiohttp would also count the time in which nobody reads.
        watch = _Watch(current_limit(), request.extensions.pop("timeout", {}))
        token = _watch.set(watch)
        try:
            async with watch.head:
                response = await super().handle_async_request(_in_parts(request, watch))
        except _ERRORS as failure:
            error = watch.error("") if watch.head.expired() else _as_httpx(failure)
        else:
            if watch.response is None:  # vcrpy plays a cassette, and leaves raw headers out
                played = cast("Any", response.stream)._aiohttp_response  # noqa: SLF001
                response.headers = httpx.Headers(list(played.headers.items()))
            else:
                response.stream = _Body(response.stream, watch.response.content, watch)
            return response
        finally:
            watch.stop()
            _watch.reset(token)
            del watch.head  # it holds the task, and so a stream that is abandoned
        raise error  # without aiohttp's, which quote what the server sent


class _Watch:
    """Keeps the time limits of an exchange; one timer serves many steps.

    Attributes:
        limit: The exchange's own limit.
        head: Ends the wait for the head of the response.
        response: The response, once its head has come.
        has_parts: Whether the body of the request is written in parts.
        error: The error of the step that takes its time.
    """

    def __init__(self, limit: TimeLimit, seconds: Mapping[str, float | None]) -> None:
        self.limit = limit
        self.head = asyncio.timeout(None)
        self.response: aiohttp.ClientResponse | None = None
        self.has_parts = False
        self.error: type[httpx.TimeoutException] = httpx.ConnectTimeout
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._due: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, name: str, error: type[httpx.TimeoutException]) -> None:
        """Begin a step that may take as long as httpx's limit of this name says."""
        self.error = error
        try:
            left = self.limit.clip(self._seconds.get(name), TimeoutError)
        except TimeoutError:
            left = 0
        self._due = None if left is None else self._loop.time() + left
        if self._due is not None and (self._timer is None or self._due < self._timer.when()):
            self._set_timer(self._due)

    def end_writing(self) -> None:
        """Begin to wait for the response."""
        self.limit.progress_at, self.limit.is_silent = time.monotonic(), True
        self.limit.is_kept = True
        self.begin("read", httpx.ReadTimeout)

    def pause(self) -> None:
        """Limit nothing until the next step."""
        self._due = None

    def stop(self) -> None:
        """Limit nothing, and let go of the timer."""
        self._due = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(due, self._check)

    def _check(self) -> None:
        self._timer = None
        if self._due is None:
            return
        if self._due > self._loop.time():
            self._set_timer(self._due)
        elif self.response is None:
            self.head.reschedule(self._due)
        else:
            self.response.content.set_exception(self.error(""))


_watch: ContextVar[_Watch] = ContextVar("langchain_voxtral_watch")


def _in_parts(request: httpx.Request, watch: _Watch) -> httpx.Request:
    """Return a request whose body is written in parts, of which each has its limit."""
    if int(request.headers.get("content-length", 0)) <= WRITE_BYTES:
        return request
    watch.has_parts = True
    return httpx.Request(
        request.method,
        request.url,
        headers=request.headers,
        stream=_Parts(cast("httpx.AsyncByteStream", request.stream), watch),
        extensions=request.extensions,
    )


class _Parts(httpx.AsyncByteStream):
    """A body in parts."""

    def __init__(self, stream: httpx.AsyncByteStream, watch: _Watch) -> None:
        self._stream = stream
        self._watch = watch

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for data in self._stream:
            for start in range(0, len(data), WRITE_BYTES):
                self._watch.begin("write", httpx.WriteTimeout)
                yield data[start : start + WRITE_BYTES]
        self._watch.end_writing()


class _Body(httpx.AsyncByteStream):
    """The body of a response, of which each read has its limit."""

    def __init__(self, stream: Any, content: aiohttp.StreamReader, watch: _Watch) -> None:
        self._stream = stream
        self._content = content
        self._watch = watch

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self._watch.begin("read", httpx.ReadTimeout)
            try:
                data = await self._content.read(_READ_BYTES)
            except _ERRORS as failure:
                error = _as_httpx(failure)
                break
            finally:
                self._watch.pause()
            if not data:
                return
            yield data
        rest = self._content._read_nowait(-1)  # noqa: SLF001 - not after an error, says aiohttp
        if rest:
            yield rest
        raise error

    async def aclose(self) -> None:
        self._watch.stop()
        await self._stream.aclose()


class _Response(aiohttp.ClientResponse):
    """A response that its exchange knows."""

    async def start(self, connection: Connection) -> aiohttp.ClientResponse:
        await super().start(connection)
        _watch.get().response = self
        return self


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
        watch = _watch.get()
        watch.begin("connect", httpx.ConnectTimeout)
        connection = await super().connect(*args, **options)
        cast("_Protocol", connection.protocol).watch = watch
        if not watch.has_parts:
            watch.end_writing()
        return connection

    async def close(self, **_: Any) -> None:
        """Close connections at once; who waits for it is still closing when the loop ends."""
        self._close()

    def __del__(self, *_: Any) -> None:
        """Do not log an error about open connections: a loop that is closed has none."""


class _Protocol(ResponseHandler):
    """A connection, limited by the exchange that uses it."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.watch = _watch.get()  # that of the exchange that connects; the server may speak first

    def set_exception(self, exc: BaseException, *cause: BaseException) -> None:
        """Tell who reads the body too: of what cannot be parsed, aiohttp does not."""
        super().set_exception(exc, *cause)
        content = None if self.watch.response is None else self.watch.response.content
        if not (content is None or content.is_eof() or content.exception()):
            content.set_exception(exc, *cause)

    def data_received(self, data: bytes) -> None:
        if data:  # aiohttp asks with none for what is left to parse
            self.watch.limit.is_silent = False
            if self.watch.response is None:
                self.watch.begin("read", httpx.ReadTimeout)
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
