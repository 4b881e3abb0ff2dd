"""What the speech engine asks of faster-whisper, and makes of its segments.

faster-whisper's model is scripted here; its voice detector is real.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from support.speech_samples import JFK, joined, silence, speech, wav_bytes

from langchain_voxtral.audio import Recording
from langchain_voxtral.errors import VoxtralLocalError
from langchain_voxtral.local.api.speech_requests import (
    NativeForm,
    SpeechForm,
    TranscriptionForm,
    TranslationForm,
)
from langchain_voxtral.local.engine.speech import SpeechEngine, SpeechResult
from langchain_voxtral.local.engine.whisper import SpeechSettings, Whisper
from langchain_voxtral.local.errors import ErrorResponse


def segment(start: float, end: float, text: str, **fields: Any) -> SimpleNamespace:
    plain = {"tokens": [0] * 10, "compression_ratio": 1.0, "seek": 0, "words": None}
    return SimpleNamespace(start=start, end=end, text=text, **{**plain, **fields})


def word(start: float, end: float, text: str) -> SimpleNamespace:
    return SimpleNamespace(start=start, end=end, word=text)


class ScriptedWhisper:
    """faster-whisper's model, with answers of ours.

    Args:
        answers: Segments, call by call; the last ones again and again.
        languages: What it knows.
    """

    def __init__(self, answers: Iterable[Iterable[SimpleNamespace]], *languages: str) -> None:
        self.answers = [*answers]
        self.supported_languages = languages or ("de", "en", "jw", "yue")
        self.model = SimpleNamespace(is_multilingual=self.supported_languages != ("en",))
        tokens = [f"<|{code}|>" for code in self.supported_languages if code != "yue"]
        self.hf_tokenizer = SimpleNamespace(
            token_to_id=lambda token: 1 if token in tokens else None
        )
        self.max_length = 448
        self.detections = [("en", 0.9)]
        self.calls: list[dict[str, Any]] = []
        self.latest: object = None

    def transcribe(self, samples: object, **options: Any) -> tuple[Iterator[Any], Any]:
        self.calls.append(options)
        language, probability = options["language"], 1.0
        if language is None:
            index = min(len(self.calls), len(self.detections)) - 1
            language, probability = self.detections[index]
        info = SimpleNamespace(language=language, language_probability=probability)
        return iter(self.answers[min(len(self.calls), len(self.answers)) - 1]), info


Transcribe = Callable[..., SpeechResult]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that looks like that of a model."""
    for name in ("model.bin", "config.json", "tokenizer.json"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def transcribe(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Transcribe:
    """Return what transcribes JFK, or other bytes, with a scripted model."""

    def run(whisper: ScriptedWhisper, sound: bytes | Path = JFK, **settings: Any) -> SpeechResult:
        model = type("Model", (), {"__new__": lambda *_, **__: whisper})
        monkeypatch.setattr("faster_whisper.WhisperModel", model)
        check = settings.pop("check", lambda: None)
        engine = SpeechEngine(str(folder))
        return engine.transcribe(Recording(sound), SpeechSettings(**settings), check)

    return run


HELLO = segment(0.0, 2.0, " Hello.")


@pytest.mark.parametrize(
    ("detected", "known"),
    [
        (("de", 0.5), ("de", 0.5, "detected")),
        (("de", 0.4994), ("de", 0.499, "assumed")),
        (("jw", 0.8), ("jv", 0.8, "detected")),
    ],
)
def test_a_language_is_detected_or_assumed(
    transcribe: Transcribe, detected: tuple[str, float], known: tuple[object, ...]
) -> None:
    whisper = ScriptedWhisper([[HELLO]])
    whisper.detections = [detected]
    assert transcribe(whisper).language == known
    assert [call["language"] for call in whisper.calls] == [None]


@pytest.mark.parametrize(("asked", "given"), [("de", "de"), ("jv", "jw"), ("jw", "jw")])
def test_a_language_that_is_asked_for_is_not_detected(
    transcribe: Transcribe, asked: str, given: str
) -> None:
    whisper = ScriptedWhisper([[HELLO]])
    whisper.detections = [("en", 1.0)]
    result = transcribe(whisper, language=asked, task="translate")
    assert result.language == (asked.replace("w", "v"), None, "asked")
    assert [(call["language"], call["task"]) for call in whisper.calls] == [(given, "translate")]


@pytest.mark.parametrize(
    ("languages", "asked", "known"), [((), "yue", "de, en, jv"), (("en",), "de", "en")]
)
def test_a_language_that_the_model_does_not_know_is_refused(
    transcribe: Transcribe, languages: tuple[str, ...], asked: str, known: str
) -> None:
    """faster-whisper would take English for it, or fail."""
    whisper = ScriptedWhisper([[HELLO]], *languages)
    with pytest.raises(ErrorResponse) as caught:
        transcribe(whisper, language=asked)
    message = (
        "Value error, the embedded engine's speech model does not know this language; the codes "
        f"that it knows: {known}"
    )
    assert caught.value.status == 422
    assert caught.value.body == {
        "detail": [
            {
                "type": "value_error",
                "loc": ["body", "language"],
                "msg": message,
                "input": asked,
            }
        ]
    }
    assert whisper.calls == []


def test_a_model_for_english_only_assumes_english(transcribe: Transcribe) -> None:
    whisper = ScriptedWhisper([[HELLO]], "en")
    assert transcribe(whisper).language == ("en", None, "assumed")
    assert transcribe(whisper, language="en").language == ("en", None, "asked")


def test_a_translation_of_english_is_its_transcription(transcribe: Transcribe) -> None:
    whisper = ScriptedWhisper([[segment(0, 1, " Changed.")], [HELLO]])
    assert transcribe(whisper, task="translate").text == "Hello."
    calls = [(call["language"], call["task"]) for call in whisper.calls]
    assert calls == [(None, "translate"), ("en", "transcribe")]


def test_a_recording_without_words_tells_no_language(transcribe: Transcribe) -> None:
    for asked in (None, "de"):
        result = transcribe(ScriptedWhisper([[]]), language=asked)
        assert (result.text, result.segments, result.language) == ("", (), None)


def repeating(*, seek: int, tokens: int) -> SimpleNamespace:
    return segment(0, 9, " Go", seek=seek, tokens=[0] * tokens, compression_ratio=9.0)


LOOP = [repeating(seek=0, tokens=200), repeating(seek=0, tokens=24)]
"""A window of as many tokens as Whisper writes at most."""
FIRST = (None, None, None)
"""The language, the beams and the penalty that are asked for at first."""


@pytest.mark.parametrize(
    ("answers", "attempts"),
    [
        ([LOOP, [HELLO]], [FIRST, ("en", 1, None)]),
        ([LOOP, LOOP, [HELLO]], [FIRST, ("en", 1, None), ("en", None, 1.2)]),
        ([[segment(0, 9, " Go, go.", compression_ratio=3.0)]], [FIRST]),
        ([[segment(0, 9, " A.", tokens=[0] * 224, compression_ratio=2.0)]], [FIRST]),
        ([[LOOP[0], repeating(seek=800, tokens=24)]], [FIRST]),
    ],
    ids=["a loop", "a stubborn one", "a refrain", "a long text", "two windows"],
)
def test_only_a_loop_is_decoded_again(
    transcribe: Transcribe, answers: list[list[Any]], attempts: list[tuple[object, ...]]
) -> None:
    whisper = ScriptedWhisper(answers)
    result = transcribe(whisper)
    names = ("language", "beam_size", "repetition_penalty")
    assert [tuple(map(call.get, names)) for call in whisper.calls] == attempts
    assert result.text == "".join(one.text for one in answers[-1]).strip()


def test_impossible_times_are_mended(transcribe: Transcribe) -> None:
    """Times are in order, and none is outside of the recording, which has 11 s."""
    words = [word(0.5, 0.4, " A"), word(0.2, 9.75, " b"), word(11.4, 11.9, " c.")]
    found = [segment(-0.5, 11.5, " A b c.", words=words), segment(9.0, 12.0, " D.", words=[])]
    result = transcribe(ScriptedWhisper([found]), has_words=True)
    assert [(one.start, one.end) for one in result.segments] == [(0.5, 11), (11, 11)]
    times = [(one.text, one.start, one.end) for one in result.segments[0].words]
    assert times == [("A", 0.5, 0.5), ("b", 0.5, 9.75), ("c.", 11, 11)]


@pytest.mark.parametrize(
    ("times", "max_seconds", "cut"),
    [
        ([(0, 1), (1, 2), (2, 3), (3, 4)], 4, [(0, 4, "0 1 2 3")]),
        ([(0, 1), (1, 2), (2, 3), (3, 4)], 3, [(0, 2, "0 1"), (2, 4, "2 3")]),
        ([(0, 1), (1, 2), (2, 3), (3.5, 4)], 3.5, [(0, 3, "0 1 2"), (3.5, 4, "3")]),
        ([(0, 1), (1, 2), (4, 5), (5, 6)], 9, [(0, 2, "0 1"), (4, 6, "2 3")]),
        ([(0, 3), (3, 4)], 1, [(0, 3, "0"), (3, 4, "1")]),
        ([(0, 8), (8, 9.5), (9.5, 11)], None, [(0, 11, "0 1 2")]),
    ],
    ids=["short", "at the middle", "at a pause", "at a long pause", "a long word", "by default"],
)
def test_long_segments_are_cut_between_words(
    transcribe: Transcribe,
    times: list[tuple[float, float]],
    max_seconds: float | None,
    cut: list[tuple[float, float, str]],
) -> None:
    words = [word(start, end, f" {number}") for number, (start, end) in enumerate(times)]
    found = [segment(0, 11, "".join(one.word for one in words), words=words)]
    limit = {} if max_seconds is None else {"max_segment_seconds": max_seconds}
    result = transcribe(ScriptedWhisper([found]), **limit)
    assert [(one.start, one.end, one.text) for one in result.segments] == cut
    assert [one.words for one in result.segments] == [()] * len(cut)
    assert result.text == " ".join(text for _, _, text in cut)


def test_segments_can_be_read_as_subtitles(transcribe: Transcribe) -> None:
    """By default none is longer than 15 s."""
    words = [word(at, at + 1, f" {at}") for at in range(20)]
    sound = wav_bytes(joined(speech(), speech()))
    result = transcribe(ScriptedWhisper([[segment(0, 20, " ...", words=words)]]), sound)
    assert [(one.start, one.end) for one in result.segments] == [(0, 10), (10, 20)]


def test_work_that_nobody_waits_for_ends_at_the_next_segment(transcribe: Transcribe) -> None:
    read = []

    def segments() -> Iterator[Any]:
        for number in range(5):
            read.append(number)
            yield segment(number, number + 1, " One.")

    def check() -> None:
        if len(read) == 2:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        transcribe(ScriptedWhisper([segments()]), check=check)
    assert read == [0, 1]


@pytest.mark.parametrize(
    ("form", "name"),
    [
        (partial(TranscriptionForm, model="m"), "prompt"),
        (partial(TranslationForm, model="m"), "prompt"),
        (NativeForm, "initial_prompt"),
    ],
)
def test_of_a_long_prompt_the_end_is_kept(form: Callable[..., SpeechForm], name: str) -> None:
    """Whisper ignores the rest, but would be slow to read it."""
    assert form(**{name: "a" * 900_000 + "b"}).settings.prompt == "a" * 3_999 + "b"


def test_the_settings_reach_the_model(transcribe: Transcribe) -> None:
    whisper = ScriptedWhisper([[HELLO]])
    transcribe(whisper)
    transcribe(whisper, prompt="Names.", temperature=0.3, has_words=True)
    names = ("initial_prompt", "temperature")
    assert [tuple(call[name] for name in names) for call in whisper.calls] == [
        (None, [0]),
        ("Names.", [0.3]),
    ]
    for call in whisper.calls:
        assert call["vad_filter"]
        assert call["word_timestamps"]
        assert not call["condition_on_previous_text"]


def test_the_first_words_tell_the_language_of_all(
    transcribe: Transcribe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("langchain_voxtral.local.engine.speech._PIECE_SECONDS", 12.0)
    whisper = ScriptedWhisper([[], [HELLO]])
    whisper.detections = [("en", 0.3), ("de", 0.7), ("jw", 0.9)]
    sound = wav_bytes(joined(*[speech()] * 3))
    assert transcribe(whisper, sound).language == ("de", 0.7, "detected")
    assert [call["language"] for call in whisper.calls][:3] == [None, None, "de"]


class CountingWhisper:
    """faster-whisper's class; a window is encoded as the number of the call."""

    def __init__(self, *_: object, **__: object) -> None:
        self.encoded = 0

    def encode(self, features: object) -> int:
        self.encoded += 1
        return self.encoded


def test_a_window_is_encoded_once_for_its_language_and_its_words(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    """faster-whisper gives one frame less of a window in which the sound ends."""
    monkeypatch.setattr("faster_whisper.WhisperModel", CountingWhisper)
    encode = Whisper(str(folder)).server.encode
    window = np.zeros((80, 3000), np.float32)
    longer, changed = window.copy(), window.copy()
    longer[:, 500] = changed[:, 500:502] = 1.0
    windows = (window, longer, changed, changed[:, :500], window, window)
    assert [encode(one) for one in windows] == [1, 1, 2, 3, 4, 4]


def test_a_recording_begins_without_the_windows_of_another(transcribe: Transcribe) -> None:
    whisper = ScriptedWhisper([[HELLO]])
    whisper.latest = "another's"
    transcribe(whisper)
    assert whisper.latest is None


def test_words_that_begin_at_once_are_speech(transcribe: Transcribe) -> None:
    """The voice detector misses these 0.6 s if they are all that there is."""
    words = wav_bytes(speech()[22_400:32_000])
    found = segment(0.25, 0.75, " Hello.", words=[word(0.25, 0.75, " Hello.")])
    result = transcribe(ScriptedWhisper([[found]]), words)
    assert [(one.start, one.end, one.text) for one in result.segments] == [(0, 0.5, "Hello.")]


def test_the_model_gets_no_silence(transcribe: Transcribe) -> None:
    whisper = ScriptedWhisper([[HELLO]])
    assert transcribe(whisper, wav_bytes(silence(3))).text == ""
    assert whisper.calls == []


def test_a_folder_that_is_no_model_is_named(folder: Path) -> None:
    engine = SpeechEngine(str(folder))
    with pytest.raises(VoxtralLocalError) as caught:
        engine.load()
    assert caught.value.message.startswith(f"faster-whisper could not load {folder}: ")
    assert caught.value.message.endswith(
        "Is it a Whisper model for CTranslate2, complete, and is there memory for it?"
    )
    assert (engine.name, engine.is_loaded) == (folder.name, False)
