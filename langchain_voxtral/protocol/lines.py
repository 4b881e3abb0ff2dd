"""Lines of an event stream, out of bytes in whatever pieces they come."""

from itertools import takewhile

_BOM = b"\xef\xbb\xbf"


class LineSplitter:
    r"""Splits bytes into lines at LF, CRLF and CR, as "Server-sent events" (WHATWG) has it.

    Not `bytes.splitlines`, which splits at a CRLF that two reads share twice, nor
    `str.splitlines`, which splits at U+2028, U+2029 and U+0085 within JSON strings too. A byte
    order mark before the first line is left out.

    Args:
        limit: Longest line in bytes.

    Attributes:
        overflowed: Whether a line was longer than `limit`; it and all after it are left out.
    """

    def __init__(self, limit: int) -> None:
        self.overflowed = False
        self._limit = limit
        self._rest = bytearray()  # of a line whose end has not come
        self._began = False
        self._after_cr = False  # the last byte was a CR: a LF now belongs to it
        self._at_line_start = False  # nothing is kept, so that the next read stands for itself

    def split(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes, without their ends, and keep the rest."""
        if (
            self._at_line_start
            and data.endswith(b"\n")
            and b"\r" not in data
            and len(data) <= self._limit
        ):
            lines = data.split(b"\n")
            lines.pop()
            return lines
        lines = self._split(self._with_line_feeds(data))
        self._at_line_start = self._began and not (self._rest or self._after_cr or self.overflowed)
        return lines

    def rest(self) -> bytes:
        """Return what has come of the last line, whose end has not come."""
        rest = bytes(self._rest)
        return rest if self._began else rest.removeprefix(_BOM)

    def _with_line_feeds(self, data: bytes) -> bytes:
        """Return `data` with every CR and CRLF as LF."""
        if not data:
            return data
        if self._after_cr:
            data = data.removeprefix(b"\n")
        self._after_cr = data.endswith(b"\r")
        return data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _split(self, data: bytes) -> list[bytes]:
        if self.overflowed:
            return []
        if b"\n" not in data:
            self._keep(data)
            return []
        if self._rest:
            self._rest += data
            data = bytes(self._rest)
            self._rest.clear()
        if not self._began:
            self._began = True
            data = data.removeprefix(_BOM)
        lines = data.split(b"\n")
        rest = lines.pop()
        if len(data) > self._limit:
            lines = list(takewhile(self._is_within_limit, lines))
        self._keep(rest)
        return lines

    def _keep(self, piece: bytes) -> None:
        if piece and self._is_within_limit(piece):
            self._rest += piece

    def _is_within_limit(self, piece: bytes) -> bool:
        """Return whether a piece fits beside what is kept of its line."""
        if len(self._rest) + len(piece) > self._limit:
            self.overflowed = True
            self._rest.clear()
        return not self.overflowed
