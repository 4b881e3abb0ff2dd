"""Speech to text on this machine: Moonshine tiny, for English only.

Its weights are in the wheel of the `local-speech` extra; nothing is downloaded. Translation into
English is transcription, since the speech is English already.
"""

import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_voxtral.audio.wav import SAMPLE_RATE
from langchain_voxtral.errors import VoxtralLocalError, VoxtralMissingExtraError
from langchain_voxtral.local.engine.llama import protect_after_fork
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.protocol.segments import Segment

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

SPEECH_MODEL = "moonshine-tiny-en"
SPEECH_IDS = ("mistralai/Voxtral-Mini-3B-2507", SPEECH_MODEL)
"""The model ids that requests with a recording may name."""
LANGUAGE = "en"

SEGMENT_SECONDS = 10.0
"""Up to this length neighbouring lines become one segment. Line by line, a second or two at a time,
the model has too little context: it gets every sixth word of short sentences wrong."""

_LIBRARIES = ("moonshine_voice", "python_multipart", "av")
_PAUSE_SECONDS = 1.0
"""Silence that ends a segment, however short it is."""
_MAX_LINE_SECONDS = 15.0
"""Speech without a pause after which the detector cuts; Moonshine's own limit."""
_WINDOW = 45 * SAMPLE_RATE
"""Samples that are searched together: more than the longest segment and line. Always as many, so
that the words do not depend on the blocks in which a recording comes."""
_QUIET, _MAX_GAIN = 0.1, 100.0
"""Sound whose peak is below `_QUIET` is amplified to it, by this factor at most: the detector
misses very faint speech, and does not take amplified noise for speech."""
_STRAY_MARKS = re.compile(r"^[?!.,;:]+\s+")
"""Marks that no sentence begins with."""


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


@dataclass(eq=False)
class _Models:
    """Moonshine's recogniser, and a factory of voice detectors.

    `protect_after_fork` wants the name `server`: a forked child must not free it. A detector has no
    weights, but remembers what it processed last; with a new one for each window, recordings do not
    change each other's lines.
    """

    server: Any
    detector: Callable[[], Any]


class SpeechEngine:
    """Moonshine, loaded for the first recording. It is not thread-safe."""

    name = SPEECH_MODEL

    def __init__(self, model: str | None = None) -> None:  # noqa: ARG002 - it has one model
        self._models: _Models | None = None

    @property
    def is_loaded(self) -> bool:
        """Whether the model is loaded."""
        return self._models is not None

    def load(self) -> None:
        """Load the model.

        Raises:
            VoxtralMissingExtraError: A library is not installed.
            VoxtralLocalError: Moonshine does not run on this machine.
        """
        if missing := _missing_libraries():
            raise VoxtralMissingExtraError(missing[0], extra="local-speech")
        self._load()

    def transcribe(
        self, blocks: "Iterable[Samples]", segment_seconds: float = SEGMENT_SECONDS
    ) -> Iterator[Segment]:
        """Yield the segments of a recording while it is read.

        A segment is one line that the voice detector finds, or several with short pauses between
        them. Memory does not grow with the recording, and closing the iterator ends the work.

        Args:
            blocks: Mono samples at 16 kHz, from -1 to 1, in blocks of any length.
            segment_seconds: Longest segment, 1 to 30; a longer line stays whole.

        Raises:
            VoxtralLocalError: Moonshine is not installed or does not run on this machine.
        """
        import numpy as np  # noqa: PLC0415 - comes with the extra

        models = self._load()
        pending = np.zeros(0, np.float32)
        start, is_last = 0, False
        blocks = iter(blocks)
        while not is_last:
            pending = _fill_window(pending, blocks)
            is_last = len(pending) <= _WINDOW
            window = _amplify(pending[:_WINDOW])
            segments = _join_lines(_find_lines(models.detector, window), segment_seconds)
            settled = len(window) if is_last else _settled_samples(segments, len(window))
            for first, last in segments:
                if last <= settled and (text := _recognize(models.server, window[first:last])):
                    begin, end = (start + first) / SAMPLE_RATE, (start + last) / SAMPLE_RATE
                    yield Segment(begin, end, text)
            start += settled
            pending = pending[settled:]

    def _load(self) -> _Models:
        if self._models is None:
            self._models = _load_moonshine()
            protect_after_fork(self._models)
        return self._models


def _load_moonshine() -> _Models:
    try:
        from moonshine_voice import ModelArch, Transcriber, get_model_path  # noqa: PLC0415 - extra

        path = str(get_model_path("tiny-en"))
        options = {"skip_transcription": "true", "vad_max_segment_duration": str(_MAX_LINE_SECONDS)}
        detector = partial(Transcriber, path, ModelArch.TINY, options=options)
        recogniser = Transcriber(path, ModelArch.TINY, options={"vad_threshold": "0"})
    except Exception as error:
        raise VoxtralLocalError(
            f"The embedded engine cannot hear: moonshine-voice does not load ({error}). It needs "
            'glibc 2.34, macOS 15 or Windows, and pip install "langchain-voxtral[local-speech]".'
        ) from error
    return _Models(recogniser, detector)


def _fill_window(pending: "Samples", blocks: "Iterator[Samples]") -> "Samples":
    """Return more samples than a window has, or all that are left."""
    import numpy as np  # noqa: PLC0415 - comes with the extra

    parts, size = [pending], len(pending)
    while size <= _WINDOW and (block := next(blocks, None)) is not None:
        parts.append(block)
        size += len(block)
    return np.concatenate(parts)


def _amplify(samples: "Samples") -> "Samples":
    peak = float(abs(samples).max(initial=0.0))
    return samples * min(_QUIET / peak, _MAX_GAIN) if 0 < peak < _QUIET else samples


def _find_lines(detector: Callable[[], Any], samples: "Samples") -> list[tuple[int, int]]:
    """Return where there is speech; no sample is in two lines."""
    with detector() as voice:
        # Detectors differ in how they begin; a second of silence evens that out.
        padded = [0.0] * SAMPLE_RATE + samples.tolist()
        found = voice.transcribe_without_streaming(padded, SAMPLE_RATE).lines
    lines: list[tuple[int, int]] = []
    for line in found:
        first = round((line.start_time - 1) * SAMPLE_RATE)
        last = round((line.start_time - 1 + line.duration) * SAMPLE_RATE)
        # A line begins a little before its speech, and a long one is cut with an overlap.
        first = max(first, lines[-1][1] if lines else 0)
        if first < min(last, len(samples)):
            lines.append((first, min(last, len(samples))))
    return lines


def _join_lines(lines: Sequence[tuple[int, int]], max_seconds: float) -> list[tuple[int, int]]:
    segments: list[tuple[int, int]] = []
    for first, last in lines:
        begin, end = segments[-1] if segments else (first, first)
        is_close = first - end <= _PAUSE_SECONDS * SAMPLE_RATE
        if segments and is_close and last - begin <= max_seconds * SAMPLE_RATE:
            segments[-1] = (begin, last)
        else:
            segments.append((first, last))
    return segments


def _settled_samples(segments: Sequence[tuple[int, int]], size: int) -> int:
    """Return how much of a window is done: the last segment may go on in the next one."""
    begin, end = segments[-1] if segments else (0, 0)
    pause = size - _PAUSE_SECONDS * SAMPLE_RATE
    return begin if begin > 0 and end > pause else max(end, round(pause))


def _recognize(recogniser: Any, samples: "Samples") -> str:
    lines = recogniser.transcribe_without_streaming(samples.tolist(), SAMPLE_RATE).lines
    return _STRAY_MARKS.sub("", " ".join(line.text.strip() for line in lines)).strip()
