"""Transcription runs: parallel, failing, cancelled."""

import asyncio
import gc
import hashlib
import io
import pickle
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, aclosing, closing, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.stores import InMemoryByteStore
from langchain_core.tracers.context import collect_runs
from pydantic import SecretStr
from support import speech_samples
from support.scripted_server import TIMEOUT_SECONDS, End, Gate, Reply, ScriptedServer
from support.sse_replies import json_reply
from support.transcription_calls import (
    BOUNDS,
    BUSY,
    KEY,
    LONG,
    MODEL,
    PARSES,
    SHORT,
    chunk_number,
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

if TYPE_CHECKING:
    from langchain_core.documents import Document

AUDIOS = {"short": SHORT, "long": LONG}
ENDS = {"short": [2.0], "long": [end for _, end in BOUNDS]}
WHERE = "chunk 2 \\(9.8 s to 19.9 s\\)"

# Order and parallel work


@pytest.mark.parametrize("method", PARSES)
def test_chunks_are_requested_in_parallel_and_returned_in_order(method: str) -> None:
    gates = [Gate(), Gate(), Gate()]
    bodies = [transcription_reply(text).body or b"" for text in "ABC"]
    script = [Reply(steps=(gate, body)) for gate, body in zip(gates, bodies, strict=True)]
    with ScriptedServer(*script) as server:

        def answer_the_last_first() -> None:
            server.wait_for_requests(3)
            for gate in reversed(gates):
                gate.open()

        answering = threading.Thread(target=answer_the_last_first)
        answering.start()
        made = PARSES[method](parser_of(server, chunk_seconds=11, mode="chunk"), LONG)
        answering.join()
    came = [chunk_number(seen) for seen in server.requests]
    assert sorted(came) == [0, 1, 2]
    assert [one.page_content for one in made] == ["ABC"[came.index(place)] for place in range(3)]


Emit = Callable[[str], None]


class Thing:
    """An object whose end can be observed."""

    def __init__(self, number: int) -> None:
        self.number = number


def things(count: int, most_alive: list[int]) -> Generator[Thing]:
    """Yield objects, and record the number alive after each new one."""
    alive: weakref.WeakSet[Thing] = weakref.WeakSet()
    for number in range(count):
        thing = Thing(number)
        alive.add(thing)
        most_alive.append(len(alive))
        yield thing
        del thing


def test_at_most_one_item_is_prefetched() -> None:
    most_alive: list[int] = []
    barrier = threading.Barrier(3)

    def work(thing: Thing, _: Emit) -> int:
        barrier.wait(10)
        return thing.number

    assert [*stream_ordered(things(12, most_alive), work, 3)] == [*range(12)]
    assert max(most_alive) <= 4


async def test_at_most_one_item_is_prefetched_on_the_event_loop() -> None:
    most_alive: list[int] = []
    barrier = asyncio.Barrier(3)

    async def work(thing: Thing, _: Emit) -> int:
        async with asyncio.timeout(10):
            await barrier.wait()
        return thing.number

    results = astream_ordered(things(12, most_alive), work, 3)
    assert [result async for result in results] == [*range(12)]
    assert max(most_alive) <= 4


def test_after_a_failure_nothing_starts_and_running_items_end() -> None:
    begun: list[int] = []
    failed = threading.Event()

    def work(number: int, _: Emit) -> int:
        begun.append(number)
        if number == 1:
            failed.set()
            raise ValueError("one")
        assert failed.wait(10)
        return number

    results = stream_ordered((number for number in range(100)), work, 2)
    assert next(results) == 0
    with pytest.raises(ValueError, match="one"):
        next(results)
    assert begun == [0, 1]


async def test_a_failure_is_raised_once_no_item_is_running() -> None:
    begun, failed = asyncio.Event(), asyncio.Event()
    ended: list[int] = []

    async def work(number: int, _: Emit) -> None:
        if number == 0:
            await begun.wait()
            failed.set()
            raise ValueError("zero")
        begun.set()
        await failed.wait()
        for _round in range(10):  # of the loop, in which the failure could be raised
            await asyncio.sleep(0)
        ended.append(number)

    with pytest.raises(ValueError, match="zero"):
        await anext(astream_ordered((number for number in range(2)), work, 2))
    assert ended == [1]


def test_running_items_end_in_the_background_when_the_caller_leaves() -> None:
    begun, left, ended = threading.Event(), threading.Event(), threading.Event()

    def work(number: int, _: Emit) -> int:
        if number == 0:
            assert begun.wait(10)
            return number
        begun.set()
        assert left.wait(10)
        ended.set()
        return number

    with closing(stream_ordered((number for number in range(2)), work, 2)) as results:
        assert next(results) == 0
    assert not ended.is_set()
    left.set()
    assert ended.wait(10)


async def test_running_items_are_cancelled_when_the_caller_leaves() -> None:
    begun, cancelled = asyncio.Event(), asyncio.Event()

    async def work(number: int, _: Emit) -> int:
        if number == 0:
            await begun.wait()
            return 0
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return number

    async with aclosing(astream_ordered((number for number in range(3)), work, 2)) as results:
        assert await anext(results) == 0
    assert cancelled.is_set()


_INTERRUPTED = """
import sys
from langchain_voxtral import VoxtralTranscriptionParser
VoxtralTranscriptionParser(base_url=sys.argv[1], chunk_seconds=11).parse(sys.argv[2])
"""


def test_an_interrupted_process_does_not_wait_for_the_server(tmp_path: Path) -> None:
    path = tmp_path / "long.wav"
    path.write_bytes(LONG)
    with ScriptedServer(default=Reply(steps=(End.STALL,))) as server:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter
            [sys.executable, "-c", _INTERRUPTED, server.url, str(path)], stderr=subprocess.PIPE
        )
        try:
            server.wait_for_requests(3)
            process.send_signal(signal.SIGINT)
            _, output = process.communicate(timeout=TIMEOUT_SECONDS)
        finally:
            process.kill()
    assert output.rstrip().endswith(b"KeyboardInterrupt")


def test_a_loop_may_end_while_an_item_is_produced() -> None:
    made, goes_on = threading.Event(), threading.Event()
    tasks: list[asyncio.Task[None]] = []

    def slow() -> Generator[int]:
        made.set()
        assert goes_on.wait(TIMEOUT_SECONDS)
        yield 1

    async def work(number: int, _: Emit) -> int:
        return number

    async def run() -> None:
        async for _ in astream_ordered(slow(), work, 1):
            pass

    async def go_on_when_all_are_cancelled() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10):  # so that the other task has ended or waits
                await asyncio.sleep(0)
            goes_on.set()

    async def leave() -> None:
        tasks.extend(map(asyncio.create_task, [run(), go_on_when_all_are_cancelled()]))
        assert await asyncio.to_thread(made.wait, TIMEOUT_SECONDS)

    asyncio.run(leave())
    assert [task.cancelled() for task in tasks] == [True, True]


async def test_a_cancelled_run_closes_its_connections() -> None:
    with ScriptedServer(default=Reply(steps=(End.STALL,))) as server:
        running = asyncio.create_task(parser_of(server, chunk_seconds=11).aparse(LONG))
        await asyncio.to_thread(server.wait_for_requests, 3)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.to_thread(server.wait_until_disconnected)


class Slow(io.BytesIO):
    """Counts reads, and waits at one of them."""

    def __init__(self, data: bytes, waits_at: int = 0) -> None:
        super().__init__(data)
        self.reads, self.waits_at = 0, waits_at
        self.waits, self.goes_on = threading.Event(), threading.Event()

    def _count(self) -> None:
        self.reads += 1
        if self.reads == self.waits_at:
            self.waits.set()
            assert self.goes_on.wait(TIMEOUT_SECONDS)

    def read(self, size: int | None = -1) -> bytes:
        self._count()
        return super().read(size)

    def readinto(self, buffer: Any) -> int:
        self._count()
        return super().readinto(buffer)


async def test_an_estimate_by_decoding_ends_when_it_is_cancelled() -> None:
    sound = speech_samples.encoded("flac", speech_samples.noise(120.0))
    parser = VoxtralTranscriptionParser(chunk_seconds=1, store=InMemoryByteStore())
    whole = Slow(sound)
    parser.estimate(whole)
    file = Slow(sound, whole.reads // 3)
    running = asyncio.create_task(parser.aestimate(file))
    assert await asyncio.to_thread(file.waits.wait, TIMEOUT_SECONDS)
    running.cancel()
    await asyncio.sleep(0)
    file.goes_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert whole.reads // 3 <= file.reads < whole.reads * 2 // 3


async def test_decoding_ends_when_the_run_is_cancelled() -> None:
    sound = speech_samples.encoded("flac", speech_samples.noise(120.0))
    whole, file = Slow(sound), Slow(sound)
    VoxtralTranscriptionParser(chunk_seconds=1, store=InMemoryByteStore()).estimate(whole)
    with ScriptedServer(default=Reply(steps=(End.STALL,))) as server:
        running = asyncio.create_task(parser_of(server, chunk_seconds=1).aparse(file))
        await asyncio.to_thread(server.wait_for_requests, 4)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert file.reads < whole.reads // 2


async def test_files_are_never_read_on_the_event_loop() -> None:
    class Watched(io.BytesIO):
        """Records the thread of each read."""

        def read(self, size: int | None = -1) -> bytes:
            readers.add(threading.get_ident())
            return super().read(size)

    readers: set[int] = set()
    with ScriptedServer(default=transcription_reply("x")) as server:
        parser = parser_of(server, chunk_seconds=11)
        for sound in (SHORT, LONG):
            await parser.aparse(Watched(sound))
            await parser.aestimate(Watched(sound))
    assert readers
    assert threading.get_ident() not in readers


def test_a_parser_serves_several_threads_at_once() -> None:
    made: dict[str, list[Document]] = {}
    with ScriptedServer(default=transcription_reply("x")) as server:
        parser = parser_of(server, chunk_seconds=11, mode="chunk")

        def run(name: str, audio: bytes) -> None:
            made[name] = parser.parse(audio)

        audios = {f"{name}{number}": audio for number in range(3) for name, audio in AUDIOS.items()}
        threads = [threading.Thread(target=run, args=item) for item in audios.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for name, audio in audios.items():
        assert [one.metadata["end"] for one in made[name]] == ENDS[name[:-1]]
        assert made[name][0].metadata["sha256"] == hashlib.sha256(audio).hexdigest()


# Failures


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
