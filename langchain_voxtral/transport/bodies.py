"""Bodies of answers: read whole, or pumped into a sink as their bytes arrive."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from typing import TypeVar

import httpx

from langchain_voxtral.errors import VoxtralError, VoxtralResponseError, VoxtralTimeoutError
from langchain_voxtral.transport.deadlines import ReadDeadline
from langchain_voxtral.transport.httpx_errors import map_httpx_errors
from langchain_voxtral.transport.retry import RetryState
from langchain_voxtral.transport.types import HTTPRequest, StreamDecoder
from langchain_voxtral.transport.within import iter_bytes_safely

T = TypeVar("T")

MAX_BODY_BYTES = 64 * 2**20
"""Bytes of an answer that is read whole; a longer one is an error, not a full memory."""

METADATA_GRACE_SECONDS = 0.5
"""Seconds that a stream may still take when only metadata is awaited."""


def read(response: httpx.Response, request: HTTPRequest, attempts: RetryState) -> bytes:
    """Return a whole body, within the call's deadline."""
    parts, size = [], 0
    with ReadDeadline(response) as watch:
        watch.limit(attempts.remaining())
        try:
            with map_httpx_errors(request, attempts):
                for data in iter_bytes_safely(response):
                    size = _bounded(size + len(data))
                    parts.append(data)
        except VoxtralError as error:
            if watch.expired:
                raise attempts.deadline_error() from error
            raise
    return b"".join(parts)


async def aread(response: httpx.Response, request: HTTPRequest, attempts: RetryState) -> bytes:
    """Do what `read` does, asynchronously; the caller keeps the deadline."""
    parts, size = [], 0
    with map_httpx_errors(request, attempts):
        async for data in response.aiter_bytes():
            size = _bounded(size + len(data))
            parts.append(data)
    return b"".join(parts)


def _bounded(size: int) -> int:
    if size > MAX_BODY_BYTES:
        raise VoxtralResponseError(
            f"The server's answer is longer than {MAX_BODY_BYTES >> 20} MiB; reading was stopped. "
            "Ask for fewer tokens (max_tokens) or check base_url."
        )
    return size


def iter_body(
    response: httpx.Response, request: HTTPRequest, attempts: RetryState, sink: StreamDecoder[T]
) -> Generator[T]:
    """Yield what the sink makes of a body, and what it has to say of the body's end."""
    silence = IdleTimer(request)
    with ReadDeadline(response) as watch:
        watch.limit(attempts.remaining())
        try:
            with map_httpx_errors(request, attempts):
                for data in iter_bytes_safely(response):
                    items = sink.feed(data)
                    yield from items
                    if sink.done:
                        break
                    if sink.is_finishing:
                        watch.limit(METADATA_GRACE_SECONDS)
                    silence.after(items)
        except VoxtralError as error:
            overdue = watch.expired and not sink.is_finishing
            last = sink.finish(attempts.deadline_error() if overdue else error)
        else:
            last = sink.finish()
    # Only now: the connection may be in other hands while the caller looks at these.
    yield from last


async def aiter_body(
    response: httpx.Response, request: HTTPRequest, attempts: RetryState, sink: StreamDecoder[T]
) -> AsyncGenerator[T]:
    """Do what `iter_body` does, asynchronously."""
    silence, iter_bytes_safely = IdleTimer(request), response.aiter_bytes()
    clock = asyncio.get_running_loop().time
    left = attempts.remaining()
    due = None if left is None else clock() + left
    try:
        with map_httpx_errors(request, attempts):
            while True:
                # Most reads have no limit of their own, and one costs more than a read.
                data = await (
                    anext(iter_bytes_safely, None)
                    if due is None
                    else _read_by(due, iter_bytes_safely)
                )
                if data is None:
                    break
                items = sink.feed(data)
                for item in items:
                    yield item
                if sink.done:
                    break
                if sink.is_finishing:
                    due = min(
                        due or clock() + METADATA_GRACE_SECONDS, clock() + METADATA_GRACE_SECONDS
                    )
                silence.after(items)
    except TimeoutError:
        # Once the text is complete it was only the metadata whose time ran out.
        last = sink.finish(None if sink.is_finishing else attempts.deadline_error())
    except VoxtralError as error:
        last = sink.finish(error)
    else:
        last = sink.finish()
    for item in last:
        yield item


async def _read_by(due: float, iter_bytes_safely: AsyncIterator[bytes]) -> bytes | None:
    async with asyncio.timeout_at(due):
        return await anext(iter_bytes_safely, None)


class IdleTimer:
    """Notices a stream that is alive (comments keep coming) and yet says nothing.

    Args:
        request: Its read limit counts.
    """

    def __init__(self, request: HTTPRequest) -> None:
        self._request = request
        self._since = time.monotonic()

    def after(self, items: object) -> None:
        """Take note of a read that gave these items.

        Raises:
            VoxtralTimeoutError: None came for longer than the limit.
        """
        limits, now = self._request.timeouts, time.monotonic()
        if items:
            self._since = now
        elif limits.read is not None and now - self._since > limits.read:
            raise VoxtralTimeoutError(
                f"The stream is open and brought no text for {limits.read:g} s, the limit set "
                f"by {limits.read_setting_name}=. Set it higher, or None for no limit."
            )
