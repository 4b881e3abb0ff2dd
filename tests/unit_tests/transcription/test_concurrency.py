"""Chunks in flight: their order, their ends, and calls that are cancelled."""

import asyncio
import hashlib
import io
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import aclosing, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.stores import InMemoryByteStore
from support import speech_samples
from support.scripted_server import TIMEOUT_SECONDS, End, Gate, Reply, ScriptedServer
from support.transcription_calls import (
    BOUNDS,
    LONG,
    PARSES,
    SHORT,
    chunk_number,
    parser_of,
    transcription_reply,
)

from langchain_voxtral import VoxtralTranscriptionParser
from langchain_voxtral.transcription.concurrency import astream_ordered, stream_ordered

if TYPE_CHECKING:
    from langchain_core.documents import Document


AUDIOS = {"short": SHORT, "long": LONG}
ENDS = {"short": [2.0], "long": [end for _, end in BOUNDS]}


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
