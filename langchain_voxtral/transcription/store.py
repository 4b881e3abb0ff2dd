"""What was heard of a piece, and how it is kept in a store for a run that is begun again."""

import hashlib
import json
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from langchain_voxtral.protocol.transcripts import Transcript
from langchain_voxtral.transcription.cuts import Cuts, Span

__all__ = [
    "ChunkResult",
    "ChunkTranscript",
    "key_of",
    "read_cuts",
    "read_transcript",
    "write_cuts",
    "write_transcript",
]

logger = logging.getLogger("langchain_voxtral")

_VERSION = 1
"""To be raised when cuts or answers change, so that old entries are not read."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChunkTranscript:
    """A server's answer about a piece.

    Args:
        transcript: What it heard.
        model: The model that answered.
    """

    transcript: Transcript
    model: str


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What became of a piece.

    Args:
        span: Where it lies.
        told: What the server heard; None if that failed.
        error: Why it failed, in words: the exception would keep the sound of its piece alive.
        error_type: The exception's class.
        from_store: Whether it was heard by an earlier run.
    """

    span: Span
    told: ChunkTranscript | None = None
    error: str | None = None
    error_type: str | None = None
    from_store: bool = False


def key_of(**facts: Any) -> str:
    """Return the key under which something is kept: a hash of all that it depends on.

    It has only letters, digits and `-`, as file stores want it.
    """
    written = json.dumps({"version": _VERSION, **facts}, sort_keys=True)
    return f"voxtral-{hashlib.sha256(written.encode()).hexdigest()}"


_TOLD = TypeAdapter(ChunkTranscript)
_CUTS = TypeAdapter(tuple[tuple[Span, ...], bool])


def write_transcript(key: str, told: ChunkTranscript) -> bytes:
    """Return an answer as bytes, which are valid under their key only."""
    return _sealed(key, _TOLD.dump_json(told))


def read_transcript(key: str, kept: bytes | None) -> ChunkTranscript | None:
    """Return a kept answer; None if there is none.

    Nor is there one if it is damaged, since a killed run may write half, or of another key.
    """
    return _read(_TOLD, key, kept)


def write_cuts(key: str, cuts: Cuts) -> bytes:
    """Return the places of cuts, and whether the recording is cut off, as bytes."""
    return _sealed(key, _CUTS.dump_json((cuts.spans, cuts.truncated)))


def read_cuts(key: str, kept: bytes | None) -> Cuts | None:
    """Return kept cuts, as `read_transcript` does answers."""
    spans, truncated = _read(_CUTS, key, kept) or ((), False)
    return Cuts(spans, truncated=truncated) if spans else None


def _sealed(key: str, written: bytes) -> bytes:
    """Return an entry: a line with the hash of its key and content, then the content."""
    seal = hashlib.sha256(key.encode() + written).hexdigest()
    return seal.encode() + b"\n" + written


def _read(adapter: TypeAdapter[T], key: str, kept: bytes | None) -> T | None:
    if kept is None:
        return None
    written = kept.partition(b"\n")[2]
    if kept == _sealed(key, written):
        with suppress(ValidationError):
            return adapter.validate_json(written)
    logger.warning("store: the entry %s is damaged; it is made anew", key)
    return None
