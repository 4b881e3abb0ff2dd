"""What users hand in as a recording: paths, bytes, files, LangChain's blobs and audio blocks."""

import hashlib
import io
import re
import shutil
import tempfile
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from langchain_core.documents.base import Blob

from langchain_voxtral.errors import VoxtralAudioError, VoxtralInvalidRequestError
from langchain_voxtral.messages.audio_blocks import parse_audio_block

__all__ = ["Audio", "Given", "given"]

Audio = Blob | str | PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Mapping[str, Any]
"""A recording: a blob, a path, a file's bytes, a binary file, or an audio block of a message."""


_READ = 1 << 20
_LONGEST_TITLE = 200
_ADDRESS = re.compile(r"(?i)data:|(?!file)[a-z][a-z0-9+.-]+://")


@dataclass(frozen=True, slots=True)
class Given:
    """A recording as it was handed in.

    Args:
        source: A path, the file's bytes, or a binary file that can seek.
        name: Where it comes from, if that is known.
        metadata: What the caller knows about it.
    """

    source: Path | bytes | BinaryIO = field(repr=False)
    name: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What messages call it."""
        name = self.name or "the recording"
        return name if len(name) <= _LONGEST_TITLE else f"{name[:_LONGEST_TITLE]}..."

    def state(self) -> Hashable:
        """Return what changes when a file is written to; None for what is no file of the disk."""
        if not isinstance(self.source, Path):
            return None
        try:
            told = self.source.stat()
        except (OSError, ValueError):
            return None  # to open it will say why
        return told.st_ino, told.st_size, told.st_mtime_ns

    @property
    def size(self) -> int:
        """Its length in bytes."""
        with self.file() as file:
            return file.seek(0, io.SEEK_END)

    def sha256(self) -> str:
        """Return the hash of its content, read as a stream."""
        digest = hashlib.sha256()
        with self.file() as file:
            while part := file.read(_READ):
                digest.update(part)
        return digest.hexdigest()

    def read(self) -> bytes:
        """Return all of its bytes."""
        if isinstance(self.source, bytes):
            return self.source
        with self.file() as file:
            return file.read()

    @contextmanager
    def file(self) -> Iterator[BinaryIO]:
        """Open it at its start.

        Raises:
            VoxtralAudioError: It cannot be opened.
        """
        if isinstance(self.source, bytes):
            yield io.BytesIO(self.source)
        elif isinstance(self.source, Path):
            try:
                file = self.source.open("rb")
            except (OSError, ValueError) as error:  # a null byte is a ValueError
                why = getattr(error, "strerror", None) or error
                raise VoxtralAudioError(f"{self.title} cannot be read: {why}.") from error
            with file:
                yield file
        else:
            self.source.seek(0)
            yield self.source


@contextmanager
def given(audio: Audio) -> Iterator[Given]:
    """Take a recording in any form; a file that cannot seek is copied to disk meanwhile.

    Args:
        audio: The recording. A string is a path. A file that can seek is read from its start.

    Raises:
        VoxtralInvalidRequestError: It is nothing of the kind, an address, or a block without its
            data.

    Example:
        ```python
        from langchain_voxtral.transcription.source import given

        with given("talks/monday.mp3") as recording:
            assert recording.title == "talks/monday.mp3"
        ```
    """
    match audio:
        case Blob():
            with _seekable(_of_blob(audio)) as recording:
                yield recording
        case str() if _ADDRESS.match(audio):
            raise VoxtralInvalidRequestError(
                f"{audio[:_LONGEST_TITLE]!r} is an address, which is not fetched: download the "
                "recording, and give its path or its bytes."
            )
        case str() | PathLike():
            with _seekable(Given(Path(audio), str(audio))) as recording:
                yield recording
        case bytes() | bytearray() | memoryview():
            yield Given(bytes(audio))
        case Mapping():
            yield Given(_block_data(audio))
        case _ if hasattr(audio, "read") and not isinstance(audio, io.TextIOBase):
            name = getattr(audio, "name", None)
            title = name if isinstance(name, str) else None
            can_seek = getattr(audio, "seekable", None)
            if can_seek is not None and can_seek():
                yield Given(audio, title)
            else:
                with _copied(audio) as copy:
                    yield Given(copy, title)
        case _:
            raise VoxtralInvalidRequestError(
                "A recording must be a path, bytes, a file opened for reading bytes, a Blob or an "
                f"audio block, not {type(audio).__name__}."
            )


@contextmanager
def _seekable(recording: Given) -> Iterator[Given]:
    """Yield it, or its copy if it is a named pipe, as a shell's `<(...)` is one."""
    if not (isinstance(recording.source, Path) and _is_pipe(recording.source)):
        yield recording
        return
    with recording.file() as pipe, _copied(pipe) as copy:
        yield replace(recording, source=copy)


def _is_pipe(path: Path) -> bool:
    try:
        return path.is_fifo()
    except (OSError, ValueError):  # too long a name, or a null byte: to open it will say so
        return False


@contextmanager
def _copied(file: BinaryIO) -> Iterator[BinaryIO]:
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(file, copy, _READ)
        yield copy


def _of_blob(blob: Blob) -> Given:
    metadata = {str(name): value for name, value in blob.metadata.items()}
    if blob.data is None and blob.path is not None:
        return Given(Path(blob.path), blob.source, metadata)
    if blob.data is None:
        raise VoxtralInvalidRequestError("The Blob has neither data nor a path.")
    return Given(blob.as_bytes(), blob.source, metadata)


def _block_data(block: Mapping[str, Any]) -> bytes:
    part = parse_audio_block(block, "the block")
    if part is None or part.url is not None:
        raise VoxtralInvalidRequestError(
            f"The block of type {block.get('type')!r} "
            + ("is no audio block." if part is None else "has an address, which is not fetched.")
            + " Give the recording itself, as a path, as bytes or in base64."
        )
    return part.data
