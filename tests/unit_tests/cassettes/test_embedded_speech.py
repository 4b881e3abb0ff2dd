"""Transcriptions that were recorded from the embedded engine.

Request ids are taken from the cassettes; all else is stated here, whole.
"""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from langchain_core.documents import Document
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from support.cassettes.replay import CASSETTES, replay
from support.cassettes.scenarios import Scenario, aplay, play
from vcr.errors import CannotOverwriteExistingCassetteException

from langchain_voxtral.audio.wav import wav_header
from langchain_voxtral.errors import VoxtralError

pytest.importorskip("support.speech_samples", reason="the floor has no libraries of sound")
from support.cassettes.speech_scenarios import (
    CHATS,
    SILENCE,
    SPEECH,
    TRANSCRIPTIONS,
    TranscriptionScenario,
    atranscribe,
    question,
    transcribe,
)

BASE_URL = "http://127.0.0.1/v1"
TRANSCRIPT = "And so my fellow Americans."
FROM_SERVER = {"timestamps_source": "server"}
SOURCE = {"language_source": "detected"}
ENGLISH = {"language": "en", "language_probability": 0.908, **SOURCE}
FRENCH = {"language": "fr", "language_probability": 0.984, **SOURCE}

# Scenario: texts, and the metadata of each besides the common fields.
ANSWERS: dict[str, list[tuple[str, dict[str, Any]]]] = {
    "speech": [(TRANSCRIPT, ENGLISH)],
    "speech_segments": [
        (
            "And so my fellow Americans!",
            {
                "chunk": 0,
                "segment": 0,
                "start": 0.0,
                "end": 2.08,
                "language": "en",
                "language_source": "asked",
                **FROM_SERVER,
            },
        )
    ],
    "speech_words": [
        (
            TRANSCRIPT,
            {
                **ENGLISH,
                **FROM_SERVER,
                "words": [
                    {"word": "And", "start": 0.0, "end": 0.52},
                    {"word": "so", "start": 0.52, "end": 0.86},
                    {"word": "my", "start": 0.86, "end": 1.18},
                    {"word": "fellow", "start": 1.18, "end": 1.58},
                    {"word": "Americans.", "start": 1.58, "end": 2.08},
                ],
            },
        )
    ],
    "speech_chunks": [
        (
            "And so my fellow Americans ask not",
            {
                "chunk": 0,
                "start": 0.0,
                "end": 5.27,
                "language": "en",
                "language_probability": 0.939,
                **SOURCE,
            },
        ),
        (
            "what your country can do for you, ask what you can do for your country.",
            {
                "chunk": 1,
                "start": 5.27,
                "end": 11.0,
                "language": "en",
                "language_probability": 0.896,
                **SOURCE,
            },
        ),
    ],
    "speech_native": [(TRANSCRIPT, ENGLISH)],
    "speech_srt": [
        (f"1\n00:00:00,000 --> 00:00:02,080\n{TRANSCRIPT}\n", ENGLISH | FROM_SERVER),
    ],
    "speech_french": [("Le numéro que vous avez entré n'est pas en service.", FRENCH)],
    "speech_translation": [
        ("The number that you have entered is not in service.", FRENCH | {"task": "translate"})
    ],
    "speech_chat": [
        (f'The recording says: "{TRANSCRIPT}"', {"model": "SmolLM2-135M-Instruct"}),
    ],
    "speech_silence": [("", {"no_speech": True})],
}

# Scenario: status, and the server's message, whole or as far as it does not depend on the model.
FAILURES: dict[str, tuple[int, str]] = {
    "speech_unknown_language": (
        422,
        (
            "language: Value error, the embedded engine's speech model does not know this "
            "language; the codes that it knows: af, am, ar"
        ),
    ),
    "speech_no_sound": (
        400,
        (
            "The recording cannot be read: it cannot be decoded beyond 0.0 s: it is cut off or "
            'damaged there; give the whole recording."'
        ),
    ),
    "speech_wrong_key": (401, 'Not authenticated"'),
}

ANSWER = AIMessage(
    f'The recording says: "{TRANSCRIPT}"',
    usage_metadata=UsageMetadata(input_tokens=160, output_tokens=12, total_tokens=172),
    response_metadata={
        "model_name": "SmolLM2-135M-Instruct",
        "model_provider": "deepinfra",
        "endpoint": "chat_completions",
        "finish_reason": "stop",
        "finish_reason_source": "server",
        "cost": 0.0,
    },
)


def test_every_scenario_is_tested() -> None:
    assert sorted([*ANSWERS, *FAILURES]) == sorted(TRANSCRIPTIONS)


@pytest.mark.parametrize("name", ANSWERS)
def test_recorded_transcriptions_are_read_completely(name: str) -> None:
    with replay(_path(name)):
        assert transcribe(TRANSCRIPTIONS[name], BASE_URL) == _expected(name)


@pytest.mark.parametrize("name", ANSWERS)
async def test_recorded_transcriptions_are_read_completely_asynchronously(name: str) -> None:
    with replay(_path(name)):
        assert await atranscribe(TRANSCRIPTIONS[name], BASE_URL) == _expected(name)


@pytest.mark.parametrize("name", FAILURES)
def test_recorded_refusals_raise(name: str) -> None:
    with replay(_path(name)), pytest.raises(VoxtralError) as raised:
        transcribe(TRANSCRIPTIONS[name], BASE_URL)
    _check_error(name, raised.value)


@pytest.mark.parametrize("name", FAILURES)
async def test_recorded_refusals_raise_asynchronously(name: str) -> None:
    with replay(_path(name)), pytest.raises(VoxtralError) as raised:
        await atranscribe(TRANSCRIPTIONS[name], BASE_URL)
    _check_error(name, raised.value)


@pytest.mark.parametrize("name", CHATS)
def test_recorded_answers_about_a_recording_are_read_completely(name: str) -> None:
    with replay(_path(name)):
        assert play(CHATS[name].model(BASE_URL), CHATS[name]) == _answer(name)


@pytest.mark.parametrize("name", CHATS)
async def test_recorded_answers_about_a_recording_are_read_completely_asynchronously(
    name: str,
) -> None:
    with replay(_path(name)):
        assert await aplay(CHATS[name].model(BASE_URL), CHATS[name]) == _answer(name)


@pytest.mark.parametrize(
    "changed",
    [
        TranscriptionScenario(SPEECH[:-2] + b"\0\0"),
        TranscriptionScenario(SILENCE, {"send_silence": True}),
        TranscriptionScenario(settings={"prompt": "Kennedy"}),
        TranscriptionScenario(settings={"temperature": None}),
        TranscriptionScenario(settings={"language": "en"}),
        TranscriptionScenario(settings={"model": "mistralai/Voxtral-Small-24B-2507"}),
        TranscriptionScenario(settings={"task": "translate"}),
        TranscriptionScenario(settings={"endpoint": "native"}),
    ],
    ids=["one sample", "other sound", "prompt", "temperature", "language", "model", "task", "path"],
)
def test_a_form_that_differs_in_one_thing_is_refused(changed: TranscriptionScenario) -> None:
    with pytest.raises(CannotOverwriteExistingCassetteException), replay(_path("speech")):
        transcribe(changed, BASE_URL)


def test_a_question_about_another_recording_is_refused() -> None:
    other = Scenario([question(SILENCE)])
    with (
        pytest.raises(CannotOverwriteExistingCassetteException),
        replay(_path("speech_question")),
    ):
        play(other.model(BASE_URL), other)


def _check_error(name: str, error: VoxtralError) -> None:
    status, words = FAILURES[name]
    assert type(error) is TRANSCRIPTIONS[name].error
    assert error.message.startswith("the recording: ")
    assert f'The server said: "{words}' in error.message
    assert (error.status_code, error.attempts, error.partial) == (status, 1, "")
    assert [error.request_id] == _request_ids(name)


def _expected(name: str) -> list[Document]:
    """Return the documents: those of one chunk have its id, and those of several their own."""
    sound = TRANSCRIPTIONS[name].sound
    seconds = (len(sound) - len(wav_header(0))) / 32_000
    ids = _request_ids(name)
    return [
        Document(
            text,
            metadata={
                "sha256": hashlib.sha256(sound).hexdigest(),
                "duration": seconds,
                **({"n_chunks": len(ids)} if request_id == ids[-1] else {}),
                "start": 0.0,
                "end": seconds,
                "timestamps_source": "chunk",
                "cost": 0.0,
                "cost_source": "server",
                "model": "whisper-base",
                "request_id": request_id,
                "chunks_from_store": 0,
                **own,
            },
        )
        for (text, own), request_id in zip(ANSWERS[name], ids, strict=True)
    ]


def _answer(name: str) -> AIMessage:
    [request_id] = _request_ids(name)
    return ANSWER.model_copy(
        update={"response_metadata": ANSWER.response_metadata | {"request_id": request_id}}
    )


def _request_ids(name: str) -> list[str]:
    cassette = yaml.safe_load(_path(name).read_text(encoding="utf-8"))
    return [
        exchange["response"]["headers"]["x-request-id"][0] for exchange in cassette["interactions"]
    ]


def _path(name: str) -> Path:
    return CASSETTES / "embedded" / f"{name}.yaml"
