"""Speech to text on this machine: Whisper by faster-whisper, transcription and translation.

Whisper alone writes invented words where nobody speaks. So a voice detector (Silero's, which comes
with faster-whisper) finds the passages of speech first, and only these are transcribed.
"""

import importlib.util
import math
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langchain_voxtral.audio import Recording
from langchain_voxtral.audio.chunking import AudioChunk, split_at_silence
from langchain_voxtral.audio.wav import SAMPLE_RATE, wav_header
from langchain_voxtral.errors import VoxtralLocalError, VoxtralMissingExtraError
from langchain_voxtral.local.engine.llama import protect_after_fork
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.weights import ensure_speech_model
from langchain_voxtral.protocol.segments import Segment, Word
from langchain_voxtral.protocol.transcription import LanguageSource

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

ENGLISH = "en"
_ISO_CODES = {"jw": "jv"}
"""Where Whisper's code of a language is not that of ISO 639: Javanese."""
_WHISPER_CODES = {iso: code for code, iso in _ISO_CODES.items()}

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
_WINDOW_SECONDS = 30
"""What Whisper processes at a time."""
_PAUSE_SECONDS = 2.0
"""Silence that ends a passage. Each passage is decoded on its own."""
_LEAD = SAMPLE_RATE // 4
"""Samples of silence before a piece, for the voice detector: it misses words of less than a second
that begin at once."""
_QUIET, _MAX_GAIN = 0.1, 100.0
"""Sound whose peak is below `_QUIET` is amplified to it, by this factor at most: the detector
misses very faint speech, and does not take amplified noise for speech."""
_SURE = 0.5
"""Probability from which a language is detected; below it is assumed."""
_MAX_COMPRESSION = 3.0
"""How well zlib compresses the text of a window at most. Real texts that repeat themselves have
2.4, loops of the decoder 4.6 to 14."""


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
class SpeechSettings:
    """What a request asks for.

    Args:
        task: `transcribe`, or `translate` into English.
        language: The code of the language that is spoken; None detects it.
        prompt: Text that the decoder takes for what was said before: names, spellings, style.
        temperature: 0 takes the most probable words. Above, words are drawn at random, and
            another time they are others.
        has_words: Find the times of words.
        max_segment_seconds: Longest segment; longer ones are cut between words.
    """

    task: Literal["transcribe", "translate"] = "transcribe"
    language: str | None = None
    prompt: str = ""
    temperature: float = 0
    has_words: bool = False
    max_segment_seconds: float = math.inf


class Language(NamedTuple):
    """The language that is spoken, how probable it is, and how it is known."""

    code: str
    probability: float | None
    source: LanguageSource


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
        self._model: _Model | None = None
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
            check: Called after each segment; what it raises ends the work.

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
            found, piece_language = model.transcribe(_samples(piece), settings, language, check)
            if found:
                language = piece_language
            clock = _Clock(piece.start, piece.end)
            for one in found:
                texts.append(one.text)
                segments += _segments(one, clock, settings)
        return SpeechResult(
            "".join(texts).strip(),
            tuple(segments),
            language if segments else None,
            duration,
            round((time.perf_counter() - started) * 1000),
        )

    def _loaded(self) -> "_Model":
        with self._lock:
            if self._model is None:
                if missing := _missing_libraries():
                    raise VoxtralMissingExtraError(missing[0], extra="local-speech")
                self._model = _load(self._name)
            return self._model


@dataclass(eq=False)
class _Model:
    """faster-whisper's model; `protect_after_fork` wants the name `server` for it."""

    server: Any

    def given_language(self, asked: str | None) -> Language | None:
        """Return the language that a request names, or the only one of the model, else None."""
        if asked is not None:
            code = _ISO_CODES.get(asked, asked)
            if code not in (known := self._languages()):
                raise _unknown_language(asked, known)
            return Language(code, None, "asked")
        return None if self.server.model.is_multilingual else Language(ENGLISH, None, "assumed")

    def transcribe(
        self,
        samples: "Samples",
        settings: SpeechSettings,
        language: Language | None,
        check: Callable[[], object],
    ) -> tuple[list[Any], Language | None]:
        """Return faster-whisper's segments, and the language, which is detected if not given."""
        passages = _find_speech(samples)
        if not passages:
            return [], language
        language = language or self._detect_language(samples[passages[0]["start"] :])
        options = {
            "language": _WHISPER_CODES.get(language.code, language.code),
            # English into English may change the words.
            "task": "transcribe" if language.code == ENGLISH else settings.task,
            "initial_prompt": settings.prompt or None,
            # Not the library's list: with it, windows that fail are decoded again at random.
            "temperature": [settings.temperature],
            # A window that goes wrong does not lead the next ones astray.
            "condition_on_previous_text": False,
            "word_timestamps": settings.has_words or settings.max_segment_seconds < math.inf,
            "clip_timestamps": [
                passage[side] / SAMPLE_RATE for passage in passages for side in ("start", "end")
            ],
        }
        # A loop is decoded once more, with a penalty that makes other texts worse.
        for penalty in (1.0, 1.1):
            found, _ = self.server.transcribe(samples, repetition_penalty=penalty, **options)
            segments = []
            for segment in found:
                check()
                segments.append(segment)
            if all(one.compression_ratio <= _MAX_COMPRESSION for one in segments):
                break
        return segments, language

    def _languages(self) -> list[str]:
        """Return the codes of the languages that the vocabulary has: only large models know all."""
        vocabulary = self.server.hf_tokenizer
        codes = self.server.supported_languages
        known = [code for code in codes if vocabulary.token_to_id(f"<|{code}|>") is not None]
        return sorted(_ISO_CODES.get(code, code) for code in known)

    def _detect_language(self, samples: "Samples") -> Language:
        window = samples[: _WINDOW_SECONDS * SAMPLE_RATE]
        code, probability, _ = self.server.detect_language(window)
        source: LanguageSource = "detected" if probability >= _SURE else "assumed"
        return Language(_ISO_CODES.get(code, code), round(float(probability), 3), source)


def _load(name: str | None) -> _Model:
    try:
        from faster_whisper import WhisperModel  # noqa: PLC0415 - an extra
        from faster_whisper.vad import get_vad_model  # noqa: PLC0415 - the same

        get_vad_model()
    except Exception as error:
        raise VoxtralLocalError(
            f"The embedded engine cannot transcribe: faster-whisper does not load ({error}). "
            'Install it again: pip install "langchain-voxtral[local-speech]".'
        ) from error
    folder = ensure_speech_model(name)
    try:
        whisper = WhisperModel(
            folder, device="cpu", compute_type="int8", cpu_threads=_thread_count()
        )
    except Exception as error:
        raise VoxtralLocalError(
            f"faster-whisper could not load {folder}: {error}. Is it a Whisper model for "
            "CTranslate2, complete, and is there memory for it?"
        ) from error
    model = _Model(whisper)
    protect_after_fork(model)
    return model


def _thread_count() -> int:
    """Return half the cores, and at most four: the text model has others to itself."""
    return max(1, min(4, (os.cpu_count() or 2) // 2))


def _find_speech(samples: "Samples") -> list[dict[str, int]]:
    """Return where passages start and end, in samples."""
    import numpy as np  # noqa: PLC0415 - comes with the extra
    from faster_whisper.vad import VadOptions, get_speech_timestamps  # noqa: PLC0415 - the same

    options = VadOptions(min_silence_duration_ms=round(_PAUSE_SECONDS * 1000))
    padded = np.concatenate((np.zeros(_LEAD, np.float32), samples))
    return [
        {side: min(max(at - _LEAD, 0), len(samples)) for side, at in passage.items()}
        for passage in get_speech_timestamps(padded, options)
    ]


def _samples(piece: AudioChunk) -> "Samples":
    import numpy as np  # noqa: PLC0415 - comes with the extra

    pcm = np.frombuffer(piece.data, "<i2", offset=len(wav_header(0)))
    samples = pcm.astype(np.float32) * np.float32(1 / 32768)
    peak = float(abs(samples).max(initial=0.0))
    gain = min(_QUIET / peak, _MAX_GAIN) if 0 < peak < _QUIET else 1.0
    return samples * np.float32(gain)


def _unknown_language(language: str, known: Iterable[str]) -> ErrorResponse:
    detail = {
        "type": "value_error",
        "loc": ["body", "language"],
        "msg": "Value error, the embedded engine's speech model does not know this language; the "
        f"codes that it knows: {', '.join(known)}",
        "input": language,
    }
    return ErrorResponse(422, {"detail": [detail]})


# Segments


class _Clock:
    """Times in a piece, as times in the recording: in the piece, in order, of milliseconds."""

    def __init__(self, start: float, end: float) -> None:
        self._start = self._latest = start
        self._end = math.floor(end * 1000) / 1000

    def at(self, seconds: float) -> float:
        time = round(self._start + float(seconds), 3)
        self._latest = max(self._latest, min(time, self._end))
        return self._latest


def _segments(found: Any, clock: _Clock, settings: SpeechSettings) -> Iterator[Segment]:
    start = clock.at(found.start)
    words = [Word(one.word, clock.at(one.start), clock.at(one.end)) for one in found.words or ()]
    whole = Segment(start, clock.at(found.end), found.text.strip(), words=tuple(words))
    for segment in _cut(whole, settings.max_segment_seconds):
        stripped = (replace(word, text=word.text.strip()) for word in segment.words)
        yield replace(segment, words=tuple(stripped) if settings.has_words else ())


def _cut(segment: Segment, max_seconds: float) -> Iterator[Segment]:
    """Cut a segment that is too long between its words."""
    if segment.end - segment.start <= max_seconds or not segment.words:
        yield segment
        return
    parts: list[list[Word]] = []
    for word in segment.words:
        if parts and word.end - parts[-1][0].start <= max_seconds:
            parts[-1].append(word)
        else:
            parts.append([word])
    for words in parts:
        text = "".join(word.text for word in words).strip()
        yield Segment(words[0].start, words[-1].end, text, words=tuple(words))
