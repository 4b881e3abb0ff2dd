"""What users give as a recording: paths, bytes, files, LangChain's blobs and audio blocks."""

import io
import os
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from langchain_core.documents.base import Blob

from langchain_voxtral.audio.source import AudioSource
from langchain_voxtral.audio_store import (
    AudioStore,
    aread_recordings,
    read_recordings,
)
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import AudioPart
from langchain_voxtral.messages.audio_blocks import parse_audio_block
from langchain_voxtral.transport import to_thread

AudioInput = (
    Blob | str | PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Mapping[str, Any]
)
"""A recording: a blob, a path, a file's bytes, a binary file, or an audio block of a message."""

_MAX_SHOWN = 200
_PATTERN = re.compile(r"[*?]|\[.+\]")
"""What makes a name a pattern, in shells and in `Path.glob`."""
_URL = re.compile(r"(?i)data:|(?!file)[a-z][a-z0-9+.-]+://")


def open_source(
    audio: AudioInput, store: AudioStore | None = None
) -> tuple[AudioSource, dict[str, Any]]:
    """Return a recording's bytes, and the metadata that the caller gave with it.

    A string is a path. A file is read from its start; if it cannot seek, it is copied to disk.

    Args:
        audio: The recording.
        store: Where it is, if its block names it by its hash.

    Raises:
        VoxtralInvalidRequestError: It is no recording, a URL, a block or blob without data, or
            not in the store.
        VoxtralAudioError: A named pipe cannot be read.
    """
    opened = _open(audio)
    if not isinstance(opened, AudioPart):
        return opened
    return _stored_source(opened, read_recordings(store, _place(opened))), {}


async def aopen_source(
    audio: AudioInput, store: AudioStore | None = None
) -> tuple[AudioSource, dict[str, Any]]:
    """Do what `open_source` does; neither reading nor decoding blocks the event loop."""
    opened = await to_thread(_open, audio)
    if not isinstance(opened, AudioPart):
        return opened
    return _stored_source(opened, await aread_recordings(store, _place(opened))), {}


def _place(part: AudioPart) -> dict[str, str]:
    return {str(part.file_id): part.location}


def _stored_source(part: AudioPart, recordings: Mapping[str, bytes]) -> AudioSource:
    return AudioSource(recordings[str(part.file_id)], name=part.name)


def _open(audio: AudioInput) -> tuple[AudioSource, dict[str, Any]] | AudioPart:
    """Return what `open_source` does, or what a block says that names a recording in a store."""
    match audio:
        case Blob():
            return _blob_source(audio), {str(name): value for name, value in audio.metadata.items()}
        case Mapping():
            part = _block_part(audio)
            return part if part.file_id is not None else (AudioSource(part.data), {})
        case str() if _URL.match(audio):
            raise VoxtralInvalidRequestError(
                f"{audio[:_MAX_SHOWN]!r} is an address, which is not fetched: download the "
                "recording, and give its path or its bytes."
            )
        case str() | PathLike():
            return AudioSource(audio, advise=_advise), {}
        case bytes() | bytearray() | memoryview():
            return AudioSource(audio), {}
        case _ if hasattr(audio, "read") and not isinstance(audio, io.TextIOBase):
            return AudioSource(audio), {}
    raise VoxtralInvalidRequestError(
        "A recording must be a path, bytes, a file opened for reading bytes, a Blob or an "
        f"audio block, not {type(audio).__name__}."
    )


def _advise(path: Path) -> str:
    """Return how to give the recordings that a folder has, or that a pattern stands for."""
    if os.path.isdir(path):  # noqa: PTH112 - Path's fails for names that are too long
        folder, pattern = path, "*.mp3"
    elif _PATTERN.search(path.name):
        folder, pattern = path.parent, path.name
    else:
        return ""
    files = f"sorted(Path({str(folder)!r}).glob({pattern!r}))"
    return f"That is no single recording; for several: VoxtralTranscriptionLoader({files})"


def _blob_source(blob: Blob) -> AudioSource:
    if blob.data is None and blob.path is None:
        raise VoxtralInvalidRequestError("The Blob has neither data nor a path.")
    content = Path(blob.path) if blob.data is None and blob.path is not None else blob.as_bytes()
    return AudioSource(content, name=blob.source, advise=_advise)


def _block_part(block: Mapping[str, Any]) -> AudioPart:
    part = parse_audio_block(block, "the block")
    if part is None or part.url is not None:
        problem = "is no audio block." if part is None else "has an address, which is not fetched."
        raise VoxtralInvalidRequestError(
            f"The block of type {block.get('type')!r} {problem} Give the recording itself, as a "
            "path, as bytes or in base64."
        )
    return part
