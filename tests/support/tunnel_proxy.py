"""A proxy that connects clients to servers on loopback (CONNECT), by http or https."""

import asyncio
import ssl
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import Self

from support.scripted_server import end_connections

TIMEOUT_SECONDS = 30.0


class TunnelProxy:
    """Relays bytes in both directions once a client has asked for a server.

    Args:
        tls: The context for https; None for http.

    Attributes:
        targets: The servers that clients asked for, as host and port.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.targets: list[str] = []
        self._tls = tls
        self._writers: list[asyncio.StreamWriter] = []
        self._ready: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event, int]] = Future()
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
        """The URL to give to a client."""
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._ready.result()[2]}"

    async def _serve(self) -> None:
        stop = asyncio.Event()
        listener = await asyncio.start_server(self._connected, "127.0.0.1", 0, ssl=self._tls)
        port = listener.sockets[0].getsockname()[1]
        self._ready.set_result((asyncio.get_running_loop(), stop, port))
        await stop.wait()
        listener.close()
        await end_connections(self._writers)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            target = head.split(b" ")[1].decode()
            self.targets.append(target)
            port = int(target.split(":")[1])
            server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
            self._writers.append(server_writer)
            writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            await asyncio.gather(_relay(reader, server_writer), _relay(server_reader, writer))


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
