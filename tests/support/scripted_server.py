"""A scripted HTTP server: raw sockets on loopback, in a thread of its own.

A response is a list of steps, so that a test decides which bytes are sent when, and how the
connection ends.
"""

import asyncio
import json
import socket
import ssl
import struct
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import repeat
from typing import Any, Self

TIMEOUT_SECONDS = 30.0
"""Seconds after which a test that waits fails instead of hanging."""


class Gate:
    """A step at which the server waits until the test opens it."""

    def __init__(self) -> None:
        self._opened: Future[None] = Future()

    def open(self) -> None:
        """Let the server continue."""
        self._opened.set_result(None)

    async def wait(self) -> None:
        """Wait until the gate is open."""
        await asyncio.shield(asyncio.wrap_future(self._opened))


@dataclass(frozen=True, slots=True)
class Repeat:
    """A step that sends the same chunk until the client disconnects, or `times` times.

    `pause` is in seconds, after each.
    """

    data: bytes
    pause: float = 0.0
    times: int | None = None

    def rounds(self) -> Iterator[None]:
        """Return one item for each chunk to send."""
        return repeat(None) if self.times is None else repeat(None, self.times)


class End(Enum):
    """A step that ends a response abnormally."""

    STALL = auto()
    """Send nothing more until the client disconnects."""
    CUT = auto()
    """Close the connection before the body is complete (FIN)."""
    RESET = auto()
    """Abort the connection (RST)."""


Step = bytes | Gate | Repeat | End


@dataclass(frozen=True, slots=True)
class Reply:
    """The response to one request.

    Args:
        status: HTTP status.
        headers: Headers, besides those that frame the body.
        body: The whole body, sent with its length after all steps.
        steps: What to do in order; bytes are sent as one HTTP chunk. The head is sent with the
            first bytes, so other steps before them happen before the response begins; b""
            sends the head alone.
        closes: Whether the connection is closed after the response without notice.
        is_raw: Whether bytes are sent as they are, without a head and HTTP chunks around them.
    """

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    steps: Sequence[Step] = ()
    closes: bool = False
    is_raw: bool = False

    def head(self) -> bytes:
        """Return the status line and the headers."""
        if self.is_raw:
            return b""
        headers = dict(self.headers)
        if self.body is None:
            headers["transfer-encoding"] = "chunked"
        else:
            headers["content-length"] = str(len(self.body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} Scripted\r\n{lines}\r\n".encode()


@dataclass(slots=True)
class Connection:
    """A client's connection: its port, whether it is closed, and the HTTP chunks sent to it."""

    port: int
    closed: threading.Event = field(default_factory=threading.Event)
    sent: int = 0


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A received request: header names in lower case, the body decoded from JSON.

    The body of a multipart form stays bytes.
    """

    method: str
    path: str
    headers: dict[str, str]
    body: Any
    connection: Connection


class ScriptedServer:
    """Answers each request with the next reply of the script, then with the default.

    Args:
        replies: The script.
        default: The answer after the script.
        tls: The context for https; None for http.

    Attributes:
        requests: The received requests, in order.
        connections: The clients' connections, in order.

    Example:
        ```python
        with ScriptedServer(sse_replies.whole("Hi")) as server:
            ChatVoxtral(base_url=server.url).invoke("Hello!")
        assert len(server.requests) == 1
        ```
    """

    timeout_seconds = TIMEOUT_SECONDS

    def __init__(
        self, *replies: Reply, default: Reply | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._tls = tls
        self.requests: list[ReceivedRequest] = []
        self.connections: list[Connection] = []
        self._script = deque(replies)
        self._default = default or Reply(status=500, body=b"the script is at its end")
        self._changed = threading.Condition()
        self._ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = Future()
        self._writers: list[asyncio.StreamWriter] = []
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.result(TIMEOUT_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        loop, stop, _port = self._ready.result()
        loop.call_soon_threadsafe(stop.set)
        self._thread.join(TIMEOUT_SECONDS)

    @property
    def url(self) -> str:
        """The base URL to give to a model."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._ready.result()[2]}/v1"

    def script(self, *replies: Reply) -> None:
        """Answer the next requests with these replies."""
        self._script.extend(replies)

    def wait_for_requests(self, count: int) -> None:
        """Block until this many requests have arrived."""
        with self._changed:
            came = self._changed.wait_for(lambda: len(self.requests) >= count, self.timeout_seconds)
        assert came, f"{len(self.requests)} requests came in {self.timeout_seconds} s, not {count}"

    def wait_until_disconnected(self) -> None:
        """Block until every connection so far is closed."""
        for connection in self.connections:
            assert connection.closed.wait(self.timeout_seconds), (
                f"port {connection.port} is still connected"
            )

    async def _serve(self) -> None:
        stop = asyncio.Event()
        listener = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        port = listener.sockets[0].getsockname()[1]
        self._ready.set_result((asyncio.get_running_loop(), stop, port))
        await stop.wait()
        listener.close()
        await end_connections(self._writers)

    def _reply_to(self, request: ReceivedRequest) -> Reply:
        return self._script.popleft() if self._script else self._default

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        connection = Connection(writer.get_extra_info("peername")[1])
        self.connections.append(connection)
        try:
            await self._converse(reader, writer, connection)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away
        finally:
            writer.close()
            connection.closed.set()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: Connection
    ) -> None:
        first = await reader.read(1)
        while first:
            request = await _request(first, reader, connection)
            reply = self._reply_to(request)
            with self._changed:
                self.requests.append(request)
                self._changed.notify_all()
            # A client that awaits an answer sends nothing, so what can be read is its end.
            watch = asyncio.ensure_future(reader.read(1))
            play = asyncio.ensure_future(_play(reply, writer, connection))
            await asyncio.wait({play, watch}, return_when=asyncio.FIRST_COMPLETED)
            play.cancel()
            if reply.closes:
                writer.close()
            first = await watch


async def end_connections(writers: Sequence[asyncio.StreamWriter]) -> None:
    """Abort all connections of a loop and wait for its tasks; there may be more of both meanwhile.

    A connection that was accepted just now is a task of asyncio's before it is one of ours.
    """
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        for writer in writers:
            writer.transport.abort()
        await asyncio.wait(others, return_when=asyncio.FIRST_COMPLETED)
    for writer in writers:
        writer.transport.abort()  # closed or not: nobody may have read what it still holds


async def _request(
    first: bytes, reader: asyncio.StreamReader, connection: Connection
) -> ReceivedRequest:
    head = (first + await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    start, *lines = head.rstrip().split("\r\n")
    method, path, _version = start.split(" ")
    headers = {
        name.lower(): value for name, value in (line.split(": ", maxsplit=1) for line in lines)
    }
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    is_form = headers.get("content-type", "").startswith("multipart/")
    return ReceivedRequest(
        method, path, headers, body if is_form or not body else json.loads(body), connection
    )


async def _play(reply: Reply, writer: asyncio.StreamWriter, connection: Connection) -> None:
    """Send a reply step by step."""
    unsent = reply.head()

    async def send(chunk: bytes) -> None:
        nonlocal unsent
        framed = chunk if reply.is_raw else b"%x\r\n%s\r\n" % (len(chunk), chunk) if chunk else b""
        writer.write(unsent + framed)
        unsent = b""
        await writer.drain()
        connection.sent += 1

    for step in reply.steps:
        match step:
            case bytes():
                await send(step)
            case Gate():
                await step.wait()
            case Repeat():
                for _ in step.rounds():
                    await send(step.data)
                    await asyncio.sleep(step.pause)
            case End.STALL:
                await asyncio.Event().wait()
            case End.CUT:
                writer.close()
                return
            case End.RESET:
                sock: socket.socket = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                writer.transport.abort()
                return
    end = b"" if reply.is_raw else b"0\r\n\r\n"
    writer.write(unsent + (end if reply.body is None else reply.body))
    await writer.drain()


class ClosedPort(ScriptedServer):
    """A port that is taken, so that no other server gets it, and at which nobody listens."""

    def __enter__(self) -> Self:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
