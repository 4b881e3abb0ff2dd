# ruff: noqa: D102 - httpcore documents its interface
"""Connections of httpcore on asyncio's transports, limited by the exchanges that use them.

httpcore's own backend goes through anyio, which costs about as much as the rest of a read.
"""

import asyncio
import select
import ssl
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, cast

import httpcore

from langchain_voxtral.protocol.chunked_body import ChunkedBody
from langchain_voxtral.transport.deadlines import current_limit
from langchain_voxtral.transport.resolver import aresolve, connect_errors

HEAD_END = b"\r\n\r\n"
"""By which the head of a request is known, which is sent with the body."""

WRITE_BYTES = 2**16
"""Bytes to which one write is limited: it may take several steps, each as long as it may take."""

_MAX_BUFFERED_BYTES = 2**18
"""Received bytes that nobody has read, beyond which the server has to wait."""

_HANDSHAKE_SECONDS = 86_400.0
"""asyncio's own limit of a TLS handshake; it must be given, and is never reached."""

_NEXT_ADDRESS_SECONDS = 0.25
"""Seconds after which the next address is tried too (RFC 8305, section 5)."""


class AsyncioBackend(httpcore.AsyncNetworkBackend):
    """Makes limited connections, also in the time that a name server may take."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        local = None if local_address is None else (local_address, 0)

        async def connect(address: str) -> _Connection:
            _, connection = await asyncio.get_running_loop().create_connection(
                _Connection, address, port, local_addr=local
            )
            return connection

        with connect_errors():
            async with asyncio.timeout(current_limit().clip(timeout, httpcore.ConnectTimeout)):
                connection = await _connect_to_any(await aresolve(host, port), connect)
        connection.set_options(socket_options)
        return connection

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        with connect_errors():
            async with asyncio.timeout(current_limit().clip(timeout, httpcore.ConnectTimeout)):
                _, connection = await asyncio.get_running_loop().create_unix_connection(
                    _Connection, path
                )
        connection.set_options(socket_options)
        return connection

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class _Connection(asyncio.Protocol, httpcore.AsyncNetworkStream):
    """A connection, limited by the exchange that wrote to it last: there is one at a time."""

    _transport: asyncio.Transport

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._limit = current_limit()
        self.body = ChunkedBody()
        self._head = b""  # of a request, which is sent with its body
        self._received = bytearray()
        self._has_ended = False  # nothing more will be received
        self._is_lost = False
        self._is_tls = False
        self._error: Exception | None = None
        self._is_reading_paused = False
        self._is_writing_paused = False
        self._waiter: asyncio.Future[None] | None = None
        # One timer serves many waits: it is set again where it goes off too early.
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self._due: float | None = None

    # httpcore's side

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        if self._head:
            await self.write(b"", timeout)
        return self.body.release() or self.body.hold_back(await self.receive(max_bytes, timeout))

    async def receive(self, max_bytes: int, timeout: float | None) -> bytes:  # noqa: ASYNC109
        """Return the next bytes, whatever they are."""
        limit, received = self._limit, self._received
        seconds = limit.clip(timeout, httpcore.ReadTimeout)
        while not (received or self._has_ended):
            await self._wait(seconds, httpcore.ReadTimeout)
        if not received and self._error is not None:
            raise httpcore.ReadError(str(self._error)) from self._error
        limit.is_silent = False
        data = bytes(received[:max_bytes])
        del received[:max_bytes]
        if self._is_reading_paused and len(received) <= _MAX_BUFFERED_BYTES:
            self._is_reading_paused = False
            self._transport.resume_reading()
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        self._limit = limit = current_limit()
        if buffer.endswith(HEAD_END) and not self._head:
            self._head = buffer
            return
        self.body.await_head()
        head, self._head = self._head, b""
        for part in join(head, buffer):
            seconds = limit.clip(timeout, httpcore.WriteTimeout)
            if not self._transport.is_closing():
                self._transport.write(part)
            while self._is_writing_paused and not self._is_lost:
                await self._wait(seconds, httpcore.WriteTimeout)
            if self._is_lost or self._transport.is_closing():
                raise httpcore.WriteError(str(self._error or "")) from self._error
        limit.progress_at, limit.is_silent, limit.is_kept = time.monotonic(), True, True

    async def aclose(self) -> None:
        # Closing TLS politely would wait for the server.
        self.abort()
        await asyncio.sleep(0)  # the socket is closed by then

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        if self._received:  # it would be read as if it had come encrypted
            self.abort()
            raise httpcore.ConnectError("bytes that are not encrypted came before TLS")
        self._is_tls = True
        try:
            with connect_errors():
                async with asyncio.timeout(self._limit.clip(timeout, httpcore.ConnectTimeout)):
                    transport = await self._loop.start_tls(
                        self._transport,
                        self,
                        ssl_context,
                        server_hostname=server_hostname,
                        ssl_handshake_timeout=_HANDSHAKE_SECONDS,
                    )
        except BaseException:
            # After a cancellation nobody else has the connection any more.
            self.abort()
            raise
        self.connection_made(cast("asyncio.Transport", transport))
        return self

    def get_extra_info(self, info: str) -> Any:
        if info == "is_readable":
            return self._has_ended or bool(self._received) or is_readable(self._transport)
        return self._transport.get_extra_info(_EXTRA_INFO.get(info, info))

    def set_options(self, options: Iterable[Any] | None) -> None:
        """Set options of the socket."""
        for option in options or ():
            self._transport.get_extra_info("socket").setsockopt(*option)

    # asyncio's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        # A part is the system's before the next one is written: then limits tell the truth.
        # (With 0, asyncio's TLS pauses and resumes in turns.)
        self._transport.set_write_buffer_limits(high=1)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > _MAX_BUFFERED_BYTES and not self._is_reading_paused:
            self._is_reading_paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._has_ended = True
        self._wake()
        return not self._is_tls  # without TLS, the server may still read

    def connection_lost(self, exc: Exception | None) -> None:
        self._error = self._error or exc
        self._has_ended = self._is_lost = True
        if self._timer is not None:
            self._timer.cancel()
        self._wake()

    def pause_writing(self) -> None:
        self._is_writing_paused = True

    def resume_writing(self) -> None:
        self._is_writing_paused = False
        self._wake()

    def abort(self) -> None:
        """Close the connection at once."""
        self._error = self._error or ConnectionAbortedError("the connection is closed")
        self._has_ended = True
        if not self._is_lost:
            self._transport.abort()

    async def _wait(self, seconds: float | None, error: type[Exception]) -> None:
        """Wait until something has happened."""
        self._waiter = self._loop.create_future()
        self._due = None if seconds is None else time.monotonic() + seconds
        if self._due is not None and (self._timer is None or self._due < self._timer_at):
            self._set_timer(self._due)
        try:
            await self._waiter
        except TimeoutError as timed_out:
            raise error from timed_out
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _set_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = due
        self._timer = self._loop.call_later(due - time.monotonic(), self._check_time)

    def _check_time(self) -> None:
        self._timer = None
        if self._waiter is None or self._waiter.done() or self._due is None:
            return
        if self._due > time.monotonic():
            self._set_timer(self._due)
        else:
            self._waiter.set_exception(TimeoutError())


_EXTRA_INFO = {"client_addr": "sockname", "server_addr": "peername"}
"""asyncio's names of httpcore's."""


def is_readable(transport: asyncio.Transport) -> bool:
    """Ask the system: the event loop may not have run for a while."""
    fileno = transport.get_extra_info("socket").fileno()
    if fileno < 0:
        return True
    if not hasattr(select, "poll"):
        return bool(select.select([fileno], [], [], 0)[0])
    poll = select.poll()
    poll.register(fileno, select.POLLIN)
    return bool(poll.poll(0))


async def _connect_to_any(
    addresses: list[str], connect: Callable[[str], Coroutine[Any, Any, _Connection]]
) -> _Connection:
    """Return the first connection that comes about; each address has a head start before the next.

    Raises:
        OSError: No address can be reached.
    """
    if len(addresses) == 1:
        return await connect(addresses[0])
    waiting = list(addresses)
    tasks: set[asyncio.Task[_Connection]] = set()
    failure: BaseException = OSError("the name has no address")
    try:
        while waiting or tasks:
            if waiting:
                tasks.add(asyncio.create_task(connect(waiting.pop(0))))
            head_start = _NEXT_ADDRESS_SECONDS if waiting else None
            done, _ = await asyncio.wait(
                tasks, timeout=head_start, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                tasks.discard(task)
                error = task.exception()
                if error is None:
                    return task.result()
                failure = error
    finally:
        for task in tasks:
            task.cancel()
            task.add_done_callback(_abort_late)
    raise failure


def _abort_late(task: asyncio.Task[_Connection]) -> None:
    """Close a connection that came about though another was first."""
    if not task.cancelled() and task.exception() is None:
        task.result().abort()


def join(head: bytes, buffer: bytes) -> Iterable[Any]:
    """Return the parts that are written one by one: a small buffer goes with the head."""
    return split(head + buffer) if len(buffer) <= WRITE_BYTES else (head, *split(buffer))


def split(buffer: bytes) -> Iterable[Any]:
    """Return the parts of a buffer that are written one by one."""
    if len(buffer) <= WRITE_BYTES:
        return (buffer,)
    view = memoryview(buffer)
    return (view[start : start + WRITE_BYTES] for start in range(0, len(view), WRITE_BYTES))
