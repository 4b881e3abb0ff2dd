"""Warnings about results that are hard to use, which a text or a subtitle file does not show."""

import logging
from dataclasses import dataclass, field

from langchain_voxtral.transcription.documents import (
    ChunkResult,
    find_repetition,
    lacks_timestamps,
)

logger = logging.getLogger("langchain_voxtral")


@dataclass(slots=True)
class ResultLog:
    """Logs warnings about the results of one recording.

    Args:
        title: What messages call the recording.
        expects_timestamps: Whether the server is to return times.
    """

    title: str
    expects_timestamps: bool
    _has_reported_times: bool = field(init=False, default=False)

    def add(self, result: ChunkResult, title: str) -> None:
        """Take the result of the next chunk, which messages call by its own title."""
        if phrase := find_repetition(result.text):
            logger.warning(
                "%s: the text repeats %r ten times or more, as models do over silence and noise.",
                title,
                phrase,
            )
        if self.expects_timestamps and not self._has_reported_times and lacks_timestamps(result):
            self._has_reported_times = True
            logger.warning(
                "%s: the server returned no times, so the text gets those of whole chunks; a "
                "smaller chunk_seconds= makes them finer.",
                self.title,
            )
