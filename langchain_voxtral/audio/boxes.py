"""Chunks of a container: the boxes of a name, a size and content that files are made of."""

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

__all__ = ["Box", "Layout", "boxes", "size_of"]

_PRINTABLE = range(0x20, 0x7F)


@dataclass(frozen=True, slots=True)
class Layout:
    """How a container's boxes lie.

    Args:
        start: Where the first one begins, in bytes.
        size: Their sizes' form, as `struct` names it.
        pad: What positions of boxes are multiples of.
    """

    start: int
    size: str
    pad: int = 1


@dataclass(frozen=True, slots=True)
class Box:
    """One box.

    Args:
        name: Its four bytes of name.
        start: Where its content begins, in bytes from the file's start.
        size: Bytes of content that it says it has; there may be fewer.
        end: Where the next one begins.
    """

    name: bytes
    start: int
    size: int
    end: int

    def read(self, file: BinaryIO, most: int) -> bytes:
        """Return the first bytes of the content."""
        file.seek(self.start)
        return file.read(min(self.size, most))


def boxes(file: BinaryIO, layout: Layout) -> Iterator[Box]:
    """Walk over a container's boxes until the file ends or what follows is no box."""
    at, length = layout.start, size_of(file)
    head = 4 + struct.calcsize(layout.size)
    while at + head <= length:
        file.seek(at)
        held = file.read(head)
        if any(byte not in _PRINTABLE for byte in held[:4]):
            return
        (size,) = struct.unpack(layout.size, held[4:])
        at += head
        end = at + max(size, 0)
        end += -end % layout.pad
        yield Box(held[:4], at, size, end)
        if size < 0:  # of CAF: to the end of the file
            return
        at = end


def size_of(file: BinaryIO) -> int:
    """Return the file's size in bytes."""
    return file.seek(0, os.SEEK_END)
