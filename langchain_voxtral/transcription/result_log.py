"""Warnings about results that are hard to use, which a text or a subtitle file does not show."""

import logging
from dataclasses import dataclass, field

from langchain_voxtral.providers import Timestamps
from langchain_voxtral.transcription.repetition import find_repetition
from langchain_voxtral.transcription.results import ChunkResult, lacks_speakers, lacks_timestamps

logger = logging.getLogger("langchain_voxtral")

_NO_TIMES = (
    "%s: the server returned no times, so the text gets those of whole chunks (a smaller "
    "chunk_seconds= makes them finer)."
)
_CHUNK_TIMES = (
    "Its text gets the times of the whole chunk (a smaller chunk_seconds= makes them finer)."
)
_SEGMENTS_ONLY = "%s: the server returned no times of words, so the text has those of segments."
_SPEAKERS_OF_CHUNKS = (
    "%s: it is sent in several chunks, and no server compares the speakers of one with those of "
    "another: their names begin with the number of the chunk."
)


@dataclass(slots=True)
class ResultLog:
    """Logs warnings about the results of one recording.

    Args:
        title: What messages call the recording.
        expects_timestamps: What the server is to return times of.
        expects_speakers: Whether it is to tell speakers apart.
    """

    title: str
    expects_timestamps: Timestamps | None
    expects_speakers: bool
    _has_reported_times: bool = field(init=False, default=False)
    _has_reported_speakers: bool = field(init=False, default=False)

    def add(self, result: ChunkResult, title: str) -> None:
        """Take the result of the next chunk, which messages call by its own title."""
        if phrase := find_repetition(result.text):
            logger.warning(
                "%s: the text repeats %r again and again, as models do over silence and noise.",
                title,
                phrase,
            )
        self._add_problem(result, title)
        expected = self.expects_timestamps
        if expected and not self._has_reported_times and lacks_timestamps(result, expected):
            self._has_reported_times = True
            has_segments = not lacks_timestamps(result, "segment")
            logger.warning(_SEGMENTS_ONLY if has_segments else _NO_TIMES, self.title)
        if self.expects_speakers and result.chunk.index == 1:
            logger.warning(_SPEAKERS_OF_CHUNKS, self.title)
        if self.expects_speakers and not self._has_reported_speakers and lacks_speakers(result):
            self._has_reported_speakers = True
            logger.warning("%s: the server did not tell who speaks.", self.title)

    def _add_problem(self, result: ChunkResult, title: str) -> None:
        """Log what is wrong with the segments or words of a response, if anything is."""
        if result.response is None or result.response.transcript.segments_problem is None:
            return
        segments = result.response.transcript.segments
        outcome = _CHUNK_TIMES
        if segments:
            outcome = f"The times of its {'words' if segments[0].words else 'segments'} are used."
        problem = result.response.transcript.segments_problem
        logger.warning("%s: the server's answer has %s. %s", title, problem, outcome)
