"""Server-sent events: the bytes of a `text/event-stream` body into JSON documents."""

import re
from collections.abc import Iterable
from itertools import takewhile

from pydantic_core import from_json

from langchain_voxtral.errors import VoxtralResponseError
from langchain_voxtral.protocol.error_responses import sanitize
from langchain_voxtral.protocol.fields import JsonObject

MAX_EVENT_BYTES = 16 * 2**20
"""Longest event that is read, in bytes, so that a broken server cannot fill the memory."""

_BOM = b"\xef\xbb\xbf"
_DONE = b"[DONE]"
_ORDINARY = (b"data: {", b"data:{")
_FIELDS = (b"data", b"event", b"id", b"retry")
_UNKNOWN_FIELD = re.compile(rb"[a-z][a-z0-9_-]*:", re.IGNORECASE)
# A JSON string, or one that the end of the line cuts off: a line feed cannot stand within.
_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?')
_LINE_QUOTE_LIMIT = 200


class SSEDecoder:
    """Decodes the bytes of an event stream, in whatever pieces they come, into JSON documents.

    The rules are those of the WHATWG's "Server-sent events", with two differences. DeepInfra
    documents streams without blank lines, so a `data:` line that is a complete JSON object is an
    event at once. `[DONE]`, known from OpenAI's API, ends the stream.

    The document of an `event: error` always has the key `error`. A bare line that begins with `{`
    counts as data: servers that fail early answer with a JSON body where a stream was asked for.

    Attributes:
        received_done: Whether `[DONE]` came; what follows it is ignored.
        failure: What is wrong with the stream, after the documents returned so far; what follows
            is ignored.
    """

    def __init__(
        self, max_event_bytes: int = MAX_EVENT_BYTES, *, secrets: Iterable[str] = ()
    ) -> None:
        self.received_done = False
        self.failure: VoxtralResponseError | None = None
        self._limit = max_event_bytes
        self._secrets = secrets
        self._line = bytearray()  # a line whose end has not come
        self._is_first_line = True
        self._after_cr = False  # the last byte was a CR: a LF now belongs to it
        self._between_lines = False  # nothing of a line is kept, so a read can stand for itself
        self._data = bytearray()  # lines of an object whose end has not come
        self._depth = 0  # brackets open in _data
        self._is_error = False  # the event has `event: error`
        self._ordinary = True  # none of these, nor the end: most lines can take a short way

    def feed(self, data: bytes) -> list[JsonObject]:
        """Return the documents that `data` completes; look at `failure` afterwards."""
        documents: list[JsonObject] = []
        if (
            self._between_lines
            and data.endswith(b"\n")
            and b"\r" not in data
            and len(data) <= self._limit
        ):
            lines = data.split(b"\n")
            lines.pop()
        else:
            lines = self._split(data)
        for line in lines:
            if self._ordinary:
                if line.startswith(_ORDINARY):
                    try:
                        documents.append(from_json(line[5:]))
                        continue
                    except ValueError:
                        pass  # the beginning of a longer object, or no JSON
                elif not line:
                    continue
            self._read_line(line, documents)
        if len(self._line) > self._limit and not self.received_done and self.failure is None:
            self._fail_too_long()
        return documents

    def close(self) -> list[JsonObject]:
        """Return the document of a last line without a line end, at the end of the body.

        An event that the end cuts off is discarded, as the standard has it.
        """
        line = bytes(self._line)
        line = line.removeprefix(_BOM) if self._is_first_line else line
        return [] if _is_cut(line) else self.feed(b"\n")

    def _split(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes, and keep the rest.

        Not `bytes.splitlines`, which splits at a CRLF that two reads share twice, nor
        `str.splitlines`, which splits at U+2028, U+2029 and U+0085 within JSON strings.
        """
        if not data or self.received_done or self.failure is not None:
            return []
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        self._line += data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in self._line:
            self._between_lines = False
            return []
        *lines, rest = bytes(self._line).split(b"\n")
        if self._is_first_line:
            self._is_first_line = False
            lines[0] = lines[0].removeprefix(_BOM)
        fitting = list(takewhile(lambda line: len(line) <= self._limit, lines))
        if len(fitting) < len(lines):
            rest = lines[len(fitting)]  # kept for `feed` to find, after the lines before it
        self._line = bytearray(rest)
        self._between_lines = not (rest or self._after_cr)
        return fitting

    def _read_line(self, line: bytes, documents: list[JsonObject]) -> None:
        """Read one line of any kind; append the document that it completes."""
        if self.received_done or self.failure is not None or line.startswith(b":"):
            return
        if not line:
            self._end_event(documents)
            return
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if line.startswith(b"{"):
            self._read_data(line, documents)
        elif name == b"data":
            self._read_data(value, documents)
        elif name == b"event":
            self._is_error = value == b"error"
            self._ordinary = not self._is_error and not self._data
        elif name not in _FIELDS and not _UNKNOWN_FIELD.match(line):
            self._fail_quoting("The server's answer is not an event stream, it has the line", line)

    def _read_data(self, value: bytes, documents: list[JsonObject]) -> None:
        if value == _DONE and not self._data:
            self.received_done = True
            self._ordinary = False
            return
        if not value.strip():
            return
        self._data += value
        if len(self._data) > self._limit:
            self._fail_too_long()
            return
        self._data += b"\n"
        # Counting brackets finds the end of an object in linear time; parsing all that has
        # come after each line would take quadratic time.
        self._depth += _depth(value)
        self._ordinary = False
        if self._depth <= 0:
            self._end_event(documents)

    def _end_event(self, documents: list[JsonObject]) -> None:
        """Append the document of the event that ends here, if it has data."""
        text, is_error = bytes(self._data).removesuffix(b"\n"), self._is_error
        self._data.clear()
        self._depth, self._is_error, self._ordinary = 0, False, True
        if not text:
            return
        try:
            document: object = from_json(text)
        except ValueError:
            document = None
        if is_error and not (isinstance(document, dict) and document.get("error")):
            document = {"error": document or text.decode("utf-8", errors="replace")}
        if isinstance(document, dict):
            documents.append(document)
        elif _is_utf8(text):
            self._fail_quoting("The server's stream has data that is not a JSON object:", text)
        else:
            self._fail_quoting("The server's stream is not UTF-8 in the data", text)

    def _fail_too_long(self) -> None:
        self._fail(
            f"The server's stream has an event longer than {self._limit} bytes, "
            "the limit max_event_bytes."
        )

    def _fail_quoting(self, problem: str, text: bytes) -> None:
        quote = sanitize(text.decode("utf-8", errors="replace"), self._secrets, _LINE_QUOTE_LIMIT)
        self._fail(f"{problem} {quote!r}.")

    def _fail(self, message: str) -> None:
        self.failure = VoxtralResponseError(message)
        self._ordinary = False


def _depth(line: bytes) -> int:
    """Return how many brackets a line of JSON opens beyond those it closes."""
    bare = _STRING.sub(b"", line)
    return bare.count(b"{") + bare.count(b"[") - bare.count(b"}") - bare.count(b"]")


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_cut(line: bytes) -> bool:
    """Return whether a last line looks like the beginning of one that the body's end cut off."""
    if any(field.startswith(line) for field in _FIELDS):
        return True
    value = line.removeprefix(b"data:").removeprefix(b" ")
    if value.startswith(b"{"):
        return _depth(value) > 0
    return _DONE.startswith(value) and value != _DONE
