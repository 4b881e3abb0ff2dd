"""Speech at the embedded engine: real recordings, in every route and format."""

import io
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import jiwer
import moonshine_voice
import numpy as np
import psutil
import pytest
import soundfile

from langchain_voxtral.audio.subtitles import Cue, read_subtitles
from langchain_voxtral.local import LocalVoxtral
from langchain_voxtral.wire.transcription import decode_native, decode_openai

MODEL = "mistralai/Voxtral-Mini-3B-2507"
NATIVE = f"inference/{MODEL}"
TRANSCRIPTIONS = "openai/audio/transcriptions"
TRANSLATIONS = "openai/audio/translations"
HEARS = "moonshine-tiny-en"
ASSETS = Path(moonshine_voice.__file__).parent / "assets"

BECKETT = (ASSETS / "beckett.wav").read_bytes()
TWO_CITIES = (ASSETS / "two_cities.wav").read_bytes()
SAID = {
    "beckett": "Ever tried. Ever failed. No matter. Try again. Fail again. Fail better.",
    "two_cities": "It was the best of times, it was the worst of times, it was the age of wisdom, "
    "it was the age of foolishness, it was the epoch of belief, it was the epoch of incredulity, "
    "it was the season of Light, it was the season of Darkness, it was the spring of hope, it was "
    "the winter of despair, we had everything before us, we had nothing before us, we were all "
    "going direct to Heaven, we were all going direct the other way—in short, the period was so "
    "far like the present period, that some of its noisiest authorities insisted on its being "
    "received, for good or for evil, in the superlative degree of comparison only.",
}


def wav(frames: bytes) -> bytes:
    made = io.BytesIO()
    with wave.open(made, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(frames)
    return made.getvalue()


with wave.open(io.BytesIO(BECKETT)) as _recording:
    FRAMES = _recording.readframes(_recording.getnframes())
SHORT = wav(FRAMES[: 2 * 48_000])
"""Three seconds: "Ever tried. Ever failed."."""

WORDS = jiwer.Compose(
    [
        jiwer.SubstituteRegexes({"—": " "}),
        jiwer.ToLowerCase(),
        jiwer.RemovePunctuation(),  # type: ignore[no-untyped-call]
        jiwer.RemoveMultipleSpaces(),
        jiwer.Strip(),
        jiwer.ReduceToListOfListOfWords(),
    ]
)


def word_error_rate(name: str, heard: str) -> float:
    return jiwer.wer(SAID[name], heard, reference_transform=WORDS, hypothesis_transform=WORDS)


def ask(
    http: httpx.Client, route: str = TRANSCRIPTIONS, sound: bytes = SHORT, **fields: Any
) -> httpx.Response:
    native = route.startswith("inference")
    named = {} if native else {"model": MODEL}
    file = {"audio" if native else "file": ("audio.wav", sound)}
    return http.post(route, files=file, data={**named, **fields})


def told(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def refusal(answer: httpx.Response) -> tuple[int, Any]:
    assert answer.headers["x-voxtral-model"] == HEARS
    assert len(answer.headers["x-request-id"]) == 24
    return answer.status_code, answer.json()


def fault(kind: str, where: str, message: str, given: object) -> dict[str, object]:
    return {"type": kind, "loc": ["body", where], "msg": message, "input": given}


@pytest.fixture(scope="module")
def heard_once(http: httpx.Client) -> dict[str, Any]:
    return told(ask(http, response_format="verbose_json"))


@pytest.mark.parametrize(("name", "sound"), [("beckett", BECKETT), ("two_cities", TWO_CITIES)])
def test_real_speech_is_understood(http: httpx.Client, name: str, sound: bytes) -> None:
    heard = told(ask(http, sound=sound))["text"]
    assert word_error_rate(name, heard) < 0.15, heard


def test_a_recording_longer_than_one_look(http: httpx.Client) -> None:
    heard = told(ask(http, NATIVE, wav(5 * FRAMES)))
    said = " ".join([SAID["beckett"]] * 5)
    assert jiwer.wer(said, heard["text"], WORDS, WORDS) < 0.15, heard["text"]
    assert heard["duration"] == 5 * len(FRAMES) / 32_000
    # The border of the first look, at 45 s, is in the middle of the last passage.
    begins = [segment["start"] for segment in heard["segments"]]
    assert begins == [pytest.approx(9.963375 * number, abs=0.3) for number in range(5)]
    assert heard["segments"][-1]["end"] > 48


def test_the_native_answer_has_the_documented_shape(
    http: httpx.Client, heard_once: dict[str, Any]
) -> None:
    answer = ask(http, NATIVE)
    document = told(answer)
    assert document == {
        "text": heard_once["text"],
        "segments": heard_once["segments"],
        "language": "en",
        "input_length_ms": 3000,
        "words": None,
        "duration": 3.0,
        "request_id": answer.headers["x-request-id"],
        "inference_status": {
            "status": "succeeded",
            "runtime_ms": document["inference_status"]["runtime_ms"],
            "cost": 0.0,
        },
    }
    assert document["inference_status"]["runtime_ms"] > 0
    assert answer.headers["x-voxtral-model"] == HEARS
    assert "x-voxtral-ignored" not in answer.headers


def test_the_clients_own_decoders_read_the_answers(
    http: httpx.Client, heard_once: dict[str, Any]
) -> None:
    native = decode_native(ask(http, NATIVE).content)
    verbose = decode_openai(
        ask(http, response_format="verbose_json").content, response_format="verbose_json"
    )
    for one in (native, verbose):
        assert (one.text, one.language, one.duration) == (heard_once["text"], "en", 3.0)
        assert [(part.start, part.end, part.text) for part in one.segments] == [
            (part["start"], part["end"], part["text"]) for part in heard_once["segments"]
        ]


def test_verbose_json(heard_once: dict[str, Any]) -> None:
    segments = heard_once["segments"]
    assert heard_once == {
        "task": "transcribe",
        "language": "en",
        "duration": 3.0,
        "text": " ".join(segment["text"] for segment in segments),
        "segments": [
            {"id": number, **{name: segment[name] for name in ("start", "end", "text")}}
            for number, segment in enumerate(segments)
        ],
    }


def test_segments_are_where_there_is_speech(http: httpx.Client) -> None:
    """Silence of 3 s before and 5 s after, and between two passages, belongs to none of them."""
    short = FRAMES[: 2 * 48_000]
    sound = wav(bytes(2 * 48_000) + short + bytes(2 * 80_000) + short)
    segments = told(ask(http, sound=sound, response_format="verbose_json"))["segments"]
    bounds = [(segment["start"], segment["end"]) for segment in segments]
    inside = [(2.9, 6.5), (10.9, 14.0)]
    assert all(
        any(first <= start < end <= last for first, last in inside) for start, end in bounds
    ), bounds
    assert bounds == sorted(bounds)
    assert {next(i for i, (_, last) in enumerate(inside) if end <= last) for _, end in bounds} == {
        0,
        1,
    }


@pytest.mark.parametrize(
    ("response_format", "media_type"),
    [("srt", "application/x-subrip; charset=utf-8"), ("vtt", "text/vtt; charset=utf-8")],
)
def test_subtitles(
    http: httpx.Client, heard_once: dict[str, Any], response_format: str, media_type: str
) -> None:
    answer = ask(http, response_format=response_format)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert read_subtitles(answer.text) == tuple(
        Cue(round(segment["start"], 3), round(segment["end"], 3), segment["text"])
        for segment in heard_once["segments"]
    )


def test_text_and_json(http: httpx.Client, heard_once: dict[str, Any]) -> None:
    plain = ask(http, response_format="text")
    assert plain.headers["content-type"] == "text/plain; charset=utf-8"
    assert plain.text == heard_once["text"]
    assert told(ask(http, response_format="json")) == {"text": heard_once["text"]}
    assert told(ask(http)) == {"text": heard_once["text"]}


def test_english_translated_into_english_is_its_transcription(
    http: httpx.Client, heard_once: dict[str, Any]
) -> None:
    translated = told(ask(http, TRANSLATIONS, response_format="verbose_json"))
    assert translated == {**heard_once, "task": "translate"}
    assert told(ask(http, NATIVE, task="translate"))["text"] == heard_once["text"]


@pytest.mark.parametrize("route", ["audio/transcriptions", "audio/translations"])
def test_the_short_routes(http: httpx.Client, heard_once: dict[str, Any], route: str) -> None:
    assert told(ask(http, route, model=HEARS)) == {"text": heard_once["text"]}


@pytest.mark.parametrize("name", ["timestamp_granularities", "timestamp_granularities[]"])
def test_times_of_segments_may_be_asked_for(
    http: httpx.Client, heard_once: dict[str, Any], name: str
) -> None:
    asked: dict[str, Any] = {"response_format": "verbose_json", name: ["segment", "segment"]}
    assert told(ask(http, language="en", **asked)) == heard_once


def test_what_changes_nothing_is_named(http: httpx.Client, heard_once: dict[str, Any]) -> None:
    answer = ask(http, prompt="A play.", temperature="0.5")
    assert answer.headers["x-voxtral-ignored"] == "prompt, temperature"
    assert told(answer) == {"text": heard_once["text"]}
    assert ask(http, NATIVE, initial_prompt="A").headers["x-voxtral-ignored"] == "prompt"


def test_the_chunk_length_bounds_the_segments(http: httpx.Client) -> None:
    segments = told(ask(http, NATIVE, BECKETT, chunk_length_s="3"))["segments"]
    assert len(segments) > 1
    assert max(segment["end"] - segment["start"] for segment in segments) <= 3


def test_other_kinds_of_files(http: httpx.Client) -> None:
    samples, rate = soundfile.read(io.BytesIO(BECKETT))
    made = io.BytesIO()
    soundfile.write(made, np.stack([samples, samples], 1), rate, format="MP3")
    heard = told(ask(http, sound=made.getvalue()))["text"]
    assert word_error_rate("beckett", heard) < 0.15, heard


def test_faint_speech_is_heard(http: httpx.Client) -> None:
    samples, rate = soundfile.read(io.BytesIO(BECKETT))
    made = io.BytesIO()
    soundfile.write(made, samples / 200, rate, format="WAV", subtype="FLOAT")
    heard = told(ask(http, sound=made.getvalue()))["text"]
    assert word_error_rate("beckett", heard) < 0.15, heard


def noise() -> bytes:
    drawn = np.random.default_rng(0).normal(0, 1000, 48_000)
    return drawn.astype("<i2").tobytes()


@pytest.mark.parametrize("frames", [bytes(32_000), bytes(96_000), noise()])
def test_without_speech_there_are_no_words(http: httpx.Client, frames: bytes) -> None:
    heard = told(ask(http, sound=wav(frames), response_format="verbose_json"))
    assert (heard["text"], heard["segments"]) == ("", [])
    assert heard["duration"] == len(frames) / 32_000


@pytest.mark.parametrize(
    "sound",
    [b"", b"Dear diary, ...", SHORT[:30], SHORT[:50_000], wav(b"")],
    ids=["empty", "text", "cut header", "cut", "no samples"],
)
@pytest.mark.parametrize("route", [NATIVE, TRANSCRIPTIONS])
def test_what_cannot_be_decoded(http: httpx.Client, route: str, sound: bytes) -> None:
    assert refusal(ask(http, route, sound)) == (500, {"detail": "inference error"})


ENGLISH_ONLY = (
    "Value error, the embedded engine hears English only ('en'); other languages need Voxtral"
)
NO_WORDS = "Value error, the embedded engine tells the times of segments only, not of words"


@pytest.mark.parametrize(
    ("route", "fields", "faults"),
    [
        (NATIVE, {"language": "fr"}, [fault("value_error", "language", ENGLISH_ONLY, "fr")]),
        (
            TRANSCRIPTIONS,
            {"language": "de"},
            [fault("value_error", "language", ENGLISH_ONLY, "de")],
        ),
        (NATIVE, {"chunk_level": "word"}, [fault("value_error", "chunk_level", NO_WORDS, "word")]),
        (
            NATIVE,
            {"chunk_length_s": "31"},
            [
                fault(
                    "less_than_equal",
                    "chunk_length_s",
                    "Input should be less than or equal to 30",
                    "31",
                )
            ],
        ),
        (
            NATIVE,
            {"webhook": "https://x.org"},
            [
                fault(
                    "value_error",
                    "webhook",
                    "Value error, webhook is not offered by the embedded engine",
                    "https://x.org",
                )
            ],
        ),
        (
            NATIVE,
            {"prompt": "A", "colour": ["red", "blue"]},
            [
                fault("extra_forbidden", "prompt", "Extra inputs are not permitted", "A"),
                fault(
                    "extra_forbidden", "colour", "Extra inputs are not permitted", ["red", "blue"]
                ),
            ],
        ),
        (
            TRANSLATIONS,
            {"language": "en"},
            [fault("extra_forbidden", "language", "Extra inputs are not permitted", "en")],
        ),
        (
            TRANSCRIPTIONS,
            {"response_format": "xml"},
            [
                fault(
                    "literal_error",
                    "response_format",
                    "Input should be 'json', 'verbose_json', 'text', 'srt' or 'vtt'",
                    "xml",
                )
            ],
        ),
        (
            TRANSCRIPTIONS,
            {"temperature": ["0", "1"]},
            [fault("float_type", "temperature", "Input should be a valid number", ["0", "1"])],
        ),
    ],
)
def test_what_is_refused(
    http: httpx.Client, route: str, fields: dict[str, Any], faults: list[dict[str, object]]
) -> None:
    assert refusal(ask(http, route, **fields)) == (422, {"detail": faults})


def test_times_of_words_are_refused(http: httpx.Client) -> None:
    asked: dict[str, Any] = {
        "response_format": "verbose_json",
        "timestamp_granularities[]": ["segment", "word"],
    }
    status, body = refusal(ask(http, **asked))
    assert (status, [one["msg"] for one in body["detail"]]) == (422, [NO_WORDS])


def test_times_need_a_format_that_has_them(http: httpx.Client) -> None:
    status, body = refusal(ask(http, timestamp_granularities="segment"))
    message = "Value error, timestamp_granularities need response_format verbose_json"
    assert (status, [one["msg"] for one in body["detail"]]) == (422, [message])


def test_a_form_without_a_recording(http: httpx.Client) -> None:
    missing = fault("missing", "audio", "Field required: a file", None)
    misplaced = fault("extra_forbidden", "file", "A file is not permitted here", None)
    assert refusal(http.post(NATIVE, files={"task": (None, "transcribe")})) == (
        422,
        {"detail": [missing]},
    )
    assert refusal(http.post(NATIVE, files={"file": SHORT})) == (
        422,
        {"detail": [misplaced, missing]},
    )
    assert refusal(http.post(NATIVE, files={"audio": (None, "RIFF")})) == (
        422,
        {"detail": [fault("missing", "audio", "Input should be a file", None)]},
    )


def test_a_body_that_is_no_form(http: httpx.Client) -> None:
    assert refusal(http.post(TRANSCRIPTIONS, json={"model": MODEL})) == (
        415,
        {
            "error": {
                "message": "A recording is sent as multipart/form-data, not as application/json"
            }
        },
    )
    headers = {"content-type": "multipart/form-data"}
    assert refusal(http.post(NATIVE, content=b"x", headers=headers)) == (
        400,
        {"error": {"message": "The form is ill-formed: Missing boundary in multipart."}},
    )
    packed = {"content-type": "multipart/form-data; boundary=b", "content-encoding": "gzip"}
    assert refusal(http.post(NATIVE, content=b"x", headers=packed))[0] == 415


@pytest.mark.parametrize("route", ["inference/meta/other", TRANSCRIPTIONS])
def test_an_unknown_model(http: httpx.Client, route: str) -> None:
    fields: dict[str, Any] = {"model": "meta/other"} if route == TRANSCRIPTIONS else {}
    assert refusal(ask(http, route, **fields)) == (404, {"error": "Model not found"})


@pytest.mark.parametrize("route", [NATIVE, TRANSCRIPTIONS, "audio/translations"])
def test_a_wrong_key(http: httpx.Client, route: str) -> None:
    answer = http.post(route, files={"x": b"x"}, headers={"authorization": "Bearer wrong"})
    assert answer.status_code == 401


@pytest.fixture
def narrow() -> Iterator[httpx.Client]:
    """A server that takes small forms only."""
    with (
        LocalVoxtral(n_ctx=512, api_key="", max_form_bytes=100_000) as server,
        httpx.Client(base_url=server.base_url, trust_env=False, timeout=60) as client,
    ):
        yield client


def test_a_form_that_is_too_large(narrow: httpx.Client) -> None:
    message = "The request is larger than 100000 bytes"
    for sound in (SHORT + bytes(100_000), SHORT + bytes(900_000)):
        assert refusal(ask(narrow, sound=sound)) == (413, {"error": {"message": message}})
    assert ask(narrow).status_code == 200


def test_parallel_requests_get_the_same_answers(
    http: httpx.Client, heard_once: dict[str, Any]
) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: told(ask(http, NATIVE)), range(4)))
    assert [(one["text"], one["segments"]) for one in answers] == [
        (heard_once["text"], heard_once["segments"])
    ] * 4


def test_the_model_is_in_memory_once(http: httpx.Client, heard_once: dict[str, Any]) -> None:
    assert heard_once
    before = psutil.Process().memory_info().rss
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ask(http), range(8)))
    assert psutil.Process().memory_info().rss - before < 60 * 2**20
