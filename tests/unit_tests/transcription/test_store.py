"""The store of transcripts: an interrupted run pays only for what is missing."""

from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.stores import InMemoryByteStore
from pydantic import SecretStr
from support import speech_samples
from support.scripted_server import ScriptedServer
from support.transcription_calls import (
    BUSY,
    KEY,
    LONG,
    PARSES,
    SHORT,
    chunk_number,
    parser_of,
    transcription_reply,
)

from langchain_voxtral import VoxtralTranscriptionLoader, VoxtralTranscriptionParser
from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.errors import VoxtralRateLimitError
from langchain_voxtral.protocol.transcription import Transcript
from langchain_voxtral.protocol.transcription_request import ChunkTranscript
from langchain_voxtral.transcription.settings import request_for
from langchain_voxtral.transcription.store import TranscriptStore


@pytest.mark.parametrize("method", PARSES)
def test_a_killed_run_pays_only_for_what_is_missing(method: str) -> None:
    store = InMemoryByteStore()
    settings: dict[str, Any] = {"chunk_seconds": 11, "max_concurrency": 1, "store": store}
    with ScriptedServer(
        transcription_reply("A"), transcription_reply("B"), BUSY, transcription_reply("C")
    ) as server:
        parser = parser_of(server, mode="chunk", **settings)
        with pytest.raises(VoxtralRateLimitError):
            PARSES[method](parser, LONG)
        assert astuple(parser.estimate(LONG)) == (pytest.approx(10.15), 1, 376, None)
        made = PARSES[method](parser, LONG)
        again = PARSES[method](parser, LONG)
    assert [chunk_number(seen) for seen in server.requests] == [0, 1, 2, 2]
    assert [one.page_content for one in made] == ["A", "B", "C"]
    assert [one.metadata["chunks_from_store"] for one in made] == [1, 1, 0]
    assert [one.metadata["chunks_from_store"] for one in again] == [1, 1, 1]
    for one in (*made, *again):
        del one.metadata["chunks_from_store"]
    assert made == again


SETTINGS: dict[str, tuple[dict[str, Any], bool]] = {
    "language": ({"language": "en"}, True),
    "prompt": ({"prompt": "p"}, True),
    "temperature": ({"temperature": 0.5}, True),
    "model": ({"model": "a/b"}, True),
    "task": ({"task": "translate"}, True),
    "endpoint": ({"endpoint": "native"}, True),
    "server": ({"server": "vllm"}, True),
    "more fields": ({"model_kwargs": {"chunk_length_s": 5}}, True),
    "times": ({"mode": "srt"}, True),
    "chunks": ({"mode": "chunk"}, False),
    "parallel work": ({"max_concurrency": 1}, False),
    "progress": ({"progress": print}, False),
    "price": ({"price_per_minute": 1, "max_cost_usd": 1}, False),
    "marks": ({"on_error": "mark"}, False),
    "a key": ({"api_key": "another"}, False),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_only_changed_settings_are_requested_again(name: str) -> None:
    settings, anew = SETTINGS[name]
    store = InMemoryByteStore()
    with ScriptedServer(default=transcription_reply("x")) as server:
        parser_of(server, store=store).parse(SHORT)
        parser_of(server, store=store, **settings).parse(SHORT)
    assert len(server.requests) == 1 + anew


def test_the_store_identifies_audio_by_content(tmp_path: Path) -> None:
    store = InMemoryByteStore()
    with ScriptedServer(transcription_reply("A"), transcription_reply("B")) as server:
        for name, sound in (("a", SHORT), ("b", SHORT), ("a", LONG)):
            path = tmp_path / name
            path.write_bytes(sound)
            [made] = parser_of(server, store=store).parse(path)
            assert made.metadata["source"] == str(path)
    assert made.page_content == "B"
    assert len(server.requests) == 2


def _half(entry: bytes) -> bytes:
    return entry[: len(entry) // 2]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": _half,
    "no entry": lambda _: b"Dear diary",
}


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_entry_is_replaced(
    name: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = InMemoryByteStore()
    with ScriptedServer(transcription_reply("A"), transcription_reply("B")) as server:
        parser = parser_of(server, store=store)
        PARSES[method](parser, SHORT)
        keys = [*store.yield_keys()]
        store.mset([(key, DAMAGES[name](store.mget([key])[0] or b"")) for key in keys])
        [made] = PARSES[method](parser, SHORT)
        again = PARSES[method](parser, SHORT)
    assert (made.page_content, made.metadata["end"]) == ("B", 2.0)
    assert again[0].page_content == "B"
    assert [*store.yield_keys()] == keys
    assert caplog.text.count("is damaged and will be replaced") == 1


class FaultyStore(InMemoryByteStore):
    """Fails on reads, or on writes from a given number on."""

    def __init__(self, *, reads: bool = True, writes: int = 99) -> None:
        super().__init__()
        self.reads, self.writes = reads, writes

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        if not self.reads:
            raise OSError(5, "Input/output error")
        return super().mget(keys)

    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        if not self.writes:
            raise OSError(28, "No space left on device")
        self.writes -= 1
        super().mset(key_value_pairs)

    async def amget(self, keys: Sequence[str]) -> list[bytes | None]:
        return self.mget(keys)

    async def amset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        self.mset(key_value_pairs)


@pytest.mark.parametrize("method", PARSES)
def test_a_store_that_cannot_be_read_is_reported_before_anything_is_paid(method: str) -> None:
    store = FaultyStore(reads=False)
    with (
        ScriptedServer(default=transcription_reply("x")) as server,
        pytest.raises(OSError, match="error"),
    ):
        PARSES[method](parser_of(server, store=store), SHORT)
    assert server.requests == []


@pytest.mark.parametrize("method", PARSES)
def test_transcripts_are_not_lost_if_the_store_fails(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedServer(
        transcription_reply("A"), transcription_reply("B"), transcription_reply("C")
    ) as server:
        parser = parser_of(server, store=FaultyStore(writes=1), chunk_seconds=11, max_concurrency=1)
        [made] = PARSES[method](parser, LONG)
    assert made.page_content == "A B C"
    assert [record.getMessage() for record in caplog.records] == [
        f"store: the recording, {chunk} could not be kept, and another run will pay for it again "
        "(OSError: [Errno 28] No space left on device)"
        for chunk in (
            "chunk 2 (9.8 s to 19.9 s)",
            "chunk 3 (19.9 s to 30.0 s)",
        )
    ]


class AsyncStore(InMemoryByteStore):
    """Has no synchronous methods, like some database stores."""

    def mget(self, keys: Sequence[str]) -> list[bytes | None]:
        raise NotImplementedError

    def mset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        raise NotImplementedError

    async def amget(self, keys: Sequence[str]) -> list[bytes | None]:
        return super().mget(keys)

    async def amset(self, key_value_pairs: Sequence[tuple[str, bytes]]) -> None:
        super().mset(key_value_pairs)


async def test_a_store_may_be_asynchronous_only() -> None:
    store = AsyncStore()
    with ScriptedServer(transcription_reply("A")) as server:
        parser = parser_of(server, store=store, price_per_minute=0.001)
        loader = VoxtralTranscriptionLoader([SHORT, SHORT], parser=parser, max_cost_usd=1)
        assert (await loader.aestimate()).chunks == 2
        made = [document.page_content async for document in loader.alazy_load()]
        assert (await parser.aestimate(SHORT)).dollars == 0
    assert made == ["A", "A"]
    assert len(server.requests) == 1


@pytest.mark.parametrize("method", PARSES)
def test_chunks_are_identified_by_their_audio_in_any_recording(method: str) -> None:
    store = InMemoryByteStore()
    with ScriptedServer(default=transcription_reply("x")) as server:
        parser = parser_of(server, store=store, chunk_seconds=11, max_concurrency=1)
        PARSES[method](parser, LONG)
        note = speech_samples.chunk(b"LIST", b"another file")
        [made] = PARSES[method](parser, speech_samples.with_chunks(LONG, note, b""))
    assert made.metadata["chunks_from_store"] == 3
    assert len(server.requests) == 3


def test_stored_transcripts_need_no_key_and_no_server() -> None:
    store = InMemoryByteStore()
    answers = httpx.MockTransport(lambda _: httpx.Response(200, json={"text": "A"}))
    with httpx.Client(transport=answers) as client:
        VoxtralTranscriptionParser(api_key=SecretStr(KEY), http_client=client, store=store).parse(
            SHORT
        )
    [made] = VoxtralTranscriptionParser(store=store).parse(SHORT)
    assert made.page_content == "A"


def test_keys_suit_file_stores() -> None:
    store = InMemoryByteStore()
    with ScriptedServer(transcription_reply("A")) as server:
        parser_of(server, store=store).parse(SHORT)
    assert all(key.replace("-", "").isalnum() for key in store.yield_keys())


def test_the_embedded_engine_with_another_speech_model_transcribes_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = TranscriptStore(InMemoryByteStore(), "local")
    settings = VoxtralTranscriptionParser(base_url="local")
    request = request_for(settings, AudioChunk(0, 0.0, 1.0, b"sound"), "the recording")
    made = ChunkTranscript(Transcript("Hello."), "whisper-base")
    monkeypatch.delenv("VOXTRAL_WHISPER", raising=False)
    store.save(request, made)
    assert store.load(request) == made
    monkeypatch.setenv("VOXTRAL_WHISPER", "small")
    assert store.load(request) is None
