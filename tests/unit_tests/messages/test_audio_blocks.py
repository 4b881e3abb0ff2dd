"""Recordings in content blocks: all supported forms, and invalid ones."""

import base64
import io
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.content import create_audio_block
from support import speech_samples as samples

from langchain_voxtral import audio_block
from langchain_voxtral.audio.formats import FLAC, WAV
from langchain_voxtral.audio.wav import wav_header
from langchain_voxtral.errors import VoxtralAudioError, VoxtralInvalidRequestError
from langchain_voxtral.messages import AudioPart, Turn, to_turns
from langchain_voxtral.messages.audio_blocks import normalize_mime_type

DATA = wav_header(3_200) + bytes(3_197) + b"\xff\xef\xbf"
B64 = base64.b64encode(DATA).decode()
DATA_URL = f"data:audio/wav;base64,{B64}"
WEB = "https://example.org/talk.mp3"

BLOCKS: list[dict[str, Any]] = [
    dict(create_audio_block(base64=B64, mime_type="audio/wav")),
    {"type": "audio", "base64": B64, "mime_type": "audio/x-wav"},
    {"type": "audio", "base64": B64},
    {"type": "audio", "data": B64},
    {"type": "audio", "source_type": "base64", "data": B64, "mime_type": "audio/wav"},
    {"type": "audio", "url": DATA_URL},
    {"type": "audio", "source_type": "url", "url": DATA_URL},
    {"type": "audio", "base64": DATA_URL, "mime_type": "audio/wav"},
    {"type": "audio", "base64": base64.encodebytes(DATA).decode()},
    {"type": "audio", "base64": base64.urlsafe_b64encode(DATA).decode().rstrip("=")},
    {"type": "audio", "base64": B64.rstrip("=")},
    {"type": "audio", "url": DATA_URL.rstrip("=")},
    {"type": "input_audio", "input_audio": {"data": B64, "format": "wav"}},
    {"type": "input_audio", "input_audio": {"data": B64, "format": "mp3"}},
    {"type": "input_audio", "input_audio": {"data": B64}},
    {"type": "audio_url", "audio_url": {"url": DATA_URL}},
    {"type": "audio_url", "audio_url": DATA_URL},
    {"type": "media", "mime_type": "audio/wav", "data": B64},
    {"type": "file", "mime_type": "Audio/WAV; codecs=1", "base64": B64},
]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_form_of_block_is_the_recording_in_it(block: dict[str, Any]) -> None:
    [turn] = to_turns([HumanMessage(["Listen: ", block, {"type": "text", "text": "Well?"}])])
    assert turn == Turn("user", "Listen: Well?", parts=("Listen: ", AudioPart(DATA, WAV), "Well?"))
    assert turn.audio[0].location == "messages[0] (user), block 1"


@pytest.mark.parametrize(
    "block",
    [
        dict(create_audio_block(url=WEB)),
        {"type": "audio", "source_type": "url", "url": WEB, "mime_type": "audio/mpeg"},
        {"type": "audio_url", "audio_url": {"url": WEB}},
        {"type": "file", "mime_type": "audio/mpeg", "url": WEB},
    ],
)
def test_a_url_stays_one(block: dict[str, Any]) -> None:
    assert to_turns([HumanMessage([block])]) == [Turn("user", parts=(AudioPart(url=WEB),))]


def test_the_content_decides_the_format_and_not_the_label() -> None:
    flac = base64.b64encode(b"fLaC" + bytes(38)).decode()
    block = {"type": "input_audio", "input_audio": {"data": flac, "format": "mp3"}}
    [turn] = to_turns([HumanMessage([block])])
    assert turn.audio[0].format == FLAC


@pytest.mark.parametrize(
    "mime_type", ["audio/amr", "audio/x-ms-wma", "video/mp2t", "video/x-ms-asf", "application/ogg"]
)
def test_files_of_other_media_types_are_recordings(mime_type: str) -> None:
    [turn] = to_turns([HumanMessage([{"type": "file", "mime_type": mime_type, "base64": B64}])])
    assert [part.data for part in turn.audio] == [DATA]


def test_a_block_of_a_recording_that_only_ffmpeg_knows_has_its_media_type() -> None:
    second = samples.silence(1)
    assert audio_block(samples.encoded("mpegts", second))["mime_type"] == "video/mp2t"
    assert audio_block(samples.encoded("amr", second[:8_000], 8_000))["mime_type"] == "audio/amr"


def test_a_data_url_need_not_be_base64() -> None:
    [turn] = to_turns([HumanMessage([{"type": "audio", "url": "data:audio/wav,RIFF%00%ff"}])])
    assert turn.audio == (AudioPart(b"RIFF\x00\xff"),)


SEND_IT = "Send the recording itself: audio_block(path) makes a block of it."


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        (
            {"type": "audio", "file_id": "f-1"},
            "it names a file in a provider's store (file_id), which cannot be read from here. "
            + SEND_IT,
        ),
        (
            {"type": "audio", "source_type": "id", "id": "f-1"},
            "it names a file in a provider's store (id), which cannot be read from here. "
            + SEND_IT,
        ),
        (
            {"type": "media", "mime_type": "audio/mp3", "file_uri": "gs://a/b"},
            "it names a file in a provider's store (file_uri), which cannot be read from here. "
            + SEND_IT,
        ),
        (
            {"type": "audio", "base64": "UklG!"},
            "the recording is no base64 (Only base64 data is allowed). " + SEND_IT,
        ),
        (
            {"type": "audio", "base64": "UklGR"},
            "the recording is no base64 (Invalid base64-encoded string: number of data characters "
            "(5) cannot be 1 more than a multiple of 4). " + SEND_IT,
        ),
        ({"type": "audio", "base64": ""}, "the recording is empty. " + SEND_IT),
        ({"type": "audio", "url": "data:audio/wav;base64,"}, "the recording is empty. " + SEND_IT),
        (
            {"type": "audio", "url": "data:audio/wav;base64,é"},
            "the recording is no base64 (string argument should contain only ASCII characters). "
            + SEND_IT,
        ),
        (
            {"type": "audio", "url": "file:///etc/passwd"},
            "its URL is none of http:, https: and data:. " + SEND_IT,
        ),
        (
            {"type": "audio"},
            "the block of type 'audio' has no recording in it: give one, 'base64' or 'url'.",
        ),
        (
            {"type": "audio", "base64": B64, "url": WEB},
            "the block of type 'audio' has 'base64' and 'url': give one, 'base64' or 'url'.",
        ),
        (
            {"type": "audio", "base64": b"RIFF"},
            "its 'base64' must be a string, not bytes. " + SEND_IT,
        ),
        (
            {"type": "input_audio", "input_audio": 7},
            "the 'input_audio' of the block must be a dict, not int.",
        ),
    ],
)
def test_unreadable_blocks_are_refused_with_their_position(
    block: dict[str, Any], problem: str
) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        to_turns([SystemMessage("s"), HumanMessage(["See:", block])])
    assert str(raised.value) == f"messages[1] (user), block 1: {problem}"


@pytest.mark.parametrize(
    ("messages", "where"),
    [
        ([SystemMessage([BLOCKS[0]])], "messages[0] (system), block 0"),
        ([HumanMessage("a"), AIMessage(["b", BLOCKS[0]])], "messages[1] (assistant), block 1"),
    ],
)
def test_only_users_and_tools_send_recordings(messages: list[BaseMessage], where: str) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        to_turns(messages)
    assert str(raised.value) == (
        f"{where}: a recording can only be in a user's message or a tool's result; put it into a "
        "HumanMessage, or its words here."
    )


# `audio_block`


@pytest.mark.parametrize("form", ["path", "str", "bytes", "bytearray", "file", "data URL"])
def test_a_block_is_made_of_whatever_there_is(tmp_path: Path, form: str) -> None:
    path = tmp_path / "named.mp3"
    path.write_bytes(DATA)
    sources: dict[str, Any] = {
        "path": path,
        "str": str(path),
        "bytes": DATA,
        "bytearray": bytearray(DATA),
        "file": io.BytesIO(DATA),
        "data URL": DATA_URL,
    }
    block = audio_block(sources[form], mime_type="audio/mpeg")
    assert block == {"type": "audio", "base64": B64, "mime_type": "audio/wav"}
    assert to_turns([HumanMessage([block])]) == [Turn("user", parts=(AudioPart(DATA, WAV),))]


def test_a_url_is_not_fetched_and_its_type_is_normalised() -> None:
    assert audio_block(WEB) == {"type": "audio", "url": WEB}
    assert audio_block(WEB, mime_type="Audio/MP3") == {
        "type": "audio",
        "url": WEB,
        "mime_type": "audio/mpeg",
    }


def test_text_named_audio_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "diary.mp3"
    path.write_text("Dear diary, ...")
    with pytest.raises(VoxtralAudioError) as raised:
        audio_block(path)
    assert str(raised.value).startswith(f"{path}: it is no recording of a known kind (wav, mp3, ")


NO_SOURCE = "the recording must be a path, bytes or a file opened for reading bytes, not "
ADVICE = " Give the path of an audio file, its bytes, or a URL."


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        (b"", "the recording: it is empty: 0 bytes."),
        (
            "/nowhere/talk.wav",
            f"/nowhere/talk.wav cannot be read: No such file or directory.{ADVICE}",
        ),
        ("talk\0.wav", f"talk\0.wav cannot be read: embedded null byte.{ADVICE}"),
        (io.StringIO("text"), f"{NO_SOURCE}StringIO.{ADVICE}"),
        (7, f"{NO_SOURCE}int.{ADVICE}"),
    ],
)
def test_an_invalid_source_is_refused(source: Any, problem: str) -> None:
    with pytest.raises(VoxtralAudioError) as raised:
        audio_block(source)
    assert str(raised.value) == problem


def test_a_recording_that_is_cut_off_is_refused_at_once() -> None:
    with pytest.raises(VoxtralAudioError, match="the recording: "):
        audio_block(DATA[:-100])


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ("audio/wav", "audio/wav"),
        ("AUDIO/X-WAV", "audio/wav"),
        ("audio/mp3", "audio/mpeg"),
        ("audio/x-m4a", "audio/mp4"),
        ("audio/ogg; codecs=opus", "audio/ogg"),
        ("audio/weird", "audio/weird"),
    ],
)
def test_media_types_have_one_name(given: str, plain: str) -> None:
    assert normalize_mime_type(given) == plain
