"""One request and its answer, whole or streamed; each as a synchronous and an async shell.

The shells only move bytes and keep time: what is retried `Attempts` knows, what bytes mean
the sink knows.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from contextlib import aclosing, asynccontextmanager
from functools import lru_cache
from typing import TypeVar

import httpx

from langchain_voxtral.errors import (
    VoxtralError,
    VoxtralInvalidRequestError,
    VoxtralResponseError,
    VoxtralTimeoutError,
)
from langchain_voxtral.transport.clients import Clients
from langchain_voxtral.transport.faults import mapped_errors
from langchain_voxtral.transport.requests import Reply, Request, Sink
from langchain_voxtral.transport.retry import Attempts
from langchain_voxtral.transport.watchdog import Watch
from langchain_voxtral.transport.within import closed_after, reads, within_httpx
from langchain_voxtral.wire.failures import failure

T = TypeVar("T")

LONGEST_BODY = 64 * 2**20
"""Bytes of an answer that is read whole; a longer one is an error, not a full memory."""

WIND_DOWN = 0.5
"""Seconds that a stream may still take when only metadata is awaited."""


def post(clients: Clients, request: Request) -> Reply:
    """Send a request and return its whole answer.

    Args:
        clients: Where the connection comes from.
        request: What to send.

    Raises:
        VoxtralError: Of the class that fits the failure.
    """
    attempts = Attempts(request)
    while True:
        try:
            with closed_after(_open(clients, request, attempts)) as response:
                _check_coding(response)
                content = _read(response, request, attempts)
                _check_status(response, request, content)
                return Reply(content, response.headers, attempts.count)
        except VoxtralError as error:
            pause = attempts.pause_after(error)
        time.sleep(pause)


async def apost(clients: Clients, request: Request) -> Reply:
    """Do what `post` does, asynchronously."""
    attempts = Attempts(request)
    while True:
        try:
            async with (
                _deadline(attempts),
                aclosing(await _aopen(clients, request, attempts)) as response,
            ):
                _check_coding(response)
                content = await _aread(response, request, attempts)
                _check_status(response, request, content)
                return Reply(content, response.headers, attempts.count)
        except VoxtralError as error:
            pause = attempts.pause_after(error)
        await asyncio.sleep(pause)


def stream(clients: Clients, request: Request, sink: Sink[T]) -> Generator[T]:
    """Send a request and yield what the sink makes of its body, as the bytes arrive.

    Args:
        clients: Where the connection comes from.
        request: What to send.
        sink: Turns bytes into items; decides when the stream is whole.

    Raises:
        VoxtralError: Of the class that fits the failure. Once a token has arrived the request
            is not sent again, only what the sink would have it go on with.
    """
    attempts = Attempts(request)
    while True:
        try:
            with closed_after(_open(clients, request, attempts)) as response:
                sink.begin(response.headers, attempts.count)
                _check_coding(response)
                if not _is_stream(response):
                    content = _read(response, request, attempts)
                    _check_status(response, request, content)
                    raise sink.misfit(content)
                yield from _pump(response, request, attempts, sink)
                return
        except VoxtralError as error:
            request, pause = _again(request, attempts, sink, error)
        time.sleep(pause)


async def astream(clients: Clients, request: Request, sink: Sink[T]) -> AsyncGenerator[T]:
    """Do what `stream` does, asynchronously."""
    attempts = Attempts(request)
    while True:
        try:
            async with _deadline(attempts):
                response = await _aopen(clients, request, attempts)
            async with aclosing(response):
                sink.begin(response.headers, attempts.count)
                _check_coding(response)
                if not _is_stream(response):
                    async with _deadline(attempts):
                        content = await _aread(response, request, attempts)
                    _check_status(response, request, content)
                    raise sink.misfit(content)
                async with aclosing(_apump(response, request, attempts, sink)) as items:
                    async for item in items:
                        yield item
                return
        except VoxtralError as error:
            request, pause = _again(request, attempts, sink, error)
        await asyncio.sleep(pause)


def _again(
    request: Request, attempts: Attempts, sink: Sink[T], error: VoxtralError
) -> tuple[Request, float]:
    """Return what to send next and the seconds to wait before, or raise the error.

    An attempt that brought no token is sent again as it was, if its failure may pass; one that
    brought some is resumed behind them, if the sink can.
    """
    sink.annotate(error)
    if sink.started:
        return sink.resumption(error), attempts.pause_before_resuming(error)
    return request, attempts.pause_after(error)


def _open(clients: Clients, request: Request, attempts: Attempts) -> httpx.Response:
    client = clients.sync_client()
    _check_open(client)
    with mapped_errors(request, attempts), within_httpx:
        sent = _build(client, request, attempts.begin())
        response = client.send(sent, stream=True, follow_redirects=False)
    attempts.answered(response.headers)
    return response


async def _aopen(clients: Clients, request: Request, attempts: Attempts) -> httpx.Response:
    client = await clients.async_client()
    _check_open(client)
    with mapped_errors(request, attempts):
        attempts.begin()
        sent = _build(client, request, None)  # the deadline has a timeout of its own
        response = await client.send(sent, stream=True, follow_redirects=False)
    attempts.answered(response.headers)
    return response


def _check_open(client: httpx.Client | httpx.AsyncClient) -> None:
    if client.is_closed:
        raise VoxtralInvalidRequestError(
            "The client given as http_client= or http_async_client= is closed. Give an open one, "
            "and close it only after the last call."
        )


def _build(
    client: httpx.Client | httpx.AsyncClient, request: Request, left: float | None
) -> httpx.Request:
    limits = request.limits
    connect, read = (
        limit if left is None else left if limit is None else min(limit, left)
        for limit in (limits.connect, limits.read)
    )
    return client.build_request(
        "POST",
        _parsed(request.url),
        content=request.content,
        headers=request.headers,
        timeout=httpx.Timeout(connect=connect, read=read, write=read, pool=read),
    )


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


def _check_status(response: httpx.Response, request: Request, content: bytes) -> None:
    if not response.is_success:
        raise failure(
            response.status_code,
            response.headers,
            content,
            secrets=request.secrets,
            model=request.model,
        )


def _read(response: httpx.Response, request: Request, attempts: Attempts) -> bytes:
    parts, size = [], 0
    with Watch(response) as watch:
        watch.limit(attempts.remaining())
        try:
            with mapped_errors(request, attempts):
                for data in reads(response):
                    size = _bounded(size + len(data))
                    parts.append(data)
        except VoxtralError as error:
            if watch.fired:
                raise attempts.overdue() from error
            raise
    return b"".join(parts)


async def _aread(response: httpx.Response, request: Request, attempts: Attempts) -> bytes:
    parts, size = [], 0
    with mapped_errors(request, attempts):
        async for data in response.aiter_bytes():
            size = _bounded(size + len(data))
            parts.append(data)
    return b"".join(parts)


def _bounded(size: int) -> int:
    if size > LONGEST_BODY:
        raise VoxtralResponseError(
            f"The server's answer is longer than {LONGEST_BODY >> 20} MiB; reading was stopped. "
            "Ask for fewer tokens (max_tokens) or check base_url."
        )
    return size


def _pump(
    response: httpx.Response, request: Request, attempts: Attempts, sink: Sink[T]
) -> Generator[T]:
    silence = Silence(request)
    with Watch(response) as watch:
        watch.limit(attempts.remaining())
        try:
            with mapped_errors(request, attempts):
                for data in reads(response):
                    items = sink.feed(data)
                    yield from items
                    if sink.done:
                        break
                    if sink.winding_down:
                        watch.limit(WIND_DOWN)
                    silence.after(items)
        except VoxtralError as error:
            overdue = watch.fired and not sink.winding_down
            last = sink.end(attempts.overdue() if overdue else error)
        else:
            last = sink.end()
    # Only now: the connection may be in other hands while the caller looks at these.
    yield from last


async def _apump(
    response: httpx.Response, request: Request, attempts: Attempts, sink: Sink[T]
) -> AsyncGenerator[T]:
    silence, reads = Silence(request), response.aiter_bytes()
    clock = asyncio.get_running_loop().time
    left = attempts.remaining()
    due = None if left is None else clock() + left
    try:
        with mapped_errors(request, attempts):
            while True:
                # Most reads have no limit of their own, and one costs more than a read.
                data = await (anext(reads, None) if due is None else _read_by(due, reads))
                if data is None:
                    break
                items = sink.feed(data)
                for item in items:
                    yield item
                if sink.done:
                    break
                if sink.winding_down:
                    due = min(due or clock() + WIND_DOWN, clock() + WIND_DOWN)
                silence.after(items)
    except TimeoutError:
        # Once the text is complete it was only the metadata whose time ran out.
        last = sink.end(None if sink.winding_down else attempts.overdue())
    except VoxtralError as error:
        last = sink.end(error)
    else:
        last = sink.end()
    for item in last:
        yield item


async def _read_by(due: float, reads: AsyncIterator[bytes]) -> bytes | None:
    async with asyncio.timeout_at(due):
        return await anext(reads, None)


class Silence:
    """Notices a stream that is alive (comments keep coming) and yet says nothing.

    Args:
        request: Its read limit counts.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._since = time.monotonic()

    def after(self, items: object) -> None:
        """Take note of a read that gave these items.

        Raises:
            VoxtralTimeoutError: None came for longer than the limit.
        """
        limits, now = self._request.limits, time.monotonic()
        if items:
            self._since = now
        elif limits.read is not None and now - self._since > limits.read:
            raise VoxtralTimeoutError(
                f"The stream is open and brought no text for {limits.read:g} s, the limit set "
                f"by {limits.read_setting}=. Set it higher, or None for no limit."
            )


@asynccontextmanager
async def _deadline(attempts: Attempts) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(attempts.remaining()):
            yield
    except TimeoutError as error:
        raise attempts.overdue() from error
