"""The chunked body of an HTTP response, decoded a read at a time.

httpcore and h11 take one chunk after the other through ten calls each, and a streamed token is a
chunk. Here all chunks of a read are joined. Whatever is not a plain chunk is left to h11: the
last one, extensions, faults.
"""

import re

_HEAD = re.compile(rb"HTTP/1\.1 200\b.*?\n\r?\n", re.DOTALL)
"""A whole head, which ends where it does for h11."""
_FIRST_SIZE = re.compile(rb"([1-9a-fA-F][0-9a-fA-F]{0,7})\r\n")
_NEXT_SIZE = re.compile(rb"\r\n([1-9a-fA-F][0-9a-fA-F]{0,7})\r\n")
_INCOMPLETE_SIZE = re.compile(rb"(\r(\n[0-9a-fA-F]{0,8})?|[0-9a-fA-F]{1,8})\r?")


class ChunkedBody:
    """The chunks of one response after the other on a connection, from its head on.

    Attributes:
        is_open: Whether the next bytes are chunks of a body, to be decoded here.
    """

    def __init__(self) -> None:
        self.is_open = False
        self._awaits_head = False
        self._held = b""
        self._left = 0
        self._size = _FIRST_SIZE

    def await_head(self) -> None:
        """Expect the head of a response: a request is being sent."""
        self._awaits_head = True
        self.is_open = False
        self._held = b""

    def hold_back(self, data: bytes) -> bytes:
        """Return the head of a response, whose body is held back; all bytes if that is none."""
        if self._awaits_head:
            self._awaits_head = False
            head = _HEAD.match(data)
            if head is not None:
                self.is_open = True
                self._held = data[head.end() :]
                self._left = 0
                self._size = _FIRST_SIZE
                return head[0]
        return data

    def release(self) -> bytes:
        """Return what is held back, which h11 decodes, and what follows it."""
        self.is_open = False
        held, self._held = self._held, b""
        if self._size is _NEXT_SIZE:
            # For h11 no chunk came before: no line break may follow, and a missing one is a fault.
            self._size = _FIRST_SIZE
            return held[2:] if b"\r\n".startswith(held[:2]) else b"\r\n" + held
        return held

    def decode(self, data: bytes) -> bytes:
        """Return what the chunks in these bytes hold; if h11 must go on, it is no longer open."""
        if self._held:
            data = self._held + data
        at, left, contents = 0, self._left, []
        while True:
            if left:
                content = data[at : at + left]
                contents.append(content)
                at += len(content)
                left -= len(content)
                if left:
                    break
                self._size = _NEXT_SIZE
            size = self._size.match(data, at)
            if size is None:
                break
            left = int(size[1], 16)
            at = size.end()
        self._left = left
        self._held = held = data[at:]
        if held and not _INCOMPLETE_SIZE.fullmatch(held):
            self.is_open = False
        return contents[0] if len(contents) == 1 else b"".join(contents)
