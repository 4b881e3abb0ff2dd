"""Recordings of a conversation are fetched and prepared for the request."""

import asyncio
import base64
import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import HumanMessage
from support.file_host import FileHost, ok
from support.speech_samples import encoded, silence, wav_bytes

from langchain_voxtral import audio_block
from langchain_voxtral.audio.formats import MP3, WAV
from langchain_voxtral.completions.audio_inputs import AudioCache, aload_audio, load_audio
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import AudioPart, Turn, to_openai, to_turns
from langchain_voxtral.providers import PROVIDERS
from langchain_voxtral.transport import FetchPolicy

ANYWHERE = FetchPolicy(allows=lambda _: True)
"""The server of the test is on loopback."""
DEEPINFRA, VLLM = PROVIDERS["deepinfra"], PROVIDERS["vllm"]
MP3_FILE = encoded("mp3")


def test_the_file_of_a_url_is_sent_and_fetched_once() -> None:
    with FileHost(ok(MP3_FILE)) as host:
        block = audio_block(host.url("/named.wav"), mime_type="audio/wav")
        turns = to_turns([HumanMessage(["a", block, "b", block])])
        part = AudioPart(MP3_FILE, MP3)
        expected = [Turn("user", "ab", parts=("a", part, "b", part))]
        assert load_audio(turns, DEEPINFRA, ANYWHERE) == expected
        assert len(host.requests) == 1
        assert asyncio.run(aload_audio(turns, DEEPINFRA, ANYWHERE)) == expected
        assert len(host.requests) == 2


def test_a_page_instead_of_a_recording_is_refused_with_its_position() -> None:
    with FileHost(ok(b"<!doctype html>")) as host:
        turns = to_turns([HumanMessage(["a", audio_block(host.url("/talk.mp3"))])])
        with pytest.raises(VoxtralInvalidRequestError) as raised:
            load_audio(turns, VLLM, ANYWHERE)
    assert str(raised.value).startswith("messages[0] (user), block 1: it is no recording of a")


def test_a_conversation_without_recordings_is_left_alone() -> None:
    turns = to_turns([HumanMessage("Hello!")])
    assert load_audio(turns, VLLM) == turns
    assert asyncio.run(aload_audio(turns, VLLM)) == turns


@given(st.lists(st.one_of(st.text(min_size=1), st.integers(1, 400)), max_size=6))
def test_texts_and_recordings_arrive_as_they_were_in_their_order(parts: list[str | int]) -> None:
    """A number is a recording with that many samples."""
    files = {count: wav_bytes(silence(count / 16_000)) for count in parts if isinstance(count, int)}
    content = [one if isinstance(one, str) else audio_block(files[one]) for one in parts]
    turns = load_audio(to_turns([HumanMessage(content)]), VLLM)
    [message] = to_openai(turns, audio_part=VLLM.audio_part)
    if not files:
        assert message["content"] == "".join(map(str, parts))
        return
    read: list[str | bytes] = []
    for part in message["content"]:
        sound = part.get("input_audio")
        read.append(base64.b64decode(sound["data"]) if sound else part["text"])
    meant: list[str | bytes] = []
    for one in parts:
        if isinstance(one, str) and meant and isinstance(last := meant[-1], str):
            meant[-1] = last + one
        else:
            meant.append(one if isinstance(one, str) else files[one])
    assert read == meant
    assert all(part.format == WAV for part in turns[0].audio)


# The cache of converted recordings


def sent(encoded_audio: str) -> str:
    """Return a recording's base64 as it is sent."""
    turns = to_turns([HumanMessage([{"type": "audio", "base64": encoded_audio}])])
    [message] = to_openai(load_audio(turns, VLLM), audio_part=VLLM.audio_part)
    data: str = message["content"][0]["input_audio"]["data"]
    return data


def test_base64_goes_out_as_it_came_unless_it_is_unusual() -> None:
    usual = base64.b64encode(wav_bytes(silence(0.3))).decode()
    assert usual.endswith("A=")
    assert sent(usual) is usual
    unusual = [usual.rstrip("="), f"{usual[:-2]}B=", f"{usual[:76]}\n{usual[76:]}", f" {usual}\n"]
    assert [sent(one) for one in unusual] == [usual] * len(unusual)


def flac(seconds: float) -> AudioPart:
    return AudioPart(encoded("flac", silence(seconds)))


def test_a_recording_is_converted_once() -> None:
    cache, part = AudioCache(), flac(1)
    clip = cache.get(part, VLLM)
    assert clip.seconds == 1.0
    again = AudioPart(bytes(bytearray(part.data)), location="elsewhere")
    assert cache.get(again, VLLM) is clip
    assert cache.get(flac(2), VLLM).seconds == 2.0
    assert cache.get(part, DEEPINFRA) is not clip


def test_the_cache_keeps_the_most_recently_used_recordings() -> None:
    one, two, three = flac(1), flac(1.5), flac(0.5)
    cache = AudioCache(max_bytes=90_000)
    first, second = cache.get(one, VLLM), cache.get(two, VLLM)
    assert cache.get(one, VLLM) is first
    third = cache.get(three, VLLM)
    assert cache.get(one, VLLM) is first
    assert cache.get(three, VLLM) is third
    assert cache.get(two, VLLM) is not second
    large, second = flac(4), cache.get(two, VLLM)
    assert cache.get(large, VLLM) is not cache.get(large, VLLM)
    assert cache.get(two, VLLM) is second


def test_copies_have_an_empty_cache_and_are_equal() -> None:
    cache, part = AudioCache(), flac(1)
    clip = cache.get(part, VLLM)
    for copied in (copy.deepcopy(cache), pickle.loads(pickle.dumps(cache))):  # noqa: S301 - our own
        assert copied == cache
        assert copied.get(part, VLLM) is not clip
