"""Chunks and recordings that fail, and what a run leaves."""

import gc
import hashlib
import pickle
import threading
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.stores import InMemoryByteStore
from langchain_core.tracers.context import collect_runs
from pydantic import SecretStr
from support import speech_samples
from support.scripted_server import End, Reply, ScriptedServer
from support.sse_replies import json_reply
from support.transcription_calls import (
    BOUNDS,
    BUSY,
    KEY,
    LONG,
    MODEL,
    PARSES,
    SHORT,
    form_of,
    parser_of,
    transcription_reply,
)

from langchain_voxtral import VoxtralTranscriptionParser
from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.errors import (
    VoxtralAudioError,
    VoxtralAuthenticationError,
    VoxtralError,
    VoxtralInvalidRequestError,
    VoxtralRateLimitError,
)
from langchain_voxtral.transcription.concurrency import astream_ordered, stream_ordered
from langchain_voxtral.transcription.progress import Progress

AUDIOS = {"short": SHORT, "long": LONG}
WHERE = "chunk 2 \\(9.8 s to 19.9 s\\)"


@pytest.mark.parametrize("method", PARSES)
def test_a_failed_chunk_raises_and_the_error_says_which(method: str) -> None:
    with (
        ScriptedServer(transcription_reply("A"), BUSY, default=transcription_reply("C")) as server,
        pytest.raises(VoxtralRateLimitError, match=WHERE) as caught,
    ):
        PARSES[method](parser_of(server, chunk_seconds=11, max_concurrency=1), LONG)
    assert caught.value.status_code == 429
    assert len(server.requests) == 2


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize("mode", ["chunk", "segment"])
def test_a_failed_chunk_is_marked_on_request(mode: str, method: str) -> None:
    settings: dict[str, Any] = {"mode": mode, "max_concurrency": 1, "on_error": "mark"}
    with ScriptedServer(transcription_reply("A"), BUSY, transcription_reply("C")) as server:
        made = PARSES[method](parser_of(server, chunk_seconds=11, **settings), LONG)
    assert [one.page_content for one in made] == ["A", "", "C"]
    assert ["error" in one.metadata for one in made] == [False, True, False]
    failed = made[1].metadata
    assert (failed["start"], failed["end"], failed["chunk"]) == (*BOUNDS[1], 1)
    assert failed["error_type"] == "VoxtralRateLimitError"
    assert "chunk 2" in failed["error"]


@pytest.mark.parametrize("mode", ["document", "srt", "vtt"])
def test_the_document_of_a_whole_recording_lists_failed_chunks(mode: str) -> None:
    with ScriptedServer(transcription_reply("A"), BUSY, transcription_reply("C")) as server:
        [made] = parser_of(
            server, chunk_seconds=11, max_concurrency=1, on_error="mark", mode=mode
        ).parse(LONG)
    assert "A" in made.page_content
    assert "C" in made.page_content
    assert made.metadata["failed_chunks"] == 1
    assert "chunk 2 (9.8 s to 19.9 s)" in made.metadata["error"]


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize("tracing", [nullcontext, collect_runs], ids=["alone", "traced"])
@pytest.mark.parametrize("failure", [BUSY, Reply(steps=(End.RESET,))], ids=["busy", "reset"])
def test_chunks_that_failed_do_not_stay_in_memory(
    failure: Reply, tracing: Callable[[], AbstractContextManager[Any]], method: str
) -> None:
    alive: list[int] = []

    def look(_: Progress) -> None:
        chunks = (one for one in gc.get_objects() if isinstance(one, AudioChunk))
        alive.append(sum(bool(chunk.data) for chunk in chunks))

    gc.collect()
    gc.freeze()  # what was there before is not looked at
    gc.disable()  # it may take long until the oldest generation is collected
    try:
        with ScriptedServer(default=failure) as server, tracing():
            parser = parser_of(
                server, chunk_seconds=2, on_error="mark", max_concurrency=1, progress=look
            )
            [made] = PARSES[method](parser, LONG)
    finally:
        gc.enable()
        gc.unfreeze()
    assert made.metadata["failed_chunks"] == len(alive) - 1
    assert max(alive) <= 3  # the one that failed, the one that is sent, the next one


@pytest.mark.parametrize("method", PARSES)
def test_a_key_that_is_refused_is_never_marked(method: str) -> None:
    refusal = json_reply({"detail": "User is not authorized to access this resource"}, status=401)
    with (
        ScriptedServer(default=refusal) as server,
        pytest.raises(VoxtralAuthenticationError) as caught,
    ):
        PARSES[method](parser_of(server, on_error="mark"), SHORT)
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("method", PARSES)
def test_a_recording_that_cannot_be_decoded_raises_or_is_marked(method: str) -> None:
    with ScriptedServer() as server:
        with pytest.raises(VoxtralAudioError, match="no recording of a known kind"):
            PARSES[method](parser_of(server), b"Dear diary, ...")
        [made] = PARSES[method](parser_of(server, on_error="mark"), b"Dear diary, ...")
    assert made.page_content == ""
    assert made.metadata["error_type"] == "VoxtralAudioError"
    assert server.requests == []


def test_a_document_has_the_hash_of_its_recording_however_soon_it_is_there() -> None:
    store = InMemoryByteStore()
    with ScriptedServer(transcription_reply("once")) as server:
        parser = parser_of(server, store=store, mode="segment")
        hashes = {made.metadata["sha256"] for _ in range(20) for made in parser.parse(SHORT)}
    assert hashes == {hashlib.sha256(SHORT).hexdigest()}


@pytest.mark.parametrize("method", PARSES)
def test_damage_at_the_end_is_reported_after_the_chunks_before_it(method: str) -> None:
    flac = speech_samples.encoded("flac", speech_samples.noise(30.0))
    cut = flac[: len(flac) * 2 // 3]
    store = InMemoryByteStore()
    with ScriptedServer(default=transcription_reply("x")) as server:
        parser = parser_of(server, chunk_seconds=11, max_concurrency=1, store=store)
        with pytest.raises(VoxtralAudioError, match="truncated='keep'"):
            PARSES[method](parser, cut)
        assert len(server.requests) == 1
        marking = parser.model_copy(update={"on_error": "mark"})
        [made] = PARSES[method](marking, cut)
        parts = PARSES[method](marking.model_copy(update={"mode": "chunk"}), cut)
        assert len(server.requests) == 1
    assert (made.page_content, made.metadata["failed_chunks"]) == ("x", 1)
    assert made.metadata["error_type"] == "VoxtralTruncatedAudioError"
    assert [part.page_content for part in parts] == ["x", ""]
    assert ["error" in part.metadata for part in parts] == [False, True]
    assert made.metadata["chunks_from_store"] == 1


Emit = Callable[[str], None]


def test_items_that_fail_are_reported_after_the_results_before_them() -> None:
    def failing() -> Generator[int]:
        yield 1
        raise ValueError("no second one")

    def work(number: int, _: Emit) -> str:
        return str(number)

    results = stream_ordered(failing(), work, 2)
    assert next(results) == "1"
    with pytest.raises(ValueError, match="no second one"):
        next(results)


async def test_items_that_fail_are_reported_on_the_event_loop_too() -> None:
    def failing() -> Generator[int]:
        yield 1
        raise ValueError("no second one")

    async def work(number: int, _: Emit) -> str:
        return str(number)

    results = astream_ordered(failing(), work, 2)
    assert await anext(results) == "1"
    with pytest.raises(ValueError, match="no second one"):
        await anext(results)


@pytest.mark.parametrize("method", PARSES)
def test_a_retried_chunk_is_sent_completely(method: str) -> None:
    busy = replace(BUSY, headers={**BUSY.headers, "retry-after": "0"})
    early = Reply(status=503, body=b"", closes=True)
    with ScriptedServer(
        busy, early, transcription_reply("A"), default=transcription_reply("B")
    ) as server:
        parser = parser_of(server, max_retries=2)
        [made] = PARSES[method](parser, AUDIOS["long"])
    assert made.page_content == "A"
    assert [form_of(seen)[1][3] for seen in server.requests] == [LONG] * 3
    assert {seen.headers.get("transfer-encoding") for seen in server.requests} == {None}


def test_audio_that_the_server_cannot_read_is_not_sent_again() -> None:
    with (
        ScriptedServer(default=json_reply({"detail": "inference error"}, status=500)) as server,
        pytest.raises(VoxtralInvalidRequestError, match="cannot read the audio"),
    ):
        parser_of(server, max_retries=2).parse(SHORT)
    assert len(server.requests) == 1


# Pickles and keys


def test_a_parser_is_pickled_without_its_key() -> None:
    parser = VoxtralTranscriptionParser(api_key=SecretStr(KEY), language="fr", mode="srt")
    written = pickle.dumps(parser)
    assert KEY.encode() not in written
    read = pickle.loads(written)  # noqa: S301 - our own
    assert (read.language, read.mode, read.model, read.api_key) == ("fr", "srt", MODEL, None)
    assert KEY not in repr(parser)


def test_without_a_key_nothing_is_sent() -> None:
    with pytest.raises(VoxtralError, match="DeepInfra needs a key"):
        VoxtralTranscriptionParser().parse(SHORT)


def test_a_result_that_comes_at_once_has_the_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start

    def start_and_join(thread: threading.Thread) -> None:
        start(thread)
        thread.join()

    with ScriptedServer(transcription_reply("x")) as server:
        parser = parser_of(server, mode="chunk")
        monkeypatch.setattr(threading.Thread, "start", start_and_join)
        [made] = parser.parse(SHORT)
        monkeypatch.undo()
    assert made.metadata["sha256"] == hashlib.sha256(SHORT).hexdigest()
