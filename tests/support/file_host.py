"""A host of one file: raw sockets on loopback, which also stall, drip or speak TLS."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

TIMEOUT_SECONDS = 10.0
DRIP_SECONDS = 0.02


class FileHost:
    """Answers each connection with the same bytes, and records the requests.

    Args:
        answer: The response to each request.
        holds: Whether the connection then stays open until the host is closed.
        drips: Whether it then sends single bytes until the timeout of the test.
        context: The TLS context for https.
    """

    def __init__(
        self,
        answer: bytes,
        *,
        holds: bool = False,
        drips: bool = False,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self.requests: list[bytes] = []
        self.outlasted = False
        self._answer = answer
        self._holds = holds
        self._drips = drips
        self._context = context
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with socket.create_connection(("127.0.0.1", self.port)):
            pass
        self._thread.join(TIMEOUT_SECONDS)
        self._listener.close()

    def url(self, path: str = "/talk.wav", host: str = "127.0.0.1") -> str:
        """Return the URL of a file."""
        return f"http://{host}:{self.port}{path}"

    def _serve(self) -> None:
        while not self._over.is_set():
            connection, _ = self._listener.accept()
            with suppress(OSError):  # the client disconnected
                self._answer_to(connection)
            connection.close()

    def _answer_to(self, connection: socket.socket) -> None:
        if self._context is None or self._over.is_set():
            self._respond(connection)
            return
        with self._context.wrap_socket(connection, server_side=True) as wrapped:
            self._respond(wrapped)

    def _respond(self, connection: socket.socket) -> None:
        request = connection.recv(65_536)
        if request:
            self.requests.append(request)
            connection.sendall(self._answer)
            if self._holds:
                self._over.wait(TIMEOUT_SECONDS)
            if self._drips:
                for _ in range(round(TIMEOUT_SECONDS / DRIP_SECONDS)):
                    threading.Event().wait(DRIP_SECONDS)
                    connection.sendall(b"x")
                self.outlasted = True


def ok(body: bytes, *headers: str) -> bytes:
    """Return an HTTP response with status 200."""
    lines = ["HTTP/1.1 200 OK", *(headers or [f"content-length: {len(body)}"]), "", ""]
    return "\r\n".join(lines).encode() + body


@contextmanager
def hosted(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP, and return its address."""

    class Handler(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as host:
        threading.Thread(target=host.serve_forever).start()
        yield f"http://127.0.0.1:{host.server_port}"
        host.shutdown()
