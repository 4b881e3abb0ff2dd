"""Recordings and forms that the embedded engine rejects: in DeepInfra's format, never with 500."""

import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
import soundfile
from support.local_speech import (
    MODEL,
    NATIVE,
    SHORT,
    SPEECH_MODEL,
    TRANSCRIPTIONS,
    TRANSLATIONS,
    ask,
    wav,
)

from langchain_voxtral.local import LocalVoxtral
from langchain_voxtral.protocol.languages import LANGUAGES


def refusal(answer: httpx.Response) -> tuple[int, Any]:
    assert answer.headers["x-voxtral-model"] == SPEECH_MODEL
    assert len(answer.headers["x-request-id"]) == 24
    return answer.status_code, answer.json()


def fault(kind: str, where: str, message: str, given: object) -> dict[str, object]:
    return {"type": kind, "loc": ["body", where], "msg": message, "input": given}


NO_RECORDINGS = {
    "empty": (b"", "it is empty: 0 bytes"),
    "text": (
        b"Dear diary, ...",
        (
            "it is no recording of a known kind (wav, mp3, flac, ogg, opus, m4a, mp4, webm, mka, "
            "aac, aiff, au, caf): it begins with b'Dear diary, ...'"
        ),
    ),
    "cut header": (SHORT[:30], "its WAV header has no data chunk: it holds no sound"),
    "cut": (
        SHORT[:50_000],
        (
            "its header states 96000 bytes of sound, and 49956 are there: it is cut off; "
            "give the whole recording"
        ),
    ),
    "no samples": (wav(b""), "it has no sound: 0 samples"),
    "not decodable": (
        b"fLaC" + bytes(100),
        (
            "it begins like flac and cannot be opened (Invalid data found when processing input): "
            "it is cut off or damaged; give the whole recording"
        ),
    ),
}


@pytest.mark.parametrize(("sound", "reason"), NO_RECORDINGS.values(), ids=NO_RECORDINGS)
def test_what_cannot_be_decoded(http: httpx.Client, sound: bytes, reason: str) -> None:
    message = f"The recording cannot be read: {reason}."
    assert refusal(ask(http, NATIVE, sound)) == (400, {"detail": message})
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    for route in (TRANSCRIPTIONS, TRANSLATIONS):
        assert refusal(ask(http, route, sound)) == (400, {"error": error})


@pytest.mark.parametrize(("kind", "subtype"), [("FLAC", "PCM_16"), ("WAV", "PCM_U8")])
def test_a_recording_that_is_too_long(http: httpx.Client, kind: str, subtype: str) -> None:
    """Silence: as FLAC an hour of it has some kilobytes."""
    file = io.BytesIO()
    soundfile.write(file, np.zeros(3_601_000, np.int16), 1_000, format=kind, subtype=subtype)
    message = "The recording is longer than 3600 seconds: send it in parts"
    for route in (NATIVE, TRANSCRIPTIONS):
        refused = refusal(ask(http, route, file.getvalue()))
        assert refused == (413, {"error": {"message": message}})


UNKNOWN = (
    "Value error, the embedded engine's speech model does not know this language; the codes that "
    f"it knows: {', '.join(sorted(LANGUAGES.keys() - {'yue'}))}"
)


@pytest.mark.parametrize(
    ("route", "fields", "faults"),
    [
        (NATIVE, {"language": "qq"}, [fault("value_error", "language", UNKNOWN, "qq")]),
        (
            TRANSCRIPTIONS,
            {"language": "fr-CA"},
            [fault("value_error", "language", UNKNOWN, "fr-CA")],
        ),
        (
            NATIVE,
            {"chunk_level": "sentence"},
            [
                fault(
                    "literal_error",
                    "chunk_level",
                    "Input should be 'segment' or 'word'",
                    "sentence",
                )
            ],
        ),
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
def test_invalid_fields_are_refused(
    http: httpx.Client, route: str, fields: dict[str, Any], faults: list[dict[str, object]]
) -> None:
    assert refusal(ask(http, route, **fields)) == (422, {"detail": faults})


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


def test_a_body_that_is_not_a_form(http: httpx.Client) -> None:
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


@pytest.mark.parametrize("left", [0, 20, 200, 5_000])
def test_a_form_that_is_cut_short(http: httpx.Client, left: int) -> None:
    form = httpx.Request("POST", "http://test", files={"audio": SHORT}, data={"task": "transcribe"})
    headers = {"content-type": form.headers["content-type"]}
    assert refusal(http.post(NATIVE, content=form.read()[:left], headers=headers)) == (
        400,
        {
            "error": {
                "message": "The form is ill-formed: "
                "It is cut short: the closing boundary is missing."
            }
        },
    )


@pytest.mark.parametrize("route", ["inference/meta/other", TRANSCRIPTIONS])
def test_an_unknown_model(http: httpx.Client, route: str) -> None:
    fields: dict[str, Any] = {"model": "meta/other"} if route == TRANSCRIPTIONS else {}
    assert refusal(ask(http, route, **fields)) == (404, {"error": "Model not found"})


@pytest.mark.parametrize("route", [NATIVE, TRANSCRIPTIONS, "audio/translations"])
def test_a_wrong_key(http: httpx.Client, route: str) -> None:
    answer = http.post(route, files={"x": b"x"}, headers={"authorization": "Bearer wrong"})
    assert answer.status_code == 401


@pytest.fixture(scope="module")
def narrow() -> Iterator[httpx.Client]:
    """A server that accepts small forms and short texts only."""
    limits: dict[str, Any] = {"max_form_bytes": 100_000, "max_body_bytes": 1_000}
    server = LocalVoxtral(n_ctx=512, api_key="", **limits).start(text=False)
    with httpx.Client(base_url=server.base_url, trust_env=False, timeout=60) as client:
        yield client
    server.stop()


def test_a_form_that_is_too_large(narrow: httpx.Client) -> None:
    message = "The request is larger than 100000 bytes"
    for sound in (SHORT + bytes(100_000), SHORT + bytes(900_000)):
        assert refusal(ask(narrow, sound=sound)) == (413, {"error": {"message": message}})
    assert ask(narrow, sound=bytes(99_000)).status_code == 400  # it is read


@pytest.mark.parametrize("recordings", [0, 1])
def test_a_text_that_is_too_large_where_recordings_may_be(
    narrow: httpx.Client, recordings: int
) -> None:
    sound = {"type": "input_audio", "input_audio": {"data": "A" * 4_000}}
    message = "The request is larger than 1000 bytes"
    for letters, refused in ((2_000, True), (100, False)):
        parts = [sound] * recordings + [{"type": "text", "text": "x" * letters}]
        body = {"model": "unknown", "messages": [{"role": "user", "content": parts}]}
        answer = narrow.post("openai/chat/completions", json=body)
        assert (answer.status_code, answer.json()["error"]) == (
            (413, {"message": message}) if refused else (404, "Model not found")
        )
