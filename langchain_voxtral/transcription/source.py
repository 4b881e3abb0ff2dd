"""What users give as a recording: paths, bytes, files, LangChain's blobs and audio blocks."""

import io
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from langchain_core.documents.base import Blob

from langchain_voxtral.audio.source import AudioSource
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages.audio_blocks import parse_audio_block

AudioInput = (
    Blob | str | PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Mapping[str, Any]
)
"""A recording: a blob, a path, a file's bytes, a binary file, or an audio block of a message."""

_MAX_SHOWN = 200
_URL = re.compile(r"(?i)data:|(?!file)[a-z][a-z0-9+.-]+://")


def open_source(audio: AudioInput) -> tuple[AudioSource, dict[str, Any]]:
    """Return a recording's bytes, and the metadata that the caller gave with it.

    A string is a path. A file is read from its start; if it cannot seek, it is copied to disk.

    Raises:
        VoxtralInvalidRequestError: It is no recording, a URL, or a block or blob without data.
        VoxtralAudioError: A named pipe cannot be read.
    """
    match audio:
        case Blob():
            return _blob_source(audio), {str(name): value for name, value in audio.metadata.items()}
        case Mapping():
            return AudioSource(_block_data(audio)), {}
        case str() if _URL.match(audio):
            raise VoxtralInvalidRequestError(
                f"{audio[:_MAX_SHOWN]!r} is an address, which is not fetched: download the "
                "recording, and give its path or its bytes."
            )
        case str() | PathLike() | bytes() | bytearray() | memoryview():
            return AudioSource(audio), {}
        case _ if hasattr(audio, "read") and not isinstance(audio, io.TextIOBase):
            return AudioSource(audio), {}
    raise VoxtralInvalidRequestError(
        "A recording must be a path, bytes, a file opened for reading bytes, a Blob or an "
        f"audio block, not {type(audio).__name__}."
    )


def _blob_source(blob: Blob) -> AudioSource:
    if blob.data is None and blob.path is None:
        raise VoxtralInvalidRequestError("The Blob has neither data nor a path.")
    content = Path(blob.path) if blob.data is None and blob.path is not None else blob.as_bytes()
    return AudioSource(content, name=blob.source)


def _block_data(block: Mapping[str, Any]) -> bytes:
    part = parse_audio_block(block, "the block")
    if part is None or part.url is not None:
        problem = "is no audio block." if part is None else "has an address, which is not fetched."
        raise VoxtralInvalidRequestError(
            f"The block of type {block.get('type')!r} {problem} Give the recording itself, as a "
            "path, as bytes or in base64."
        )
    return part.data
