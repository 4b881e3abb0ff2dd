"""One request and its answer, whole or streamed; each as a synchronous and an async shell.

The shells only move bytes and keep time: what is retried `RetryState` knows, what bytes mean
the sink knows.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import httpx

from langchain_voxtral.errors import (
    VoxtralError,
    VoxtralInvalidRequestError,
    VoxtralResponseError,
)
from langchain_voxtral.protocol.error_responses import error_from_response
from langchain_voxtral.transport.bodies import aiter_body, aread, iter_body, read
from langchain_voxtral.transport.client_pool import ClientPool
from langchain_voxtral.transport.httpx_errors import map_httpx_errors
from langchain_voxtral.transport.retry import RetryState
from langchain_voxtral.transport.types import HTTPRequest, HTTPResponse, StreamDecoder
from langchain_voxtral.transport.within import closing_safely, httpx_guard

T = TypeVar("T")

_SLICE = 1 << 18


def post(clients: ClientPool, request: HTTPRequest) -> HTTPResponse:
    """Send a request and return its whole answer.

    Args:
        clients: Where the connection comes from.
        request: What to send.

    Raises:
        VoxtralError: Of the class that fits the failure.
    """
    attempts = RetryState(request)
    while True:
        try:
            with closing_safely(_open(clients, request, attempts)) as response:
                _check_coding(response)
                content = read(response, request, attempts)
                _check_status(response, request, content)
                return HTTPResponse(content, response.headers, attempts.count)
        except VoxtralError as error:
            pause = attempts.delay_after(error)
        time.sleep(pause)


async def apost(clients: ClientPool, request: HTTPRequest) -> HTTPResponse:
    """Do what `post` does, asynchronously."""
    attempts = RetryState(request)
    while True:
        try:
            async with (
                _deadline(attempts),
                aclosing(await _aopen(clients, request, attempts)) as response,
            ):
                _check_coding(response)
                content = await aread(response, request, attempts)
                _check_status(response, request, content)
                return HTTPResponse(content, response.headers, attempts.count)
        except VoxtralError as error:
            pause = attempts.delay_after(error)
        await asyncio.sleep(pause)


def stream(clients: ClientPool, request: HTTPRequest, sink: StreamDecoder[T]) -> Generator[T]:
    """Send a request and yield what the sink makes of its body, as the bytes arrive.

    Args:
        clients: Where the connection comes from.
        request: What to send.
        sink: Turns bytes into items; decides when the stream is whole.

    Raises:
        VoxtralError: Of the class that fits the failure. Once a token has arrived the request
            is not sent again, only what the sink would have it go on with.
    """
    attempts = RetryState(request)
    while True:
        try:
            with closing_safely(_open(clients, request, attempts)) as response:
                sink.start_attempt(response.headers, attempts.count)
                _check_coding(response)
                if not _is_stream(response):
                    content = read(response, request, attempts)
                    _check_status(response, request, content)
                    raise sink.not_a_stream_error(content)
                yield from iter_body(response, request, attempts, sink)
                return
        except VoxtralError as error:
            request, pause = _again(request, attempts, sink, error)
        time.sleep(pause)


async def astream(
    clients: ClientPool, request: HTTPRequest, sink: StreamDecoder[T]
) -> AsyncGenerator[T]:
    """Do what `stream` does, asynchronously."""
    attempts = RetryState(request)
    while True:
        try:
            async with _deadline(attempts):
                response = await _aopen(clients, request, attempts)
            async with aclosing(response):
                sink.start_attempt(response.headers, attempts.count)
                _check_coding(response)
                if not _is_stream(response):
                    async with _deadline(attempts):
                        content = await aread(response, request, attempts)
                    _check_status(response, request, content)
                    raise sink.not_a_stream_error(content)
                async with aclosing(aiter_body(response, request, attempts, sink)) as items:
                    async for item in items:
                        yield item
                return
        except VoxtralError as error:
            request, pause = _again(request, attempts, sink, error)
        await asyncio.sleep(pause)


def _again(
    request: HTTPRequest, attempts: RetryState, sink: StreamDecoder[T], error: VoxtralError
) -> tuple[HTTPRequest, float]:
    """Return what to send next and the seconds to wait before, or raise the error.

    An attempt that brought no token is sent again as it was, if its failure may pass; one that
    brought some is resumed behind them, if the sink can.
    """
    sink.add_context(error)
    if sink.started:
        return sink.resume_request(error), attempts.delay_before_resuming(error)
    return request, attempts.delay_after(error)


def _open(clients: ClientPool, request: HTTPRequest, attempts: RetryState) -> httpx.Response:
    client = clients.sync_client()
    _check_open(client)
    with map_httpx_errors(request, attempts), httpx_guard:
        sent = _build(client, request, attempts.start_attempt())
        response = client.send(sent, stream=True, follow_redirects=False)
    attempts.record_response(response.headers)
    return response


async def _aopen(clients: ClientPool, request: HTTPRequest, attempts: RetryState) -> httpx.Response:
    client = await clients.async_client()
    _check_open(client)
    with map_httpx_errors(request, attempts):
        attempts.start_attempt()
        sent = _build(client, request, None)  # the deadline has a timeout of its own
        response = await client.send(sent, stream=True, follow_redirects=False)
    attempts.record_response(response.headers)
    return response


def _check_open(client: httpx.Client | httpx.AsyncClient) -> None:
    if client.is_closed:
        raise VoxtralInvalidRequestError(
            "The client given as http_client= or http_async_client= is closed. Give an open one, "
            "and close it only after the last call."
        )


def _build(
    client: httpx.Client | httpx.AsyncClient, request: HTTPRequest, left: float | None
) -> httpx.Request:
    limits = request.timeouts
    connect, read = (
        limit if left is None else left if limit is None else min(limit, left)
        for limit in (limits.connect, limits.read)
    )
    content: bytes | _Slices | _AsyncSlices
    headers = request.headers
    if isinstance(request.content, bytes):
        content = request.content
    else:
        content = _Slices(request.content)
        content = _AsyncSlices(content) if isinstance(client, httpx.AsyncClient) else content
        headers = {**headers, "content-length": str(sum(map(len, request.content)))}
    return client.build_request(
        "POST",
        _parsed(request.url),
        content=content,
        headers=headers,
        timeout=httpx.Timeout(connect=connect, read=read, write=read, pool=read),
    )


@dataclass(frozen=True, slots=True)
class _Slices:
    """A body in small slices: of a large one, httpcore copies the rest at each write.

    No generator, since a caller's own client may send it again: to log in, or on a new connection.
    """

    parts: tuple[bytes, ...]

    def __iter__(self) -> Iterator[bytes]:
        for part in self.parts:
            for start in range(0, len(part), _SLICE):
                yield part[start : start + _SLICE]


@dataclass(frozen=True, slots=True)
class _AsyncSlices:
    slices: _Slices

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for one in self.slices:
            yield one


@lru_cache(maxsize=64)
def _parsed(url: str) -> httpx.URL:
    # Parsing takes half the time of building a request.
    return httpx.URL(url)


def _is_stream(response: httpx.Response) -> bool:
    """Tell a stream from an error document; the content type of a stream is undocumented."""
    kind = response.headers.get("content-type", "")
    return response.is_success and not kind.startswith(("application/json", "text/html"))


def _check_coding(response: httpx.Response) -> None:
    # One coding makes at most a thousand bytes of one; with two, a single read fills the memory.
    coding = response.headers.get("content-encoding", "")
    if "," in coding:
        raise VoxtralResponseError(
            "The server's answer is compressed more than once, which is not read, because a few "
            "bytes could fill the memory. Check base_url and any proxy."
        )


def _check_status(response: httpx.Response, request: HTTPRequest, content: bytes) -> None:
    if not response.is_success:
        raise error_from_response(
            response.status_code,
            response.headers,
            content,
            secrets=request.secrets,
            model=request.model,
            has_audio=request.has_audio,
        )


@asynccontextmanager
async def _deadline(attempts: RetryState) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(attempts.remaining()):
            yield
    except TimeoutError as error:
        raise attempts.deadline_error() from error
