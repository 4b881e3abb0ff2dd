"""What a transcription costs the client: ours, the `openai` package, and httpx alone.

    python benchmarks/transcription_cost.py

A server in a process of its own reads every request and answers at once, so that what is counted is
the client's. Recordings are WAV files that go out as they are. All clients are asked in turn, round
after round, over connections that are kept. Printed are milliseconds of processor time and by the
clock (least and median), the clock as a ratio to httpx alone, and by how much the peak of memory
rises in a process that makes one request, in MB and in sizes of the recording (Linux only).

Then one recording of 24 pieces, asynchronously: the others are given the pieces, ours also the
whole, which it decodes and cuts (twice: before the first request, and to send it).
"""

import argparse
import asyncio
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx
import openai
from pydantic import SecretStr

from langchain_voxtral import VoxtralTranscriptionParser
from langchain_voxtral.audio.wav import wav_header

MODEL = "mistralai/Voxtral-Mini-3B-2507"
KEY = "no-key"
RATE = 16_000
PIECES, PIECE_SECONDS = 24, 25
ROUNDS = {30: 60, 600: 15}
"""Length of the recording in seconds: rounds."""

ANSWER = b'{"text": "What was said."}'
REPLY = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: r\r\n"
    b"Content-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER)
)


class Reader(asyncio.Protocol):
    """Throws away what comes, and answers each request at its end."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin with nothing."""
        self.transport = transport
        self.head, self.missing = b"", 0

    def data_received(self, data: bytes) -> None:
        """Count a body down; clients send nothing more before they have their answer."""
        if self.missing:
            self.missing -= len(data)
        else:
            self.head += data
            head, blank, rest = self.head.partition(b"\r\n\r\n")
            if not blank:
                return
            self.head = b""
            self.missing = int(head.lower().split(b"content-length: ")[1].split()[0]) - len(rest)
        if not self.missing:
            self.transport.write(REPLY)  # type: ignore[attr-defined]


def serve(told: Connection) -> None:
    """Answer until the process is ended."""

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Reader, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def answering() -> Iterator[str]:
    """Run the server; yields the base URL of its API."""
    context = multiprocessing.get_context("spawn")
    ours, its = context.Pipe()
    process = context.Process(target=serve, args=(its,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1"
    finally:
        process.terminate()
        process.join()


def recording(seconds: float) -> bytes:
    """Return a WAV file: noise with half a second of silence in every ten."""
    noise = Path("/dev/urandom").open("rb")  # noqa: SIM115 - closed below
    with noise:
        loud = noise.read(2 * RATE)
    tenth = loud * 9 + loud[:RATE] + bytes(RATE)
    sound = (tenth * (int(seconds) // 10 + 1))[: int(seconds * RATE) * 2]
    return wav_header(len(sound)) + sound


# Clients: each is made once, and its function called with a recording.

Call = Callable[[bytes], object]


def _form(sound: bytes) -> dict[str, Any]:
    return {
        "data": {"model": MODEL, "response_format": "json", "temperature": "0.0"},
        "files": {"file": ("audio.wav", sound, "audio/wav")},
    }


def _parser(base_url: str, **settings: Any) -> VoxtralTranscriptionParser:
    return VoxtralTranscriptionParser(
        base_url=base_url, api_key=SecretStr(KEY), progress=False, **settings
    )


def by_httpx(base_url: str) -> Call:
    """Return a call without any client library."""
    client = httpx.Client(headers={"authorization": f"Bearer {KEY}"}, timeout=60)
    url = f"{base_url}/openai/audio/transcriptions"
    return lambda sound: client.post(url, **_form(sound)).raise_for_status().json()["text"]


def by_openai(base_url: str) -> Call:
    """Return a call of the `openai` package."""
    client = openai.OpenAI(base_url=f"{base_url}/openai", api_key=KEY)
    create = client.audio.transcriptions.create
    return lambda sound: (
        create(model=MODEL, file=("audio.wav", sound, "audio/wav"), temperature=0).text
    )


def by_ours(base_url: str) -> Call:
    """Return a call of this package."""
    return _parser(base_url).parse


CLIENTS = {"httpx alone": by_httpx, "openai": by_openai, "ours": by_ours}


Times = dict[str, list[tuple[float, float]]]
"""For each client, milliseconds of processor time and by the clock."""


def in_turn(calls: Mapping[str, Callable[[], object]], rounds: int) -> Times:
    """Return what calls take, each round begun by another one."""
    taken: Times = {name: [] for name in calls}
    order = deque(calls.items())
    for number in range(rounds + 1):
        order.rotate(1)
        for name, call in order:
            used, begun = time.process_time(), time.perf_counter()
            call()
            seconds = time.process_time() - used, time.perf_counter() - begun
            if number:  # the first warms up
                taken[name].append((seconds[0] * 1000, seconds[1] * 1000))
    return taken


def table(title: str, times: Times, more: Mapping[str, str] | None = None) -> None:
    """Print times; ratios are of the least to those of httpx alone."""
    print(f"\n{title}")
    print(f"{'':22}  processor, ms       clock, ms        ratio")
    print(f"{'':22}  least  median     least  median  proc. clock")
    floors = [min(column) for column in zip(*times["httpx alone"], strict=True)]
    for name, rows in times.items():
        columns = [*zip(*rows, strict=True)]
        cells = [f"{min(one):8.2f}{statistics.median(one):8.2f}" for one in columns]
        ratios = [f"{min(one) / floor:6.2f}" for one, floor in zip(columns, floors, strict=True)]
        print(f"{name:22}{'  '.join(cells)}{''.join(ratios)}{(more or {}).get(name, '')}")


def each(base_url: str, seconds: int) -> None:
    """Print what one request costs each of them."""
    sound = recording(seconds)
    calls = {name: partial(make(base_url), sound) for name, make in CLIENTS.items()}
    times = in_turn(calls, ROUNDS[seconds])
    risen = {name: _risen(name, base_url, seconds) for name in CLIENTS}
    peaks = {
        name: f"   peak +{rise / 1e6:.1f} MB ({rise / len(sound):.2f} recordings)"
        for name, rise in risen.items()
    }
    title = f"{seconds} s, {len(sound) / 1e6:.1f} MB, {ROUNDS[seconds]} rounds"
    table(title, times, peaks)


# Memory, each in a process of its own


def _risen(name: str, base_url: str, seconds: int) -> int:
    command = [sys.executable, __file__, "--memory", name, base_url, str(seconds)]
    # What is freed goes back at once, so that nothing is hidden in memory that was used before.
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(command, check=True, capture_output=True, env=environment)  # noqa: S603 - this file
    return int(done.stdout)


def memory(name: str, base_url: str, seconds: int) -> None:
    """Print by how many bytes the peak rises above what is held before a request."""
    call = CLIENTS[name](base_url)
    call(recording(1))  # imports and the connection
    sound = recording(seconds)
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak is what is now
    before = _peak()
    call(sound)
    print(_peak() - before)


def _peak() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


# Many at once


async def _httpx_pieces(base_url: str, pieces: list[bytes]) -> None:
    limits = httpx.Limits(max_connections=PIECES)
    headers = {"authorization": f"Bearer {KEY}"}
    url = f"{base_url}/openai/audio/transcriptions"
    async with httpx.AsyncClient(headers=headers, timeout=60, limits=limits) as client:
        await asyncio.gather(*(client.post(url, **_form(piece)) for piece in pieces))


async def _openai_pieces(base_url: str, pieces: list[bytes]) -> None:
    async with openai.AsyncOpenAI(base_url=f"{base_url}/openai", api_key=KEY) as client:
        create = client.audio.transcriptions.create
        files = [("audio.wav", piece, "audio/wav") for piece in pieces]
        await asyncio.gather(*(create(model=MODEL, file=file, temperature=0) for file in files))


async def _our_pieces(base_url: str, pieces: list[bytes]) -> None:
    async with _parser(base_url) as parser:
        await asyncio.gather(*map(parser.aparse, pieces))


async def _our_whole(base_url: str, pieces: list[bytes]) -> None:
    header = len(wav_header(0))
    sound = b"".join(piece[header:] for piece in pieces)
    whole = wav_header(len(sound)) + sound
    settings = {"chunk_seconds": PIECE_SECONDS, "max_concurrency": PIECES}
    async with _parser(base_url, **settings) as parser:
        [document] = await parser.aparse(whole)
    if abs(document.metadata["n_chunks"] - PIECES) > 1:
        raise RuntimeError(f"cut in {document.metadata['n_chunks']} pieces")


def many(base_url: str, rounds: int = 12) -> None:
    """Print what 24 pieces at once cost, clients made and closed anew each time."""
    pieces = [recording(PIECE_SECONDS) for _ in range(PIECES)]
    ways = {
        "httpx alone": _httpx_pieces,
        "openai": _openai_pieces,
        "ours, pieces": _our_pieces,
        "ours, cut from a whole": _our_whole,
    }
    calls = {name: partial(_run, way, base_url, pieces) for name, way in ways.items()}
    title = f"{PIECES} pieces of {PIECE_SECONDS} s at once, {rounds} rounds"
    table(title, in_turn(calls, rounds))


def _run(way: Callable[..., Coroutine[Any, Any, None]], *arguments: object) -> None:
    asyncio.run(way(*arguments))


def main() -> None:
    """Print all tables."""
    reader = argparse.ArgumentParser()
    reader.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    asked = reader.parse_args()
    if asked.memory:
        name, base_url, seconds = asked.memory
        memory(name, base_url, int(seconds))
        return
    with answering() as base_url:
        for seconds in ROUNDS:
            each(base_url, seconds)
        many(base_url)


if __name__ == "__main__":
    main()
