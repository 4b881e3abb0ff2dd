"""This package's requests as httpx's, and what httpx raises as this package's errors."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from typing import Any

import httpx

from langchain_voxtral.errors import (
    VoxtralConnectionError,
    VoxtralError,
    VoxtralInvalidRequestError,
    VoxtralResponseError,
    VoxtralTimeoutError,
)
from langchain_voxtral.protocol.form_data import FormData
from langchain_voxtral.redaction import redact
from langchain_voxtral.transport.retry import RetryState
from langchain_voxtral.transport.types import HTTPRequest, Timeouts

_PIECE_BYTES = 1 << 16
"""Bytes of a file that httpx sends at a time."""


def build_request(
    client: httpx.Client | httpx.AsyncClient,
    request: HTTPRequest,
    state: RetryState,
    *,
    is_stream: bool,
) -> httpx.Request:
    """Return what httpx is to send for the next attempt.

    Raises:
        VoxtralInvalidRequestError: The client is closed.
        VoxtralTimeoutError: The deadline has passed.
    """
    if client.is_closed:
        raise VoxtralInvalidRequestError(
            "The client given as http_client= or http_async_client= is closed. Give an open one, "
            "and close it only after the last call."
        )
    left = state.start_attempt(max_idle=request.timeouts.read if is_stream else None)
    connect, read = (
        limit if left is None else left if limit is None else min(limit, left)
        for limit in (request.timeouts.connect, request.timeouts.read)
    )
    timeout = {"connect": connect, "read": read, "write": read, "pool": read}
    body, url = request.content, _parse_url(request.url)
    if isinstance(body, bytes):
        assembled = _assemble_request(client, url, body, request.headers, timeout)
        if assembled is not None:
            return assembled
    http_request = client.build_request(
        "POST",
        url,
        **(_form_arguments(body) if isinstance(body, FormData) else {"content": body}),
        headers=_headers(request),
        timeout=httpx.Timeout(**timeout),
    )
    if isinstance(body, FormData):
        http_request.stream = _JoinedForm(http_request.stream)
    return http_request


_AUTOMATIC = frozenset({"host", "content-length", "transfer-encoding"})
"""Headers that httpx adds in other ways if they are given."""


def _assemble_request(
    client: httpx.Client | httpx.AsyncClient,
    url: httpx.URL,
    body: bytes,
    headers: Mapping[str, str],
    timeout: Mapping[str, float | None],
) -> httpx.Request | None:
    """Return what `client.build_request` does for a third of its price, or None for a rare case.

    That method merges headers, cookies and parameters, each through a class that decodes them.
    """
    if type(client) not in _PLAIN_CLIENTS or client.params or client.cookies:
        return None
    names = {name.lower() for name in headers}
    defaults = [(name.lower().decode("latin-1"), name, value) for name, value in client.headers.raw]
    host = url.netloc
    if not (host and _AUTOMATIC.isdisjoint(names.union(name for name, _, _ in defaults))):
        return None
    assembled = httpx.Request(
        "POST",
        url,
        headers=[
            (b"Host", host),
            *[(raw, value) for name, raw, value in defaults if name not in names],
            *[(name.encode(), value.encode()) for name, value in headers.items()],
            (b"Content-Length", b"%d" % len(body)),
        ],
        stream=httpx.ByteStream(body),
        extensions={"timeout": timeout},
    )
    assembled.read()  # for whoever asks the request for its content
    return assembled


_PLAIN_CLIENTS = (httpx.Client, httpx.AsyncClient)
"""Those whose `build_request` is httpx's own."""


def _headers(request: HTTPRequest) -> Mapping[str, str]:
    if isinstance(request.content, FormData):
        return {**request.headers, "content-type": request.content.content_type}
    return request.headers


def _form_arguments(form: FormData) -> dict[str, Any]:
    fields: dict[str, list[str]] = {}
    for name, value in form.fields:
        fields.setdefault(name, []).append(value)
    # A file is sent in small pieces. Of a large piece, httpcore copies the rest at each write.
    file = (form.filename, BytesIO(form.file), form.mime_type)
    return {"data": fields, "files": {form.file_field: file}}


class _JoinedForm(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A form's body in few pieces: httpx has four for each field, and each is written alone."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        small: list[bytes] = []
        for piece in self._stream:
            small.append(piece)
            if len(piece) >= _PIECE_BYTES:
                yield b"".join(small)
                small.clear()
        yield b"".join(small)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


@lru_cache(maxsize=64)
def _parse_url(url: str) -> httpx.URL:
    # Parsing takes half the time of building a request.
    return httpx.URL(url)


@contextmanager
def map_httpx_errors(request: HTTPRequest, state: RetryState) -> Iterator[None]:
    """Raise every failure of httpx within as the matching `VoxtralError`."""
    try:
        yield
    except httpx.TimeoutException as error:
        # A deadline that was nearer than the other limits stood in for them.
        raise _timeout(error, request, state) from error
    except (httpx.RequestError, httpx.StreamError) as error:
        failure = _broken(error, request)
        if redact(str(error), request.secrets) == str(error):
            raise failure from error
        # A traceback prints causes, and this one quotes what the server sent; `from None` would
        # keep it as context.
        try:
            raise failure
        finally:
            failure.__context__ = None
    except httpx.InvalidURL as error:
        raise VoxtralInvalidRequestError(f"{request.url!r} is no URL: {error}.") from error


def idle_error(timeouts: Timeouts) -> VoxtralTimeoutError:
    """Return the error of a stream that is open and brings nothing."""
    return VoxtralTimeoutError(
        f"The stream is open and brought no text for {timeouts.read:g} s "
        f"({timeouts.read_setting_name}= sets the limit; None is none)."
    )


def _timeout(
    error: httpx.TimeoutException, request: HTTPRequest, state: RetryState
) -> VoxtralError:
    limits, host = request.timeouts, httpx.URL(request.url).host
    if state.is_overdue:
        return state.deadline_error()
    if (limits.connect if isinstance(error, httpx.ConnectTimeout) else limits.read) is None:
        # The time is over that a stream has for metadata, or just now the call's.
        return VoxtralTimeoutError(f"The time that {host} had for its answer is over.")
    if isinstance(error, httpx.PoolTimeout):
        return VoxtralTimeoutError(
            f"No connection of the pool became free within {limits.read:g} s. Send fewer requests "
            "at once, or give your own client more connections (httpx.Limits)."
        )
    if isinstance(error, httpx.ConnectTimeout):
        return VoxtralTimeoutError(
            f"No connection to {host} within {limits.connect:g} s (timeout=(connect, read) sets "
            "the limit): check the address and the network."
        )
    if isinstance(error, httpx.WriteTimeout):
        return VoxtralTimeoutError(
            f"{host} took nothing more of the request for {limits.read:g} s "
            f"({limits.read_setting_name}= sets the limit)."
        )
    is_open = state.limit.max_idle is not None and not state.limit.is_silent
    return (
        idle_error(limits)
        if is_open
        else VoxtralTimeoutError(
            f"{host} sent nothing for {limits.read:g} s ({limits.read_setting_name}= sets the "
            "limit: long answers and busy servers need more; None is none)."
        )
    )


_HINTS: dict[type[Exception], tuple[type[VoxtralError], str]] = {
    httpx.ConnectError: (
        VoxtralConnectionError,
        "cannot be reached ({reason}). Check base_url, the network and any proxy.",
    ),
    httpx.ProxyError: (VoxtralConnectionError, "cannot be reached: the proxy says {reason}."),
    httpx.UnsupportedProtocol: (
        VoxtralInvalidRequestError,
        "cannot be asked: {reason} base_url must begin with http:// or https://.",
    ),
    httpx.DecodingError: (
        VoxtralResponseError,
        "sent a body that does not match its Content-Encoding ({reason}).",
    ),
}
_BROKEN = (VoxtralConnectionError, "broke the connection before its answer was whole ({reason}).")


def _broken(error: Exception, request: HTTPRequest) -> VoxtralError:
    kind, hint = next((_HINTS[base] for base in type(error).__mro__ if base in _HINTS), _BROKEN)
    reason = redact(str(error), request.secrets) or type(error).__name__
    return kind(f"{httpx.URL(request.url).host} {hint.format(reason=reason)}")
