"""One request and its response, whole or streamed; each as a synchronous and an asynchronous twin.

The twins only move bytes and keep time: `RetryState` decides about retries, and a `StreamDecoder`
knows what bytes mean.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Generator, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager, nullcontext
from typing import Any, TypeVar

import httpx

from langchain_voxtral.errors import VoxtralError, VoxtralResponseError
from langchain_voxtral.protocol.error_responses import error_from_response
from langchain_voxtral.transport.cancellation import AsyncExchange
from langchain_voxtral.transport.client_pool import ClientPool
from langchain_voxtral.transport.deadlines import TimeLimit, closing_safely, httpx_guard
from langchain_voxtral.transport.httpx_mapping import (
    build_request,
    idle_error,
    map_httpx_errors,
)
from langchain_voxtral.transport.retry import RetryState
from langchain_voxtral.transport.types import (
    HTTPRequest,
    HTTPResponse,
    StreamDecoder,
    Timeouts,
)

T = TypeVar("T")

MAX_BODY_BYTES = 64 * 2**20
"""Longest response that is read whole; a longer one is an error, not a full memory."""

METADATA_GRACE_SECONDS = 0.5
"""Seconds that a stream may still take when only metadata is awaited."""


def post(clients: ClientPool, request: HTTPRequest) -> HTTPResponse:
    """Send a request and return its whole response.

    Raises:
        VoxtralError: Of the class that fits the failure.
    """
    state = RetryState(request)
    while True:
        try:
            with closing_safely(_open(clients, request, state)) as response:
                content = _read(response, request, state)
                _check_status(response, request, content)
                return HTTPResponse(content, response.headers, state.attempts)
        except VoxtralError as error:
            delay = state.delay_after(error)
        time.sleep(delay)


async def apost(clients: ClientPool, request: HTTPRequest) -> HTTPResponse:
    """Do what `post` does, asynchronously."""
    state = RetryState(request)
    while True:
        try:
            async with _deadline(state), await _exchange(clients, request, state) as exchange:
                response = await _aopen(exchange, request, state)
                content = await _aread(response, request, state)
                _check_status(response, request, content)
                return HTTPResponse(content, response.headers, state.attempts)
        except VoxtralError as error:
            delay = state.delay_after(error)
        await asyncio.sleep(delay)


def stream(
    clients: ClientPool, request: HTTPRequest, decoder: StreamDecoder[T]
) -> Generator[Sequence[T]]:
    """Send a request and yield the items of its body, those of each read together.

    Once a token has arrived, the request is not sent again, but resumed if the decoder can.

    Raises:
        VoxtralError: Of the class that fits the failure.
    """
    reads = _stream(clients, request, decoder)
    return reads if request.log is None else request.log.watch(reads, decoder)


def astream(
    clients: ClientPool, request: HTTPRequest, decoder: StreamDecoder[T]
) -> AsyncGenerator[Sequence[T]]:
    """Do what `stream` does, asynchronously."""
    reads = _astream(clients, request, decoder)
    return reads if request.log is None else request.log.awatch(reads, decoder)


def _stream(
    clients: ClientPool, request: HTTPRequest, decoder: StreamDecoder[T]
) -> Generator[Sequence[T]]:
    state = RetryState(request)
    while True:
        try:
            with closing_safely(_open(clients, request, state, is_stream=True)) as response:
                decoder.start_attempt(response.headers, state.attempts)
                if not _is_stream(response):
                    content = _read(response, request, state)
                    _check_status(response, request, content)
                    yield decoder.read_document(content)
                    return
                yield from iter_body(response, request, state, decoder)
                return
        except VoxtralError as error:
            request, delay = _next_attempt(request, state, decoder, error)
        time.sleep(delay)


async def _astream(
    clients: ClientPool, request: HTTPRequest, decoder: StreamDecoder[T]
) -> AsyncGenerator[Sequence[T]]:
    state = RetryState(request)
    while True:
        try:
            async with await _exchange(clients, request, state, is_stream=True) as exchange:
                async with _deadline(state):
                    response = await _aopen(exchange, request, state)
                decoder.start_attempt(response.headers, state.attempts)
                if not _is_stream(response):
                    async with _deadline(state):
                        content = await _aread(response, request, state)
                    _check_status(response, request, content)
                    yield decoder.read_document(content)
                    return
                async with aclosing(aiter_body(response, request, state, decoder)) as reads:
                    async for items in reads:
                        yield items
                return
        except VoxtralError as error:
            request, delay = _next_attempt(request, state, decoder, error)
        await asyncio.sleep(delay)


def iter_body(
    response: httpx.Response, request: HTTPRequest, state: RetryState, decoder: StreamDecoder[T]
) -> Generator[Sequence[T]]:
    """Yield the items of each read of a body, and the last items at its end."""
    error = None
    try:
        with map_httpx_errors(request, state), closing_safely(_iter_reads(response)) as reads:
            while True:
                with httpx_guard:
                    data = next(reads, None)
                    if data is None:
                        response.close()
                        break
                items = decoder.feed(data)
                if items:
                    yield items
                if _must_stop(decoder, state, request.timeouts, has_items=bool(items)):
                    break
    except VoxtralError as failure:
        error = failure
    # The connection may be used by another request while the caller handles these.
    for item in decoder.finish(error):
        yield [item]


async def aiter_body(
    response: httpx.Response, request: HTTPRequest, state: RetryState, decoder: StreamDecoder[T]
) -> AsyncGenerator[Sequence[T]]:
    """Do what `iter_body` does, asynchronously."""
    error: VoxtralError | None = None
    limit = state.limit
    reads = _aiter_reads(response)
    try:
        with map_httpx_errors(request, state):
            while True:
                data = await _next_read(reads, limit)
                if data is None:
                    await response.aclose()
                    break
                items = decoder.feed(data)
                if items:
                    yield items
                if _must_stop(decoder, state, request.timeouts, has_items=bool(items)):
                    break
    except VoxtralError as failure:
        error = failure
    for item in decoder.finish(error):
        yield [item]


def _must_stop(
    decoder: StreamDecoder[Any], state: RetryState, timeouts: Timeouts, *, has_items: bool
) -> bool:
    """Keep time after a read; return whether it was the last one."""
    limit = state.limit
    if has_items:
        limit.progress_at, limit.is_silent = time.monotonic(), True
    if decoder.must_stop:
        return True
    if decoder.is_finishing:
        limit.end_within(METADATA_GRACE_SECONDS)
    elif not has_items and limit.is_idle:
        raise idle_error(timeouts)
    if limit.due is not None:
        state.remaining()
    return False


def _iter_reads(response: httpx.Response) -> Iterator[bytes]:
    """Return the reads of a body; httpx's own iterator has layers that only an encoding needs."""
    stream = response.stream
    if _needs_httpx(response) or not isinstance(stream, httpx.SyncByteStream):
        return response.iter_bytes()
    return iter(stream)


def _aiter_reads(response: httpx.Response) -> AsyncIterator[bytes]:
    """Do what `_iter_reads` does, asynchronously."""
    stream = response.stream
    if _needs_httpx(response) or not isinstance(stream, httpx.AsyncByteStream):
        return response.aiter_bytes()
    return aiter(stream)


def _needs_httpx(response: httpx.Response) -> bool:
    # A hook of the caller's client may have read the body.
    return "content-encoding" in response.headers or response.is_stream_consumed


def _next_read(reads: AsyncIterator[bytes], limit: TimeLimit) -> Awaitable[bytes | None]:
    """Return what brings the next read in time; connections of ours keep the time themselves."""
    if limit.due is None or limit.is_kept:
        return anext(reads, None)
    return _read_before(limit.due, reads)


async def _read_before(due: float, reads: AsyncIterator[bytes]) -> bytes | None:
    try:
        async with asyncio.timeout(due - time.monotonic()):
            return await anext(reads, None)
    except TimeoutError as error:
        raise httpx.ReadTimeout("") from error


def _next_attempt(
    request: HTTPRequest, state: RetryState, decoder: StreamDecoder[T], error: VoxtralError
) -> tuple[HTTPRequest, float]:
    """Return what to send next and the seconds to wait before, or raise the error."""
    decoder.add_context(error)
    if decoder.started:
        return decoder.resume_request(error), state.delay_before_resuming(error)
    return request, state.delay_after(error)


def _open(
    clients: ClientPool, request: HTTPRequest, state: RetryState, *, is_stream: bool = False
) -> httpx.Response:
    client = clients.sync_client()
    with map_httpx_errors(request, state):
        http_request = build_request(client, request, state, is_stream=is_stream)
        with state.limit.applied(), httpx_guard:
            response = client.send(http_request, stream=True, follow_redirects=False)
    state.record_response(response.status_code, response.headers)
    return response


async def _exchange(
    clients: ClientPool, request: HTTPRequest, state: RetryState, *, is_stream: bool = False
) -> AsyncExchange:
    client = await clients.async_client()
    with map_httpx_errors(request, state):
        http_request = build_request(client, request, state, is_stream=is_stream)
    return AsyncExchange(client, http_request, state.limit)


async def _aopen(
    exchange: AsyncExchange, request: HTTPRequest, state: RetryState
) -> httpx.Response:
    with map_httpx_errors(request, state):
        response = await exchange.send()
    state.record_response(response.status_code, response.headers)
    return response


def _is_stream(response: httpx.Response) -> bool:
    """Tell a stream from an error document; the content type of a stream is undocumented."""
    _check_encoding(response)
    content_type = response.headers.get("content-type", "")
    return response.is_success and not content_type.startswith(("application/json", "text/html"))


def _check_encoding(response: httpx.Response) -> None:
    # One encoding makes at most a thousand bytes of one; with two, one read fills the memory.
    if "," in response.headers.get("content-encoding", ""):
        raise VoxtralResponseError(
            "The server's answer is compressed more than once, which is not read, because a few "
            "bytes could fill the memory. Check base_url and any proxy."
        )


def _read(response: httpx.Response, request: HTTPRequest, state: RetryState) -> bytes:
    """Return a whole body, within the call's deadline."""
    _check_encoding(response)
    body = bytearray()
    with map_httpx_errors(request, state), closing_safely(_iter_reads(response)) as reads:
        while True:
            with httpx_guard:
                data = next(reads, None)
            if data is None:
                return bytes(body)
            body += data
            _check_size(body)
            state.remaining()


async def _aread(response: httpx.Response, request: HTTPRequest, state: RetryState) -> bytes:
    """Do what `_read` does, asynchronously; the caller keeps the deadline."""
    _check_encoding(response)
    body = bytearray()
    with map_httpx_errors(request, state):
        async for data in _aiter_reads(response):
            body += data
            _check_size(body)
    return bytes(body)


def _check_size(body: bytearray) -> None:
    if len(body) > MAX_BODY_BYTES:
        raise VoxtralResponseError(
            f"The server's answer is longer than {MAX_BODY_BYTES >> 20} MiB; reading was stopped. "
            "Ask for fewer tokens (max_tokens) or check base_url."
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
            url=request.url,
        )


def _deadline(state: RetryState) -> AbstractAsyncContextManager[None]:
    seconds = state.remaining()
    return nullcontext() if seconds is None else _end_within(seconds, state)


@asynccontextmanager
async def _end_within(seconds: float, state: RetryState) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise state.deadline_error() from error
