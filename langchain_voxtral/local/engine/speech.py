"""Speech to text on this machine: Moonshine tiny, which hears English and nothing else.

Its weights lie in the wheel of the `local-speech` extra; nothing is ever downloaded. A translation
into English of what is English already is its transcription.
"""

import importlib.util
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from langchain_voxtral.errors import VoxtralLocalError
from langchain_voxtral.local.engine.llama import protect_after_fork
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.protocol.transcription import Segment

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

__all__ = [
    "LANGUAGE",
    "PASSAGE",
    "RATE",
    "SPEECH_IDS",
    "SPEECH_MODEL",
    "SpeechEngine",
    "has_speech_support",
    "require_extra",
]

SPEECH_MODEL = "moonshine-tiny-en"
"""The real name of the model that hears."""

SPEECH_IDS = ("mistralai/Voxtral-Mini-3B-2507", SPEECH_MODEL)
"""The model ids that requests with a recording may name."""

LANGUAGE = "en"
RATE = 16_000
"""Samples a second of what the engine takes."""

_LIBRARIES = ("moonshine_voice", "python_multipart")

PASSAGE = 10.0
"""Seconds that neighbouring lines are joined up to. Heard line by line, a second or two at a
time, the model has too little to go by: it mistakes every sixth word of short sentences."""

_PAUSE = 1.0
"""Seconds of silence that end a passage, however short it is."""

_LONGEST_LINE = 15.0
"""Seconds of speech without a pause after which the detector cuts; Moonshine's own limit."""

_WINDOW = 45 * RATE
"""Samples that are looked at together: more than the longest passage and line. Always as many,
so that a recording's words do not hang on the blocks that it comes in."""

_QUIET = 0.1
_MOST_GAIN = 100.0
"""A recording whose loudest sample is below `_QUIET` is raised to it, by this factor at most:
the detector misses speech that is very faint, and takes amplified noise for none."""

_STRAY = re.compile(r"^[?!.,;:]+\s+")
"""Marks that no sentence begins with. They hold no word, unlike the "You" that the model makes
of silence; that never comes up, since only what the detector takes for speech is heard."""


def require_extra() -> None:
    """Check that what recordings need is installed, without loading it.

    Raises:
        ErrorResponse: 405, as of what a model does not support, with the way to install it.
    """
    if missing := _missing_libraries():
        raise ErrorResponse.with_message(
            405,
            f"The embedded engine needs {missing[0]} for recordings, which is not installed: "
            'pip install "langchain-voxtral[local-speech,audio]"',
        )


def has_speech_support() -> bool:
    """Tell whether what recordings need is installed, without loading it."""
    return not _missing_libraries()


def _missing_libraries() -> list[str]:
    return [name for name in _LIBRARIES if importlib.util.find_spec(name) is None]


@dataclass(eq=False)
class _Loaded:
    """Moonshine, named as `protect_after_fork` wants it: a forked child must not free it.

    Args:
        server: The model, which hears words.
        detector: Makes what finds lines of speech. It has no weights and is made in no time,
            but remembers what it heard last: every look gets a new one, so that no recording
            changes another's lines.
    """

    server: Any
    detector: Callable[[], Any]


class SpeechEngine:
    """Moonshine, loaded when the first recording comes. Not thread-safe: a worker owns it.

    Example:
        ```python
        import numpy as np
        from langchain_voxtral.local.engine.speech import SpeechEngine

        silence = [np.zeros(16_000, np.float32)]
        assert list(SpeechEngine().hear(silence)) == []
        ```
    """

    def __init__(self) -> None:
        self._loaded: _Loaded | None = None

    def hear(self, blocks: "Iterable[Samples]", passage: float = PASSAGE) -> Iterator[Segment]:
        """Yield what is said, passage by passage, while the recording is read.

        A passage is one line that Moonshine's voice detector finds, or several with short
        pauses between them; its bounds are the detector's. Memory does not grow with the
        recording, and whoever stops iterating stops the work.

        Args:
            blocks: Mono samples, 16 000 a second, from -1 to 1, in blocks of any length.
            passage: Seconds that a passage may be long, 1 to 30; a longer line stays whole.

        Raises:
            VoxtralLocalError: Moonshine is not installed or does not run on this machine.
        """
        import numpy as np  # noqa: PLC0415 - comes with the extra

        loaded = self._load()
        waiting = np.zeros(0, np.float32)
        begin, ended = 0, False
        blocks = iter(blocks)
        while not ended:
            waiting = _filled(waiting, blocks)
            ended = len(waiting) <= _WINDOW
            audible = _raised(waiting[:_WINDOW])
            passages = _passages(_lines(loaded.detector, audible), passage)
            settled = len(audible) if ended else _settled(passages, len(audible))
            for first, last in passages:
                if last <= settled and (text := _words(loaded.server, audible[first:last])):
                    yield Segment((begin + first) / RATE, (begin + last) / RATE, text)
            begin += settled
            waiting = waiting[settled:]

    def _load(self) -> _Loaded:
        if self._loaded is None:
            self._loaded = _moonshine()
            protect_after_fork(self._loaded)
        return self._loaded


def _moonshine() -> _Loaded:
    try:
        from moonshine_voice import ModelArch, Transcriber, get_model_path  # noqa: PLC0415 - extra

        path = str(get_model_path("tiny-en"))
        finding = {"skip_transcription": "true", "vad_max_segment_duration": str(_LONGEST_LINE)}
        detector = partial(Transcriber, path, ModelArch.TINY, options=finding)
        model = Transcriber(path, ModelArch.TINY, options={"vad_threshold": "0"})
    except Exception as error:
        raise VoxtralLocalError(
            f"The embedded engine cannot hear: moonshine-voice does not load ({error}). It needs "
            'glibc 2.34, macOS 15 or Windows, and pip install "langchain-voxtral[local-speech]".'
        ) from error
    return _Loaded(model, detector)


def _filled(waiting: "Samples", blocks: "Iterator[Samples]") -> "Samples":
    """Return more samples than a window has, or all that are left."""
    import numpy as np  # noqa: PLC0415 - comes with the extra

    parts, size = [waiting], len(waiting)
    while size <= _WINDOW and (block := next(blocks, None)) is not None:
        parts.append(block)
        size += len(block)
    return np.concatenate(parts)


def _raised(samples: "Samples") -> "Samples":
    loudest = float(abs(samples).max(initial=0.0))
    if not 0 < loudest < _QUIET:
        return samples
    return samples * min(_QUIET / loudest, _MOST_GAIN)


def _lines(detector: Callable[[], Any], samples: "Samples") -> list[tuple[int, int]]:
    """Return where there is speech; no sample is in two lines."""
    with detector() as voice:
        # What it begins with differs from one to the next; a second of silence evens that out.
        led_in = [0.0] * RATE + samples.tolist()
        found = voice.transcribe_without_streaming(led_in, RATE).lines
    lines: list[tuple[int, int]] = []
    for line in found:
        first = round((line.start_time - 1) * RATE)
        last = round((line.start_time - 1 + line.duration) * RATE)
        # A line begins a little before its speech, and a long one is cut with an overlap.
        first = max(first, lines[-1][1] if lines else 0)
        if first < min(last, len(samples)):
            lines.append((first, min(last, len(samples))))
    return lines


def _passages(lines: Sequence[tuple[int, int]], longest: float) -> list[tuple[int, int]]:
    passages: list[tuple[int, int]] = []
    for first, last in lines:
        begin, end = passages[-1] if passages else (first, first)
        if passages and first - end <= _PAUSE * RATE and last - begin <= longest * RATE:
            passages[-1] = (begin, last)
        else:
            passages.append((first, last))
    return passages


def _settled(passages: Sequence[tuple[int, int]], size: int) -> int:
    """Return up to where a window is done with: a last passage may go on in the next one."""
    begin, end = passages[-1] if passages else (0, 0)
    if begin > 0 and end > size - _PAUSE * RATE:
        return begin
    return max(end, round(size - _PAUSE * RATE))


def _words(model: Any, samples: "Samples") -> str:
    lines = model.transcribe_without_streaming(samples.tolist(), RATE).lines
    return _STRAY.sub("", " ".join(line.text.strip() for line in lines)).strip()
