"""Questions about a recording: `input_audio` parts of chat completions at the embedded engine."""

import base64
from typing import Any

import httpx
import pytest
from support.local_responses import CHAT
from support.local_speech import NATIVE, json_body
from support.local_speech import ask as transcribe
from support.speech_samples import FRENCH, speech, wav_bytes

MODEL = "mistralai/Voxtral-Mini-3B-2507"
JFK = wav_bytes(speech())
QUESTION = {"type": "text", "text": "Repeat what the recording says."}


def audio(data: bytes = JFK, **fields: object) -> dict[str, Any]:
    encoded = base64.b64encode(data).decode()
    return {"type": "input_audio", "input_audio": {"data": encoded, **fields}}


def ask(http: httpx.Client, *parts: dict[str, Any] | str, **fields: object) -> httpx.Response:
    messages = [{"role": "user", "content": list(parts)}]
    body = {"model": MODEL, "messages": messages, "temperature": 0, "max_tokens": 20, **fields}
    return http.post(CHAT, json=body)


def answer(http: httpx.Client, *parts: dict[str, Any] | str) -> dict[str, Any]:
    # The first time llama.cpp reads the prompt in other batches, and rounds otherwise.
    ask(http, *parts, max_tokens=1)
    given = ask(http, *parts)
    assert given.status_code == 200, given.text
    document: dict[str, Any] = given.json()
    return {"text": document["choices"][0]["message"]["content"], "usage": document["usage"]}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content}


@pytest.fixture(scope="module")
def spoken(http: httpx.Client) -> str:
    """What takes the place of the recording."""
    transcript = json_body(transcribe(http, sound=JFK))["text"]
    assert "your country" in transcript
    return f'The recording says: "{transcript}"'


def test_the_transcript_replaces_the_recording(http: httpx.Client, spoken: str) -> None:
    """Tokens and answer are the same as for the transcript."""
    answered = answer(http, audio(format="wav"), QUESTION)
    assert answered == answer(http, text(f"{spoken}\n"), QUESTION)
    assert "americans" in answered["text"].lower()
    assert answer(http, QUESTION, audio()) == answer(http, QUESTION, text(f"\n{spoken}"))


def test_several_recordings(http: httpx.Client, spoken: str) -> None:
    answered = answer(http, audio(), QUESTION, audio())
    assert answered == answer(http, text(f"{spoken}\n"), QUESTION, text(f"\n{spoken}"))


def test_a_recording_in_another_language_is_followed_by_its_meaning(http: httpx.Client) -> None:
    """The small model reads English only."""
    sound = FRENCH.read_bytes()
    said = json_body(transcribe(http, NATIVE, sound))["text"]
    meant = json_body(transcribe(http, NATIVE, sound, task="translate", language="fr"))["text"]
    assert "numéro" in said
    assert "number" in meant
    both = text(f'The recording says: "{said}" It means: "{meant}"\n')
    assert answer(http, audio(sound), QUESTION) == answer(http, both, QUESTION)


def test_a_recording_may_be_as_large_as_in_a_form(http: httpx.Client) -> None:
    """Ten minutes, the clients' chunk length, are 19 MB and must be accepted."""
    refused = ask(http, audio(bytes(19_200_000)), QUESTION)
    assert "it is no recording of a known kind" in refused.json()["error"]["message"]


def test_the_answer_can_be_streamed(http: httpx.Client) -> None:
    streamed = ask(http, audio(), QUESTION, stream=True)
    assert streamed.headers["content-type"] == "text/event-stream"
    assert streamed.headers["x-voxtral-model"] == "SmolLM2-135M-Instruct"
    assert streamed.text.endswith("data: [DONE]\n\n")


def test_a_recording_without_speech(http: httpx.Client) -> None:
    silence = JFK[:44] + bytes(len(JFK) - 44)
    notice = text("The recording has no speech in it.\n")
    assert answer(http, audio(silence), QUESTION) == answer(http, notice, QUESTION)


def test_a_system_message_with_a_recording_is_refused_like_voxtral_does(http: httpx.Client) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [audio(), QUESTION]},
    ]
    refused = http.post(CHAT, json={"model": MODEL, "messages": messages})
    message = (
        "Found system messages at indexes [0] and audio chunks in messages at indexes [1]. "
        "This is not allowed prior to the tokenizer version 13."
    )
    assert (refused.status_code, refused.json()) == (400, {"error": {"message": message}})


@pytest.mark.parametrize("stream", [False, True])
def test_what_cannot_be_decoded(http: httpx.Client, stream: bool) -> None:
    refused = ask(http, audio(JFK[:30]), QUESTION, stream=stream)
    message = "The recording cannot be read: its WAV header has no data chunk: it holds no sound."
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    assert (refused.status_code, refused.json()) == (400, {"error": error})


@pytest.mark.parametrize(
    ("part", "where", "message"),
    [
        (
            {"type": "input_audio"},
            ["input_audio"],
            "Field required",
        ),
        (
            audio(format="flac"),
            ["input_audio", "format"],
            "Input should be 'wav' or 'mp3'",
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "a-b"}},
            ["input_audio", "data"],
            "Value error, the recording is no base64: Only base64 data is allowed",
        ),
    ],
)
def test_ill_formed_parts(
    http: httpx.Client, part: dict[str, Any], where: list[str], message: str
) -> None:
    refused = ask(http, QUESTION, part)
    [fault] = refused.json()["detail"]
    assert refused.status_code == 422
    assert (fault["loc"], fault["msg"]) == (["body", "messages", 0, "content", 1, *where], message)


def test_an_invalid_request_is_refused_before_transcription(
    http: httpx.Client,
) -> None:
    refused = ask(http, audio(b"no recording"), QUESTION, temperature=3)
    assert [fault["loc"] for fault in refused.json()["detail"]] == [["body", "temperature"]]
    assert ask(http, audio(b"no recording"), model="meta/other").status_code == 404
