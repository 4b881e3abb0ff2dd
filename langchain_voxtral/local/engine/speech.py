"""Speech to text on this machine: Whisper by faster-whisper, transcription and translation.

Whisper alone writes invented words where nobody speaks. So faster-whisper's voice detector finds
the speech first, and only this is transcribed.
"""

import importlib.util
import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_voxtral.audio import Recording
from langchain_voxtral.audio.chunking import AudioChunk, split_at_silence
from langchain_voxtral.audio.wav import SAMPLE_RATE, wav_header
from langchain_voxtral.errors import VoxtralMissingExtraError
from langchain_voxtral.local.engine.whisper import (
    Language,
    SpeechSettings,
    Whisper,
    has_speech,
)
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.protocol.segments import Segment, Word

if TYPE_CHECKING:
    from langchain_voxtral.local.engine.whisper import Samples

MAX_RECORDING_SECONDS = 3600
"""Length of a recording: silence is small when compressed, and takes as long as any sound."""
_TOO_LONG = ErrorResponse.with_message(
    413,
    f"The recording is longer than {MAX_RECORDING_SECONDS} seconds: send it in parts",
)

_LIBRARIES = ("faster_whisper", "python_multipart", "av")
_PIECE_SECONDS = 180.0
"""Sound that is processed at once. faster-whisper needs 1 MB a second while it computes features,
beside the 340 MB of the model: 4 GB for an hour."""
_LEAD_SECONDS = 0.25
"""Silence before a piece where the voice detector finds no speech else: it misses 14 of 303
recordings of one short word, and two with this. Other pieces get none, for it changes words."""
_QUIET, _MAX_GAIN = 0.1, 100.0
"""Sound whose peak is below `_QUIET` is amplified to it, by this factor at most: the detector
misses very faint speech, and does not take amplified noise for speech."""


def require_speech_support() -> None:
    """Return if the libraries for recordings are installed; they are not loaded.

    Raises:
        ErrorResponse: 405, as for what a model does not support, with the way to install them.
    """
    if missing := _missing_libraries():
        raise ErrorResponse.with_message(
            405,
            f"The embedded engine needs {missing[0]} for recordings, which is not installed: "
            'pip install "langchain-voxtral[local-speech]"',
        )


def has_speech_support() -> bool:
    """Return whether the libraries for recordings are installed; they are not loaded."""
    return not _missing_libraries()


def _missing_libraries() -> list[str]:
    return [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]


@dataclass(frozen=True, slots=True)
class SpeechResult:
    """What is said in a recording.

    Args:
        text: The transcript or translation; "" if nobody speaks.
        segments: Its passages, with words if asked for.
        language: The language that is spoken; None if nobody speaks.
        duration: Seconds of the recording.
        runtime_ms: Milliseconds that it took.
    """

    text: str
    segments: tuple[Segment, ...]
    language: Language | None
    duration: float
    runtime_ms: int


class SpeechEngine:
    """A Whisper model, loaded when it is needed. Use it from one thread at a time.

    Args:
        model: What `langchain_voxtral.local.weights.ensure_speech_model` takes.
    """

    def __init__(self, model: str | None = None) -> None:
        self._name = model
        self._model: Whisper | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        """The model's name, such as `whisper-base`."""
        name = self._name or os.environ.get("VOXTRAL_WHISPER") or "base"
        folder = Path(name).expanduser()
        return folder.absolute().name if folder.is_dir() else f"whisper-{name}"

    @property
    def is_loaded(self) -> bool:
        """Whether the model is loaded, so that `load` returns at once."""
        return self._model is not None

    def load(self) -> None:
        """Load the model once, fetching its weights if need be; any thread may call this.

        Raises:
            VoxtralMissingExtraError: A library is not installed.
            VoxtralLocalError: The weights cannot be had, or faster-whisper does not load. The next
                call tries again.
        """
        self._loaded()

    def transcribe(
        self,
        recording: Recording,
        settings: SpeechSettings | None = None,
        check: Callable[[], object] = lambda: None,
    ) -> SpeechResult:
        """Transcribe or translate a recording.

        The same recording gives the same words, unless a temperature is set. Memory does not grow
        with its length.

        Args:
            recording: The recording.
            settings: What to do.
            check: Called every few seconds; what it raises ends the work.

        Raises:
            ErrorResponse: 422, the model does not know the language; 413, the recording is too
                long.
            VoxtralAudioError: It cannot be decoded.
            VoxtralLocalError: The model cannot be had or loaded.

        Example:
            ```python
            from langchain_voxtral.audio import Recording
            from langchain_voxtral.local.engine.speech import SpeechEngine

            result = SpeechEngine().transcribe(Recording("tests/speech/jfk.flac"))
            print(result.language, result.text)
            ```
        """
        settings = settings or SpeechSettings()
        started = time.perf_counter()
        if (recording.duration or 0) > MAX_RECORDING_SECONDS:
            raise _TOO_LONG
        model = self._loaded()
        language = model.given_language(settings.language)
        texts: list[str] = []
        segments: list[Segment] = []
        duration = 0.0
        for piece in split_at_silence(
            recording, max_seconds=_PIECE_SECONDS, max_bytes=2**31, window_seconds=30
        ):
            check()
            duration = piece.end
            if duration > MAX_RECORDING_SECONDS:
                raise _TOO_LONG
            samples, lead = _samples(piece)
            if lead is None:
                continue
            found, spoken = model.transcribe(samples, language, settings, check)
            clock = _Clock(piece, lead)
            for one in found:
                language = spoken
                texts.append(one.text)
                segments += _segments(one, clock, settings)
        return SpeechResult(
            "".join(texts).strip(),
            tuple(segments),
            language if segments else None,
            duration,
            round((time.perf_counter() - started) * 1000),
        )

    def _loaded(self) -> Whisper:
        with self._lock:
            if self._model is None:
                if missing := _missing_libraries():
                    raise VoxtralMissingExtraError(missing[0], extra="local-speech")
                self._model = Whisper(self._name)
            return self._model


def _samples(piece: AudioChunk) -> tuple["Samples", float | None]:
    """Return samples, and how many seconds of silence lead them; None: there is no speech."""
    import numpy as np  # noqa: PLC0415 - comes with the extra

    pcm = np.frombuffer(piece.data, "<i2", offset=len(wav_header(0)))
    samples = pcm.astype(np.float32) * np.float32(1 / 32768)
    peak = float(abs(samples).max(initial=0.0))
    gain = min(_QUIET / peak, _MAX_GAIN) if 0 < peak < _QUIET else 1.0
    samples *= np.float32(gain)
    for lead in (0.0, _LEAD_SECONDS):
        led = np.concatenate((np.zeros(round(lead * SAMPLE_RATE), np.float32), samples))
        if has_speech(led):
            return led, lead
    return samples, None


# Segments


_PAUSE_SECONDS = 2.0
"""Silence that ends a segment: what the voice detector takes out."""


class _Clock:
    """Times in a piece, as times in the recording: in the piece, in order, of milliseconds."""

    def __init__(self, piece: AudioChunk, lead: float) -> None:
        self._zero = piece.start - lead
        self._latest = piece.start
        self._end = math.floor(piece.end * 1000) / 1000

    def at(self, seconds: float) -> float:
        time = round(self._zero + float(seconds), 3)
        self._latest = max(self._latest, min(time, self._end))
        return self._latest


def _segments(found: Any, clock: _Clock, settings: SpeechSettings) -> Iterator[Segment]:
    """Return faster-whisper's segment, in parts if it is long or has a long pause."""
    start = clock.at(found.start)
    words = [Word(one.word, clock.at(one.start), clock.at(one.end)) for one in found.words or ()]
    if not words:
        yield Segment(start, clock.at(found.end), found.text.strip())
        return
    for part in _cut(words, settings.max_segment_seconds):
        text = "".join(word.text for word in part).strip()
        stripped = tuple(replace(word, text=word.text.strip()) for word in part)
        kept = stripped if settings.has_words else ()
        yield Segment(part[0].start, part[-1].end, text, words=kept)


def _cut(words: Sequence[Word], max_seconds: float) -> Iterator[Sequence[Word]]:
    """Cut at the longest pause between words, and of equal ones at that nearest to the middle."""
    middle = (words[0].start + words[-1].end) / 2
    pauses = [round(after.start - word.end, 1) for word, after in pairwise(words)]
    is_short = words[-1].end - words[0].start <= max_seconds
    if not pauses or (is_short and max(pauses) < _PAUSE_SECONDS):
        yield words
        return
    at = max(range(1, len(words)), key=lambda at: (pauses[at - 1], -abs(words[at].start - middle)))
    yield from _cut(words[:at], max_seconds)
    yield from _cut(words[at:], max_seconds)
