"""Server-sent events: the bytes of a `text/event-stream` body into JSON documents."""

import re
from collections.abc import Sequence
from typing import Any, TypeAlias

from pydantic_core import from_json

from langchain_voxtral.errors import VoxtralResponseError
from langchain_voxtral.protocol.lines import LineSplitter
from langchain_voxtral.protocol.words import sanitize

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object, as decoded."""

MAX_EVENT_BYTES = 16 * 2**20
"""Longest event that is read, in bytes, so that a broken server cannot fill the memory."""

_DONE = b"[DONE]"
_ORDINARY = (b"data: {", b"data:{")
_FIELDS = (b"data", b"event", b"id", b"retry")
_UNKNOWN_FIELD = re.compile(rb"[a-z][a-z0-9_-]*:", re.IGNORECASE)
# A JSON string, or one that the end of the line cuts off: a line feed cannot stand within.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?')
_LINE_QUOTE_LIMIT = 200


class SSEDecoder:
    r"""Turns the bytes of an event stream, in whatever pieces they come, into JSON documents.

    The rules are those of the WHATWG's "Server-sent events" for lines, comments and fields,
    with two differences that DeepInfra's API page asks for: it prints no blank lines between
    events and all its data is JSON, so a `data:` line that is a complete JSON object is an event
    at once; and `[DONE]`, known from OpenAI's API, ends the stream. A data line that is the
    beginning of an object is joined with the next ones by a line feed.

    A document sent with `event: error` always has the key `error`; one that has it not is put
    under it, and so is data that is no JSON. A bare line that begins with `{` counts as data,
    because servers that fail early answer with a JSON body where a stream was asked for.

    Args:
        max_event_bytes: Longest line or event in bytes; a longer one is an error.
        secrets: Texts that an error must not quote, such as the API key.

    Attributes:
        done: Whether `[DONE]` came; what follows it is ignored.
        failure: An error that waits until the documents before it are taken; `feed` and `close`
            raise it when they are next called, or at once if there is none before it.
    """

    def __init__(
        self, max_event_bytes: int = MAX_EVENT_BYTES, *, secrets: Sequence[str] = ()
    ) -> None:
        self.done = False
        self.failure: VoxtralResponseError | None = None
        self._limit = max_event_bytes
        self._secrets = tuple(secrets)
        self._lines = LineSplitter(max_event_bytes)
        self._data = bytearray()  # lines of an object whose end has not come
        self._depth = 0  # brackets open in _data
        self._is_error = False  # the event has `event: error`
        self._ordinary = True  # none of these, so that most lines can take a short way

    def feed(self, data: bytes) -> list[JsonObject]:
        """Return the documents that `data` completes.

        Raises:
            VoxtralResponseError: The stream is no event stream, its data is no JSON object or
                no UTF-8, or a line or event is longer than `max_event_bytes`.
        """
        if self.failure is not None:
            raise self.failure
        documents: list[JsonObject] = []
        try:
            self._decode(self._lines.split(data), documents)
            if self._lines.overflowed and not self.done:
                raise self._too_long()
        except VoxtralResponseError as failure:
            self.failure = failure
        if self.failure is not None and not documents:
            raise self.failure
        return documents

    def close(self) -> list[JsonObject]:
        """Return the document of a last line that no line end follows, at the body's end.

        An event that the end cuts off is discarded, as the standard says: whether a stream is
        complete is for the caller to judge, by its final event.

        Raises:
            VoxtralResponseError: As for `feed`.
        """
        if self.failure is not None:
            raise self.failure
        return [] if _is_cut(self._lines.rest()) else self.feed(b"\n")

    def _decode(self, lines: list[bytes], documents: list[JsonObject]) -> None:
        """Append the documents that `lines` complete."""
        for line in lines:
            if self._ordinary:
                if line.startswith(_ORDINARY):
                    try:
                        documents.append(from_json(line[5:]))
                        continue
                    except ValueError:
                        pass  # the beginning of a longer object, or no JSON: _read tells
                elif not line:
                    continue
            document = self._read(line)
            if document is not None:
                documents.append(document)

    def _read(self, line: bytes) -> JsonObject | None:
        """Return the document that one line of any kind completes."""
        if self.done or line.startswith(b":"):
            return None
        if not line:
            return self._end_of_event()
        if line.startswith(b"{"):
            return self._read_data(line)
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            return self._read_data(value)
        if name == b"event":
            self._is_error = value == b"error"
            self._ordinary = not self._is_error and not self._data
        elif name not in _FIELDS and not _UNKNOWN_FIELD.match(line):
            raise self._error("The server's answer is not an event stream, it has the line", line)
        return None

    def _read_data(self, value: bytes) -> JsonObject | None:
        """Return the document that one more line of data completes."""
        if value == _DONE and not self._data:
            self.done = True
            self._ordinary = False
            return None
        if not value.strip():
            return None
        self._data += value
        if len(self._data) > self._limit:
            raise self._too_long()
        self._data += b"\n"
        # Counting brackets finds the end of an object in linear time; parsing all that has
        # come after each line would take quadratic time.
        self._depth += _depth(value)
        self._ordinary = False
        return self._end_of_event() if self._depth <= 0 else None

    def _end_of_event(self) -> JsonObject | None:
        """Return the document of the event that ends here, if it has data."""
        text, is_error = bytes(self._data).removesuffix(b"\n"), self._is_error
        self._data.clear()
        self._depth, self._is_error, self._ordinary = 0, False, True
        if not text:
            return None
        try:
            document: object = from_json(text)
        except ValueError:
            document = None
        if is_error and not (isinstance(document, dict) and document.get("error")):
            return {"error": document or text.decode("utf-8", errors="replace")}
        if not isinstance(document, dict):
            raise self._not_json(text)
        return document

    def _too_long(self) -> VoxtralResponseError:
        return VoxtralResponseError(
            f"The server's stream has an event longer than {self._limit} bytes, "
            "the limit max_event_bytes."
        )

    def _not_json(self, text: bytes) -> VoxtralResponseError:
        try:
            text.decode()
        except UnicodeDecodeError:
            return self._error("The server's stream is not UTF-8 in the data", text)
        return self._error("The server's stream has data that is not a JSON object:", text)

    def _error(self, what: str, text: bytes) -> VoxtralResponseError:
        shown = sanitize(text.decode("utf-8", errors="replace"), self._secrets, _LINE_QUOTE_LIMIT)
        return VoxtralResponseError(f"{what} {shown!r}.")


def _depth(line: bytes) -> int:
    """Return how many brackets a line of JSON opens beyond those it closes."""
    bare = _STRING.sub(b"", line)
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")


def _is_cut(line: bytes) -> bool:
    """Return whether a last line looks like the beginning of one that the body's end cut off."""
    if any(field.startswith(line) for field in _FIELDS):
        return True
    value = line.removeprefix(b"data:").removeprefix(b" ")
    if value.startswith(b"{"):
        return _depth(value) > 0
    return _DONE.startswith(value) and value != _DONE
