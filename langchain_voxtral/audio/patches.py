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
        is_damaged: Whether damage was reported.
    """

    seconds: float | None = None
    patches: tuple[Patch, ...] = ()
    holes: tuple[tuple[int, float], ...] = ()
    is_damaged: bool = False


class PatchedFile(io.RawIOBase):
    """A file of which some bytes are replaced while it is read; the file itself is not changed."""

    def __init__(self, file: BinaryIO, patches: tuple[Patch, ...]) -> None:
        super().__init__()
        self._file = file
        self._patches = patches

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Seek as the file does."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return where the file is."""
        return self._file.tell()

    def readinto(self, buffer: "bytearray | memoryview", /) -> int:  # type: ignore[override]
        """Read from the file, with the replaced bytes."""
        start = self._file.tell()
        data = bytearray(self._file.read(len(buffer)))
        for at, patch in self._patches:
            size = patch if isinstance(patch, int) else len(patch)
            begin, end = max(at, start), min(at + size, start + len(data))
            if begin < end:
                data[begin - start : end - start] = (
                    bytes(end - begin) if isinstance(patch, int) else patch[begin - at : end - at]
                )
        buffer[: len(data)] = data
        return len(data)
