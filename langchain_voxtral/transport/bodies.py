"""Bodies of answers: read whole, or pumped into a sink as their bytes arrive."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator
from typing import TypeVar

import httpx

from langchain_voxtral.errors import VoxtralError, VoxtralResponseError, VoxtralTimeoutError
from langchain_voxtral.transport.deadlines import Watch
from langchain_voxtral.transport.httpx_errors import mapped_errors
from langchain_voxtral.transport.retry import Attempts
from langchain_voxtral.transport.types import HTTPRequest, StreamDecoder
from langchain_voxtral.transport.within import reads

T = TypeVar("T")

LONGEST_BODY = 64 * 2**20
"""Bytes of an answer that is read whole; a longer one is an error, not a full memory."""

WIND_DOWN = 0.5
"""Seconds that a stream may still take when only metadata is awaited."""


def read(response: httpx.Response, request: HTTPRequest, attempts: Attempts) -> bytes:
    """Return a whole body, within the call's deadline."""
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


async def aread(response: httpx.Response, request: HTTPRequest, attempts: Attempts) -> bytes:
    """Do what `read` does, asynchronously; the caller keeps the deadline."""
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


def pump(
    response: httpx.Response, request: HTTPRequest, attempts: Attempts, sink: StreamDecoder[T]
) -> Generator[T]:
    """Yield what the sink makes of a body, and what it has to say of the body's end."""
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


async def apump(
    response: httpx.Response, request: HTTPRequest, attempts: Attempts, sink: StreamDecoder[T]
) -> AsyncGenerator[T]:
    """Do what `pump` does, asynchronously."""
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

    def __init__(self, request: HTTPRequest) -> None:
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
