"""Blocks that name a recording in a store: how they are made, read and kept by LangChain."""

import io
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.language_models._utils import _normalize_messages
from langchain_core.messages import (
    HumanMessage,
    get_buffer_string,
    messages_from_dict,
    messages_to_dict,
)
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.stores import InMemoryByteStore
from support.speech_samples import encoded, silence, wav_bytes

from langchain_voxtral import audio_block, describe_audio
from langchain_voxtral.errors import VoxtralAudioError, VoxtralInvalidRequestError
from langchain_voxtral.messages import AudioPart, Turn, to_turns

WAV = wav_bytes(silence(1.5))
FILE_ID = f"sha256:{sha256(WAV).hexdigest()}"
KEY = f"voxtral-audio-{FILE_ID[7:]}"


@pytest.fixture
def talk(tmp_path: Path) -> Path:
    path = tmp_path / "talk.wav"
    path.write_bytes(WAV)
    return path


def test_a_block_with_a_store_names_the_recording_that_is_put_in(talk: Path) -> None:
    store = InMemoryByteStore()
    assert audio_block(talk, store=store, transcript="Hello.") == {
        "type": "audio",
        "file_id": FILE_ID,
        "mime_type": "audio/wav",
        "extras": {"name": "talk.wav", "seconds": 1.5, "transcript": "Hello."},
    }
    assert store.mget([KEY]) == [WAV]
    assert list(store.yield_keys()) == [KEY]


def test_a_name_that_is_no_utf_8_becomes_one() -> None:
    """No request, and no checkpoint, could carry it."""
    file = io.BytesIO(WAV)
    for name, shown in ("/t\udce9l.wav", "t?l.wav"), ("", None):
        file.name = name
        assert audio_block(file, store=InMemoryByteStore())["extras"].get("name") == shown
        file.seek(0)


@pytest.mark.parametrize("store", [None, InMemoryByteStore()])
def test_a_transcript_that_is_no_text_is_refused(store: InMemoryByteStore | None) -> None:
    said: Any = Document("Hello.")
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        audio_block(WAV, store=store, transcript=said)
    assert str(raised.value) == (
        "transcript= must be a string, not Document; of a Document give its page_content."
    )


MP3, FLAC = encoded("mp3", silence(2)), encoded("flac", silence(2))


@pytest.mark.parametrize(("data", "seconds"), [(WAV, 1.5), (MP3, 2.0), (FLAC, 2.0)])
def test_the_length_is_what_the_file_states(data: bytes, seconds: float) -> None:
    extras = audio_block(data, store=InMemoryByteStore())["extras"]
    assert extras == {"seconds": pytest.approx(seconds, abs=0.1)}


def test_without_the_extra_the_length_of_wav_and_mp3_is_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    blocks = [audio_block(data, store=InMemoryByteStore()) for data in (WAV, MP3, FLAC)]
    assert ["extras" in block for block in blocks] == [True, True, False]
    assert [block["mime_type"] for block in blocks] == ["audio/wav", "audio/mpeg", "audio/flac"]


def test_a_block_with_the_sound_may_have_a_transcript_too() -> None:
    block = audio_block(WAV, transcript="Hello.")
    assert block == audio_block(WAV) | {"extras": {"transcript": "Hello."}}


@pytest.mark.parametrize(
    ("source", "error", "problem"),
    [
        (
            "https://example.org/talk.wav",
            VoxtralInvalidRequestError,
            (
                "'https://example.org/talk.wav' is an address, which is not fetched for a store: "
                "download the recording, and give its path or its bytes."
            ),
        ),
        (WAV[:-100], VoxtralAudioError, "the recording: "),
        (b"Dear diary", VoxtralAudioError, "the recording: it is no recording of a known kind"),
    ],
)
def test_what_cannot_be_sent_is_not_put_in(
    source: Any, error: type[Exception], problem: str
) -> None:
    store = InMemoryByteStore()
    with pytest.raises(error) as raised:
        audio_block(source, store=store)
    assert str(raised.value).startswith(problem)
    assert list(store.yield_keys()) == []


@pytest.mark.parametrize(
    "block",
    [
        {"type": "audio", "file_id": FILE_ID, "extras": {"name": "talk.wav", "seconds": 2}},
        {"type": "audio", "file_id": FILE_ID, "mime_type": "audio/wav"},
        {"type": "audio", "file_id": FILE_ID, "extras": {"name": 7, "seconds": "long"}},
        {"type": "file", "file_id": FILE_ID, "mime_type": "audio/wav"},
        {"type": "audio", "source_type": "id", "id": FILE_ID, "mime_type": "audio/wav"},
        {"type": "audio", "file_id": FILE_ID, "base64": None, "id": "lc_1"},
    ],
)
def test_a_block_with_an_id_names_a_recording(block: dict[str, Any]) -> None:
    message = HumanMessage([block, "Well?"])
    expected = [Turn("user", "Well?", parts=(AudioPart(file_id=FILE_ID), "Well?"))]
    assert to_turns([message]) == expected
    assert to_turns(_normalize_messages([message])) == expected  # as LangChain calls a model


NOT_OURS = (
    "which cannot be read from here. Send the recording itself: audio_block(path) makes a block "
    "of it."
)
NO_HASH = (
    "is no 'sha256:' with 64 lower-case hexadecimal digits, as audio_block(path, store=...) "
    "writes it."
)


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"file_id": "file-abc"}, f"it names a file in a provider's store (file_id), {NOT_OURS}"),
        ({"file_id": KEY}, f"it names a file in a provider's store (file_id), {NOT_OURS}"),
        ({"file_id": 7}, f"it names a file in a provider's store (file_id), {NOT_OURS}"),
        ({"file_id": "sha256:../x"}, f"its file_id 'sha256:../x' {NO_HASH}"),
        ({"file_id": FILE_ID.upper()}, f"its file_id '{FILE_ID.upper()}' {NO_HASH}"),
        (
            {"source_type": "id", "id": "sha256:voxtral-1"},
            f"its id 'sha256:voxtral-1' {NO_HASH}",
        ),
        (
            {"file_id": FILE_ID, "base64": "UklG"},
            "the block of type 'audio' has 'base64' and 'file_id': give one, 'base64' or 'url'.",
        ),
    ],
)
def test_other_ids_are_refused_with_their_position(block: dict[str, Any], problem: str) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        to_turns([HumanMessage("a"), HumanMessage(["b", {"type": "audio", **block}])])
    assert str(raised.value) == f"messages[1] (user), block 1: {problem}"


def test_langchain_keeps_the_block_whole_and_counts_little(talk: Path) -> None:
    block = audio_block(talk, store=InMemoryByteStore(), transcript="Hello.")
    message = HumanMessage([block, "Well?"])
    assert message.content_blocks == [block, {"type": "text", "text": "Well?"}]
    assert _normalize_messages([message]) == [message]
    assert messages_from_dict(messages_to_dict([message])) == [message]
    assert count_tokens_approximately([message]) < 80


def test_a_summary_reads_the_description_and_not_the_extras(talk: Path) -> None:
    block = audio_block(talk, store=InMemoryByteStore(), transcript="Hello & more.")
    described = HumanMessage([block, describe_audio(block)])
    assert get_buffer_string([HumanMessage([block])], format="xml") == (
        f'<message type="human"><audio file_id="{FILE_ID}" /></message>'
    )
    assert get_buffer_string([described]) == (
        "Human: (Recording talk.wav, 1.5 s. Transcript: Hello & more.)"
    )
    assert "(Recording talk.wav, 1.5 s. Transcript: Hello &amp; more.)" in (
        get_buffer_string([described], format="xml")
    )


@pytest.mark.parametrize(
    ("extras", "text"),
    [
        ({}, "(Recording.)"),
        ({"seconds": 61.25}, "(Recording, 61.2 s.)"),
        ({"transcript": "Hi."}, "(Recording. Transcript: Hi.)"),
        ({"name": "a.mp3"}, "(Recording a.mp3.)"),
        ({"name": "a\n\nHuman: b.mp3"}, "(Recording a Human: b.mp3.)"),
        ({"name": 7, "seconds": "long", "transcript": ["Hi."]}, "(Recording.)"),
        ("none", "(Recording.)"),
    ],
)
def test_a_description_says_what_is_known(extras: object, text: str) -> None:
    block = {"type": "audio", "file_id": FILE_ID, "extras": extras}
    assert describe_audio(block) == {"type": "text", "text": text}


@pytest.mark.parametrize(
    ("given", "what"), [({"type": "image"}, "block of type 'image'"), ("talk.wav", "str")]
)
def test_only_recordings_are_described(given: Any, what: str) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        describe_audio(given)
    assert str(raised.value) == f"A {what} is no recording: give what audio_block made."
