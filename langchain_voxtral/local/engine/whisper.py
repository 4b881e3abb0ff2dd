"""Whisper, by faster-whisper: where speech is, its language, and its words."""

import math
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langchain_voxtral.audio.wav import SAMPLE_RATE
from langchain_voxtral.errors import VoxtralLocalError
from langchain_voxtral.local.engine.forks import delay_forks, protect_after_fork
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.weights import ensure_speech_model
from langchain_voxtral.protocol.transcription import LanguageSource

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

ENGLISH = "en"
_ISO_CODES = {"jw": "jv"}
"""Where Whisper's code of a language is not that of ISO 639: Javanese."""
_WHISPER_CODES = {iso: code for code, iso in _ISO_CODES.items()}
_WINDOW_SECONDS = 30
"""What Whisper processes at a time."""
_PAUSE_SECONDS = 2.0
"""Silence that ends a passage. Each passage is decoded on its own."""
_LEAD = SAMPLE_RATE // 4
"""Samples of silence before a piece, for the voice detector: it misses words of less than a second
that begin at once."""
_SURE = 0.5
"""Probability from which a language is detected; below it is assumed."""
_MAX_COMPRESSION = 2.4
"""How well zlib compresses the text of a window at most, as Whisper's authors set it. A refrain has
3, too; but a decoder that loops never ends a window by itself."""
_ATTEMPTS: tuple[dict[str, Any], ...] = (
    {},
    {"beam_size": 1},
    {"beam_size": 1, "repetition_penalty": 1.2},
)
"""How a passage is decoded, and decoded again if there is a loop. Other texts become worse by it:
with one beam instead of five there are 1.2 times as many word errors."""


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


class Whisper:
    """A model, loaded by faster-whisper.

    Args:
        name: What `ensure_speech_model` takes.

    Raises:
        VoxtralLocalError: faster-whisper does not load, or the model cannot be had or loaded.
    """

    def __init__(self, name: str | None) -> None:
        whisper_class = _import_whisper()
        folder = ensure_speech_model(name)
        try:
            with delay_forks():
                self.server = whisper_class(
                    folder, device="cpu", compute_type="int8", cpu_threads=_thread_count()
                )
                protect_after_fork(self)  # which wants the name `server`
        except Exception as error:
            raise VoxtralLocalError(
                f"faster-whisper could not load {folder}: {error}. Is it a Whisper model for "
                "CTranslate2, complete, and is there memory for it?"
            ) from error

    def given_language(self, asked: str | None) -> Language | None:
        """Return the language that a request names, or the only one of the model, else None."""
        if asked is not None:
            code = _ISO_CODES.get(asked, asked)
            if code not in (known := self._languages()):
                raise _unknown_language(asked, known)
            return Language(code, None, "asked")
        return None if self.server.model.is_multilingual else Language(ENGLISH, None, "assumed")

    def detect_language(self, samples: "Samples") -> Language:
        """Return the language that is spoken at the beginning."""
        window = samples[: _WINDOW_SECONDS * SAMPLE_RATE]
        code, probability, _ = self.server.detect_language(window)
        source: LanguageSource = "detected" if probability >= _SURE else "assumed"
        return Language(_ISO_CODES.get(code, code), round(float(probability), 3), source)

    def transcribe(
        self,
        samples: "Samples",
        language: Language,
        settings: SpeechSettings,
        check: Callable[[], object],
    ) -> list[Any]:
        """Return faster-whisper's segments of a passage."""
        segments: list[Any] = []
        for attempt in _ATTEMPTS:
            found, _ = self.server.transcribe(
                samples,
                language=_WHISPER_CODES.get(language.code, language.code),
                # English into English may change the words.
                task="transcribe" if language.code == ENGLISH else settings.task,
                initial_prompt=settings.prompt or None,
                # Not the library's list: with it, windows that fail are decoded again at random.
                temperature=[settings.temperature],
                # A window that goes wrong does not lead the next ones astray.
                condition_on_previous_text=False,
                word_timestamps=settings.has_words or settings.max_segment_seconds < math.inf,
                **attempt,
            )
            segments.clear()
            for segment in found:
                check()
                segments.append(segment)
            if not self._has_loop(segments):
                break
        return segments

    def _has_loop(self, segments: Iterable[Any]) -> bool:
        """Return whether a window repeats itself up to the limit of tokens."""
        tokens = Counter[int]()
        for one in segments:
            if one.compression_ratio > _MAX_COMPRESSION:
                tokens[one.seek] += len(one.tokens)
        return any(count >= self.server.max_length // 2 for count in tokens.values())

    def _languages(self) -> list[str]:
        """Return the codes of the languages that the vocabulary has: only large models know all."""
        vocabulary = self.server.hf_tokenizer
        codes = self.server.supported_languages
        known = [code for code in codes if vocabulary.token_to_id(f"<|{code}|>") is not None]
        return sorted(_ISO_CODES.get(code, code) for code in known)


@delay_forks()
def _import_whisper() -> Any:
    try:
        from faster_whisper import WhisperModel  # noqa: PLC0415 - an extra
        from faster_whisper.vad import get_vad_model  # noqa: PLC0415 - the same

        get_vad_model()  # it needs onnxruntime
    except Exception as error:
        raise VoxtralLocalError(
            f"The embedded engine cannot transcribe: faster-whisper does not load ({error}). "
            'Install it again: pip install "langchain-voxtral[local-speech]".'
        ) from error
    return WhisperModel


def _thread_count() -> int:
    """Return half the cores, and at most four: the text model has others to itself."""
    return max(1, min(4, (os.cpu_count() or 2) // 2))


def find_passages(samples: "Samples") -> list[tuple[int, int]]:
    """Return where passages of speech start and end, in samples."""
    import numpy as np  # noqa: PLC0415 - comes with the extra
    from faster_whisper.vad import VadOptions, get_speech_timestamps  # noqa: PLC0415 - the same

    options = VadOptions(min_silence_duration_ms=round(_PAUSE_SECONDS * 1000))
    padded = np.concatenate((np.zeros(_LEAD, np.float32), samples))
    return [
        (max(found["start"] - _LEAD, 0), found["end"] - _LEAD)
        for found in get_speech_timestamps(padded, options)
    ]


def _unknown_language(language: str, known: Sequence[str]) -> ErrorResponse:
    detail = {
        "type": "value_error",
        "loc": ["body", "language"],
        "msg": "Value error, the embedded engine's speech model does not know this language; the "
        f"codes that it knows: {', '.join(known)}",
        "input": language,
    }
    return ErrorResponse(422, {"detail": [detail]})
