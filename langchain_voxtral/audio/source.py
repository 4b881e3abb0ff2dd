"""The bytes of a recording, wherever they come from."""

import hashlib
import io
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO, Self

from langchain_voxtral.errors import VoxtralAudioError

AudioInput = str | PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""A path, the file's bytes, or a file opened for reading bytes."""

_BLOCK_BYTES = 1 << 20
_MAX_TITLE = 200


class AudioSource:
    """A recording's bytes, readable from their start any number of times.

    What can be read only once (a named pipe, a file that cannot seek) is copied to disk. The copy
    is deleted by `close`, at the end of a `with` block, or with the source. The caller's own
    files are never closed.

    Args:
        audio: Where the bytes come from.
        name: What errors call it; by default its path or the file's name.
        rewind: Whether a file is read from its start instead of its current position.
        advise: What to do about a path that cannot be opened; "" if that is not known.

    Raises:
        VoxtralAudioError: The input has another type, or is a named pipe that cannot be read.
    """

    name: str | None
    """Where it comes from, if known."""
    content: Path | bytes | BinaryIO
    """A path, bytes, or a seekable file."""

    def __init__(
        self,
        audio: AudioInput,
        *,
        name: str | None = None,
        rewind: bool = True,
        advise: Callable[[Path], str] = lambda _: "",
    ) -> None:
        self._advise = advise
        self._copies = ExitStack()
        weakref.finalize(self, self._copies.close)
        self.name = name
        if isinstance(audio, str | PathLike):
            self.name = name or str(audio)
            self.content = Path(audio)
            if _is_pipe(self.content):
                with self.open() as pipe:
                    self.content = self._copy(pipe)
        elif isinstance(audio, bytes | bytearray | memoryview):
            self.content = bytes(audio)
        elif hasattr(audio, "read") and not isinstance(audio, io.TextIOBase):
            own_name = getattr(audio, "name", None)  # a number, if it was opened by descriptor
            self.name = name or (own_name if isinstance(own_name, str) else None)
            self.content = audio if rewind and _is_seekable(audio) else self._copy(audio)
        else:
            raise self._type_error(audio)

    @property
    def title(self) -> str:
        """What errors call it."""
        name = self.name or "the recording"
        return name if len(name) <= _MAX_TITLE else f"{name[:_MAX_TITLE]}..."

    @property
    def size(self) -> int:
        """Its length in bytes."""
        with self.open() as file:
            return file.seek(0, io.SEEK_END)

    @contextmanager
    def open(self) -> Iterator[BinaryIO]:
        """Open it at its start.

        Raises:
            VoxtralAudioError: It cannot be opened.
        """
        if isinstance(self.content, bytes):
            yield io.BytesIO(self.content)
        elif isinstance(self.content, Path):
            try:
                file = self.content.open("rb")
            except (OSError, ValueError) as error:  # a null byte is a ValueError
                reason = getattr(error, "strerror", None) or error
                # Its text has the name in full, which may be a recording in base64.
                cause = error if self.title == self.name else None
                advice = self._advise(self.content)
                raise VoxtralAudioError(
                    f"{self.title} cannot be read: {reason}.{advice and ' '}{advice}"
                ) from cause
            with file:
                yield file
        else:
            self.content.seek(0)
            yield self.content

    def read(self) -> bytes:
        """Return all of its bytes."""
        if isinstance(self.content, bytes):
            return self.content
        with self.open() as file:
            return file.read()

    def sha256(self) -> str:
        """Return the hash of its bytes."""
        if isinstance(self.content, bytes):
            return hashlib.sha256(self.content).hexdigest()
        digest = hashlib.sha256()
        with self.open() as file:
            while block := file.read(_BLOCK_BYTES):
                digest.update(block)
        return digest.hexdigest()

    def close(self) -> None:
        """Delete its copy, if it has one."""
        self._copies.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _copy(self, file: BinaryIO) -> BinaryIO:
        copy = self._copies.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - it outlives this
        try:
            shutil.copyfileobj(file, copy, _BLOCK_BYTES)
        except TypeError as error:  # it holds text
            raise self._type_error(file) from error
        return copy

    def _type_error(self, audio: object) -> VoxtralAudioError:
        return VoxtralAudioError(
            f"{self.title} must be a path, bytes or a file opened for reading bytes, "
            f"not {type(audio).__name__}."
        )


def _is_pipe(path: Path) -> bool:
    try:
        return path.is_fifo()
    except (OSError, ValueError):  # too long a name, or a null byte: opening reports it
        return False


def _is_seekable(file: BinaryIO) -> bool:
    return hasattr(file, "seekable") and file.seekable()
