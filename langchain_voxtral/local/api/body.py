"""Reading a request's body, within limits."""

import zlib
from typing import TYPE_CHECKING

from langchain_voxtral.errors import VoxtralMissingExtraError
from langchain_voxtral.local.errors import ErrorResponse

try:
    from starlette.requests import Request
except ImportError as error:
    raise VoxtralMissingExtraError("starlette") from error

if TYPE_CHECKING:
    from starlette.types import Message, Receive

__all__ = ["MAX_BODY_BYTES", "gunzip", "media_type", "read_body", "too_large", "within"]

MAX_BODY_BYTES = 8 * 2**20

_DRAINED = 8
"""Times the limit that is still read, and thrown away, so that the client gets to read
the refusal: closing a socket with unread data in it resets the connection."""

_GZIP = 16 + zlib.MAX_WBITS


def media_type(request: Request) -> str:
    """Return what a request says its body is, in lower case; "" if it says nothing."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def within(request: Request, limit: int) -> Request:
    """Return the request as one whose body is refused once it is larger.

    Args:
        request: The request, not yet read.
        limit: Bytes that may be read of it. Reading more raises a `ErrorResponse`, 413.
    """
    return Request(request.scope, _limited(request.receive, limit))


def _limited(receive: "Receive", limit: int) -> "Receive":
    received = 0

    async def receive_limited() -> "Message":
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        while received > limit:
            if not message.get("more_body", False) or received > limit * _DRAINED:
                raise too_large(limit)
            message = await receive()
            received += len(message.get("body", b""))
        return message

    return receive_limited


async def read_body(request: Request, limit: int) -> bytes:
    """Read a JSON body, gzipped or not.

    Args:
        request: The request.
        limit: Bytes it may have, as sent and when unpacked.

    Raises:
        ErrorResponse: 413, it is larger; 415, it is no JSON, or packed otherwise.
    """
    if (kind := media_type(request)) != "application/json":
        raise ErrorResponse.with_message(
            415, f"This takes application/json, not {kind or 'an untyped body'}"
        )
    body = await within(request, limit).body()
    match request.headers.get("content-encoding", "identity").strip().lower():
        case "identity":
            return body
        case "gzip":
            return gunzip(body, limit)
        case other:
            raise ErrorResponse.with_message(
                415, f"Content-Encoding {other!r} is not supported, only gzip"
            )


def gunzip(packed: bytes, limit: int) -> bytes:
    """Unpack a gzip body of at most `limit` bytes.

    Raises:
        ErrorResponse: 413, there is more in it; 400, it is not gzip, or cut.
    """
    unpacker = zlib.decompressobj(_GZIP)
    try:
        body = unpacker.decompress(packed, limit + 1)
    except zlib.error as error:
        raise ErrorResponse.with_message(400, f"The body is not gzip: {error}") from error
    if len(body) > limit:
        raise too_large(limit)
    if not unpacker.eof:
        raise ErrorResponse.with_message(400, "The gzip body is cut short")
    return body


def too_large(limit: int) -> ErrorResponse:
    """Return the refusal of a body that has more bytes than it may."""
    return ErrorResponse.with_message(413, f"The request is larger than {limit} bytes")
