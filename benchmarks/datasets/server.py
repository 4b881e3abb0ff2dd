"""A server of fixed latency, in a process of its own, for measuring jobs on datasets.

It answers each request as DeepInfra does, with a text or a transcript, a fixed time after the
request has arrived as a whole. It counts requests, and how many are in flight at most.
"""

import asyncio
import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import httpx

_TEXT = " ".join(f"word{number}" for number in range(100))
_ANSWERS = {
    "/inference/": {
        "request_id": "r",
        "results": [{"generated_text": _TEXT}],
        "num_tokens": 100,
        "num_input_tokens": 12,
        "inference_status": {
            "status": "succeeded",
            "runtime_ms": 1,
            "cost": 0.00001,
            "tokens_generated": 100,
            "tokens_input": 12,
        },
    },
    "/audio/transcriptions": {
        "text": _TEXT,
        "segments": [{"id": 0, "start": 0.0, "end": 60.0, "text": _TEXT}],
    },
}


@dataclass
class Stats:
    """What the server has seen since it was reset; times are those of `time.monotonic`."""

    requests: int = 0
    in_flight: int = 0
    peak: int = 0
    first: float = 0
    """When the first request had arrived."""
    last: float = 0
    """When the last response was sent."""
    received: int = 0
    """Bytes of all requests."""

    @property
    def seconds(self) -> float:
        """The time from the first request to the last response."""
        return self.last - self.first


@dataclass(frozen=True)
class Server:
    """The server, as its clients see it."""

    address: str
    pid: int

    @property
    def base_url(self) -> str:
        """The base URL of its API."""
        return f"{self.address}/v1"

    def reset(self, latency: float) -> None:
        """Forget the requests so far, and answer those to come after `latency` seconds."""
        httpx.get(f"{self.address}/reset", params={"latency": latency}).raise_for_status()

    def stats(self) -> Stats:
        """Return what was seen since the last reset."""
        return Stats(**httpx.get(f"{self.address}/stats").raise_for_status().json())


@contextmanager
def running() -> Iterator[Server]:
    """Run the server in a process of its own, and yield it."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(sender,), daemon=True)
    process.start()
    try:
        yield Server(f"http://127.0.0.1:{receiver.recv()}", cast("int", process.pid))
    finally:
        process.terminate()
        process.join()


def _serve(sender: Connection) -> None:
    os.nice(-5) if os.geteuid() == 0 else None  # clients that need all cores do not delay it

    async def main() -> None:
        loop = asyncio.get_running_loop()
        state = _State()
        server = await loop.create_server(lambda: _Connection(state), "127.0.0.1", 0, backlog=1024)
        sender.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


class _State:
    def __init__(self) -> None:
        self.latency = 0.0
        self.stats = Stats()

    def arrived(self, size: int) -> None:
        stats = self.stats
        stats.first = stats.first or time.monotonic()
        stats.requests += 1
        stats.received += size
        stats.in_flight += 1
        stats.peak = max(stats.peak, stats.in_flight)

    def answered(self) -> None:
        self.stats.in_flight -= 1
        self.stats.last = time.monotonic()


class _Connection(asyncio.Protocol):
    def __init__(self, state: _State) -> None:
        self._state = state
        self._head = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Count a body down; a client sends nothing more before it has its response."""
        if self._missing:
            self._missing -= len(data)
        else:
            self._head += data
            head, blank, rest = self._head.partition(b"\r\n\r\n")
            if not blank:
                return
            self._target = head.split(b" ", 2)[1].decode()
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            self._size = int(length or 0)
            self._missing = self._size - len(rest)
            self._head = b""
        if not self._missing:
            self._answer()

    def _answer(self) -> None:
        url = urlsplit(self._target)
        if url.path == "/reset":
            self._state.latency = float(parse_qs(url.query)["latency"][0])
            self._state.stats = Stats()
            self._write({})
        elif url.path == "/stats":
            self._write(asdict(self._state.stats))
        else:
            answer = next(answer for path, answer in _ANSWERS.items() if path in url.path)
            self._state.arrived(self._size)
            loop = asyncio.get_running_loop()
            loop.call_later(self._state.latency, self._write_answer, answer)

    def _write_answer(self, answer: dict[str, Any]) -> None:
        self._state.answered()
        self._write(answer)

    def _write(self, document: dict[str, Any]) -> None:
        body = json.dumps(document).encode()
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nX-Request-Id: r\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        self._transport.write(head.encode() + body)
