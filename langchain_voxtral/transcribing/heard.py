"""What was heard of a piece, and how it is kept in a store for a run that is begun again."""

import hashlib
import json
import logging
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.transcribing.cuts import Cuts, Span
from langchain_voxtral.wire.transcripts import Transcript

__all__ = [
    "Heard",
    "Told",
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
class Told:
    """A server's answer about a piece.

    Args:
        transcript: What it heard.
        model: The model that answered.
    """

    transcript: Transcript
    model: str


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a piece.

    Args:
        span: Where it lies.
        told: What the server heard; None if that failed.
        error: Why it failed.
        from_store: Whether it was heard by an earlier run.
    """

    span: Span
    told: Told | None = None
    error: VoxtralError | None = field(default=None, compare=False)
    from_store: bool = False


def key_of(**facts: Any) -> str:
    """Return the key under which something is kept: a hash of all that it depends on.

    It has only letters, digits and `-`, as file stores want it.
    """
    written = json.dumps({"version": _VERSION, **facts}, sort_keys=True)
    return f"voxtral-{hashlib.sha256(written.encode()).hexdigest()}"


_TOLD = TypeAdapter(Told)
_SPANS = TypeAdapter(tuple[Span, ...])


def write_transcript(told: Told) -> bytes:
    """Return an answer as bytes."""
    return _TOLD.dump_json(told)


def read_transcript(kept: bytes | None, key: str) -> Told | None:
    """Return a kept answer; None if there is none, or it is damaged (a killed run writes half)."""
    return _read(_TOLD, kept, key)


def write_cuts(cuts: Cuts) -> bytes:
    """Return the places of cuts as bytes."""
    return _SPANS.dump_json(cuts.spans)


def read_cuts(kept: bytes | None, key: str) -> Cuts | None:
    """Return kept cuts, as `read_transcript` does answers."""
    spans = _read(_SPANS, kept, key)
    return Cuts(spans) if spans else None


def _read(adapter: TypeAdapter[T], kept: bytes | None, key: str) -> T | None:
    if kept is None:
        return None
    try:
        return adapter.validate_json(kept)
    except ValidationError:
        logger.warning("store: the entry %s is damaged; it is made anew", key)
        return None
