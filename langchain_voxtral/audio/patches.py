"""What a look at a file's structure finds before it is decoded, and bytes that it replaces."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from langchain_voxtral.errors import VoxtralTruncatedAudioError

ReportDamage = Callable[[VoxtralTruncatedAudioError], None]
"""Raises the error, or returns if decoding is to go on."""

Patch = tuple[int, bytes | int]
"""An offset, and the bytes, or the number of zeros, that stand there instead."""


@dataclass(frozen=True, slots=True)
class FileCheck:
    """What was found.

    Args:
        seconds: The length, if the header states it.
        patches: What to decode in place of what is there.
        holes: Offsets where sound is missing, and its seconds, in formats without times.
        parts: Begin and end of parts that are files of their own; none if the file is one.
        is_damaged: Whether damage was reported.
    """

    seconds: float | None = None
    patches: tuple[Patch, ...] = ()
    holes: tuple[tuple[int, float], ...] = ()
    parts: tuple[tuple[int, int], ...] = ()
    is_damaged: bool = False


class PatchedFile(io.RawIOBase):
    """A file, or a part of it, of which bytes are replaced as it is read; it is not changed."""

    def __init__(
        self, file: BinaryIO, patches: tuple[Patch, ...], part: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self._file = file
        self._patches = patches
        self._begin, self._end = part or (0, file.seek(0, io.SEEK_END))

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Seek as files do."""
        origins = {io.SEEK_SET: self._begin, io.SEEK_END: self._end}
        origin = origins[whence] if whence in origins else self._file.tell()
        return self._file.seek(max(origin + offset, self._begin)) - self._begin

    def tell(self) -> int:
        """Return where the file is."""
        return self._file.tell() - self._begin

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]
        """Read from the file, with the replaced bytes."""
        start = self._file.tell()
        data = bytearray(self._file.read(min(len(buffer), max(self._end - start, 0))))
        for at, patch in self._patches:
            size = patch if isinstance(patch, int) else len(patch)
            begin, end = max(at, start), min(at + size, start + len(data))
            if begin < end:
                data[begin - start : end - start] = (
                    bytes(end - begin) if isinstance(patch, int) else patch[begin - at : end - at]
                )
        buffer[: len(data)] = data
        return len(data)
