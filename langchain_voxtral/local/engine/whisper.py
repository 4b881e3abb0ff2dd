"""Whisper, by faster-whisper: what is said, in which language, and when."""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from langchain_voxtral.errors import VoxtralLocalError
from langchain_voxtral.local.engine.forks import delay_forks, protect_after_fork, wait_for_forks
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.weights import ensure_speech_model, import_faster_whisper
from langchain_voxtral.protocol.transcription import LanguageSource

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

ENGLISH = "en"
_ISO_CODES = {"jw": "jv"}
"""Where Whisper's code of a language is not that of ISO 639: Javanese."""
_WHISPER_CODES = {iso: code for code, iso in _ISO_CODES.items()}
MAX_SEGMENT_SECONDS = 15
"""A subtitle that is longer cannot be read at once."""
_SURE = 0.5
"""Probability from which a language is detected; below it is assumed."""
_MAX_COMPRESSION = 2.4
"""How well zlib compresses the text of a window at most, as Whisper's authors set it. A refrain has
3, too; but a decoder that loops never ends a window by itself."""
_AGAINST_LOOPS: tuple[dict[str, float], ...] = ({"beam_size": 1}, {"repetition_penalty": 1.2})
"""How sound is decoded again as long as there is a loop. One beam instead of five ends some, and
makes 1.2 times as many errors in other words; the penalty ends all, and spoils what is repeated."""


@dataclass(frozen=True, slots=True)
class SpeechSettings:
    """What a request asks for.

    Args:
        task: `transcribe`, or `translate` into English.
        language: The code of the language that is spoken; None detects it.
        prompt: Text that the decoder takes for what was said before: names, spellings, style. Of
            a long one Whisper takes the last 223 tokens.
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
    max_segment_seconds: float = MAX_SEGMENT_SECONDS


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
                # On a graphics card, missing libraries would show only while it decodes.
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

    def transcribe(
        self,
        samples: "Samples",
        language: Language | None,
        settings: SpeechSettings,
        check: Callable[[], object],
    ) -> tuple[list[Any], Language]:
        """Return faster-whisper's segments, with words, and the language; None detects it."""
        self.server.latest = None  # no window that was almost the same, in another recording
        segments, spoken = self._decode(samples, language, settings, check)
        for options in _AGAINST_LOOPS:
            if self._has_loop(segments):
                segments, _ = self._decode(samples, spoken, settings, check, **options)
        return segments, spoken

    def _decode(
        self,
        samples: "Samples",
        language: Language | None,
        settings: SpeechSettings,
        check: Callable[[], object],
        **options: Any,
    ) -> tuple[list[Any], Language]:
        # English into English may change the words.
        is_english = language is not None and language.code == ENGLISH
        with delay_forks():
            found, info = self.server.transcribe(
                samples,
                language=_WHISPER_CODES.get(language.code, language.code) if language else None,
                task="transcribe" if is_english else settings.task,
                initial_prompt=settings.prompt or None,
                vad_filter=True,
                word_timestamps=True,
                # Not the library's list: with it, windows that fail are decoded again at random.
                temperature=[settings.temperature],
                # A window that goes wrong does not lead the next ones astray.
                condition_on_previous_text=False,
                **options,
            )
        if language is None:
            language = _detected(info.language, float(info.language_probability))
            if language.code == ENGLISH and settings.task == "translate":
                return self._decode(samples, language, settings, check, **options)
        segments = []
        for segment in _decode_each(found):
            check()
            segments.append(segment)
        return segments, language

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
    """Return faster-whisper's class, but it encodes a window once.

    The library encodes the first one for its language, and again for its words, which is half of
    the work. Where the sound ends in it, one frame of the 3000 differs: that of the padding.
    """
    try:
        model_class: Any = import_faster_whisper().WhisperModel
        from faster_whisper.vad import get_vad_model  # noqa: PLC0415 - an extra

        get_vad_model()  # it needs onnxruntime
    except Exception as error:
        raise VoxtralLocalError(
            f"The embedded engine cannot transcribe: faster-whisper does not load ({error}). "
            'Install it again: pip install "langchain-voxtral[local-speech]".'
        ) from error

    class EncodingOnce(model_class):  # type: ignore[misc]
        latest: tuple[Any, Any] | None = None

        def encode(self, features: Any) -> Any:
            if self.latest is not None:
                window, encoded = self.latest
                if window.shape == features.shape and (window != features).any(0).sum() <= 1:
                    return encoded
            encoded = super().encode(features)
            self.latest = features, encoded
            return encoded

    return EncodingOnce


def _thread_count() -> int:
    """Return half the cores, and at most four: the text model has others to itself."""
    return max(1, min(4, (os.cpu_count() or 2) // 2))


def _decode_each(segments: Iterable[Any]) -> Iterator[Any]:
    """Yield segments, which are decoded here; between two of them other threads may fork."""
    remaining = iter(segments)
    while True:
        wait_for_forks()
        with delay_forks():
            segment = next(remaining, None)
        if segment is None:
            return
        yield segment


@delay_forks()
def has_speech(samples: "Samples") -> bool:
    """Return whether faster-whisper's voice detector finds speech."""
    from faster_whisper.vad import get_speech_timestamps  # noqa: PLC0415 - an extra

    return bool(get_speech_timestamps(samples))


def _detected(code: str, probability: float) -> Language:
    source: LanguageSource = "detected" if probability >= _SURE else "assumed"
    return Language(_ISO_CODES.get(code, code), round(probability, 3), source)


def _unknown_language(language: str, known: Sequence[str]) -> ErrorResponse:
    detail = {
        "type": "value_error",
        "loc": ["body", "language"],
        "msg": "Value error, the embedded engine's speech model does not know this language; the "
        f"codes that it knows: {', '.join(known)}",
        "input": language,
    }
    return ErrorResponse(422, {"detail": [detail]})
