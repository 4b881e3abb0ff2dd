"""One recording's way through the speech engine's queue."""

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Self

from langchain_voxtral.errors import VoxtralAudioError, VoxtralLocalError
from langchain_voxtral.local.engine.recordings import read_samples
from langchain_voxtral.local.engine.scheduler import Scheduler
from langchain_voxtral.local.engine.speech import PASSAGE, RATE, SpeechEngine
from langchain_voxtral.local.errors import INFERENCE_ERROR, ErrorResponse
from langchain_voxtral.protocol.transcripts import Segment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from langchain_voxtral.local.engine.recordings import Samples

__all__ = ["SpeechResult", "SpeechTask", "SpeechWorker"]

logger = logging.getLogger("langchain_voxtral.local")


@dataclass(frozen=True, slots=True)
class SpeechResult:
    """What is said in a recording.

    Args:
        segments: Its passages.
        duration: Seconds of sound.
        runtime_ms: Milliseconds that it took, without the wait in the queue.
    """

    segments: tuple[Segment, ...]
    duration: float
    runtime_ms: int

    @property
    def text(self) -> str:
        """All that is said."""
        return " ".join(segment.text for segment in self.segments)


class SpeechWorker:
    """The speech engine and its queue: one recording at a time, first come first served.

    Args:
        queue_size: Recordings that may wait while one is heard.
    """

    def __init__(self, queue_size: int) -> None:
        self.engine = SpeechEngine()
        self.worker = Scheduler(queue_size)

    def close(self, patience: float) -> None:
        """Take no more recordings and wait up to `patience` seconds for the one being heard."""
        self.worker.close(patience)


class _AbandonedError(Exception):
    """Nobody waits for the result."""


class SpeechTask:
    """A recording to be heard, to be used as a context manager.

    Leaving it, however, withdraws what still waits, ends what runs at its next second of sound
    or passage of speech, and closes the file (once its thread has let go of it).

    Args:
        ears: The speech engine.
        file: The recording.
        passage: Seconds that a segment may be long, 1 to 30; None: as long as is best.
    """

    def __init__(self, ears: SpeechWorker, file: BinaryIO, passage: float | None = None) -> None:
        self._ears = ears
        self._file = file
        self._passage = passage or PASSAGE
        self._loop = asyncio.get_running_loop()
        self._made: asyncio.Future[SpeechResult] = self._loop.create_future()
        self._began = False
        self._abandoned = False
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # In this order, the other way round than in `run`: one of the two closes the file.
        self._abandoned = True
        if not self._began:
            self._ears.worker.withdraw(self)
            self._file.close()
        self._made.cancel()

    async def result(self) -> SpeechResult:
        """Return what is said.

        Raises:
            ErrorResponse: 500, the recording cannot be decoded; 400, a library is missing;
                429, the queue is full; 503, the server is stopping.
        """
        self._ears.worker.submit(self)
        return await self._made

    def run(self) -> None:
        """Hear, in the worker's thread."""
        self._began = True
        try:
            made: SpeechResult | Exception = self._hear()
        except Exception as failure:  # noqa: BLE001 - raised again where it is awaited
            made = _refusal(failure)
        finally:
            self._file.close()
        self._put(made)

    def abort(self) -> None:
        """End soon, and tell whoever waits that the server stops."""
        self._abandoned = True
        self._put(ErrorResponse.with_message(503, "The server is stopping"))

    def _hear(self) -> SpeechResult:
        started = time.perf_counter()
        segments = []
        for segment in self._ears.engine.hear(self._samples(), self._passage):
            self._check_wanted()
            segments.append(segment)
        runtime_ms = round((time.perf_counter() - started) * 1000)
        return SpeechResult(tuple(segments), self._count / RATE, runtime_ms)

    def _samples(self) -> "Iterator[Samples]":
        for block in read_samples(self._file):
            self._check_wanted()
            self._count += len(block)
            yield block

    def _check_wanted(self) -> None:
        if self._abandoned:
            raise _AbandonedError

    def _put(self, made: SpeechResult | Exception) -> None:
        try:
            self._loop.call_soon_threadsafe(self._settle, made)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self._abandoned = True

    def _settle(self, made: SpeechResult | Exception) -> None:
        if self._made.done():
            return
        if isinstance(made, Exception):
            self._made.set_exception(made)
        else:
            self._made.set_result(made)


def _refusal(failure: Exception) -> Exception:
    match failure:
        case ErrorResponse() | _AbandonedError():
            return failure
        case VoxtralLocalError():
            return ErrorResponse.with_message(400, failure.message)
        case VoxtralAudioError():
            logger.info("A recording could not be decoded: %s", failure)
        case _:
            logger.error("The embedded engine failed to hear", exc_info=failure)
    return INFERENCE_ERROR
