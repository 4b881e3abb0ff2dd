"""Segments in a server's answer, and whether their times can be."""

import math
from collections.abc import Iterator, Sequence

from langchain_voxtral.protocol.fields import JsonObject, UnexpectedShapeError
from langchain_voxtral.protocol.transcripts import Segment


def read_segments(told: object) -> tuple[Segment, ...]:
    """Return the segments that a list of JSON objects tells; null is an empty list.

    Raises:
        UnexpectedShapeError: One is of no known form, or as for `check_times`.
    """
    segments = tuple(_segments(told))
    check_times(segments)
    return segments


def check_times(segments: Sequence[Segment]) -> None:
    """Refuse times that cannot be: to mend them would be to invent others.

    Overlaps can be, when two people speak.

    Raises:
        MisfitError: A time is negative, infinite or not a number, an end is before its start, or
            a start before that of the one before; it names the segment.
    """
    previous = 0.0
    for index, part in enumerate(segments):
        span = f"segments[{index}] from {part.start} s to {part.end} s"
        if not (math.isfinite(part.start) and math.isfinite(part.end)):
            raise UnexpectedShapeError(f"{span}, which is no time")
        if part.start < 0:
            raise UnexpectedShapeError(f"{span}, which begins before the recording")
        if part.end < part.start:
            raise UnexpectedShapeError(f"{span}, which ends before it begins")
        if part.start < previous:
            raise UnexpectedShapeError(
                f"{span}, out of order: the one before begins at {previous} s"
            )
        previous = part.start


def _segments(told: object) -> Iterator[Segment]:
    for where, item in _items(told, "segments"):
        text, number = item.get("text"), item.get("id")
        if not isinstance(text, str):
            raise UnexpectedShapeError(f"{where} without a text")
        is_id = isinstance(number, int) and not isinstance(number, bool)
        yield Segment(*_times(item, where), text, id=number if is_id else None)


def _items(told: object, name: str) -> Iterator[tuple[str, JsonObject]]:
    """Yield the objects of a list, each with what to call it; null is an empty list."""
    if told is not None and not isinstance(told, list):
        raise UnexpectedShapeError(f"{name} that are not a list")
    for index, item in enumerate(told or ()):
        if not isinstance(item, dict):
            raise UnexpectedShapeError(f"{name}[{index}] that is not an object")
        yield f"{name}[{index}]", item


def _times(item: JsonObject, where: str) -> tuple[float, float]:
    return _seconds(item, "start", where), _seconds(item, "end", where)


def _seconds(item: JsonObject, name: str, where: str) -> float:
    time = item.get(name)
    if isinstance(time, int | float) and not isinstance(time, bool):
        try:
            return float(time)
        except OverflowError:  # JSON has whole numbers that no float can be
            return math.inf
    raise UnexpectedShapeError(f"{where} whose {name} is not a number of seconds")
