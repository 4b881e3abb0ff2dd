"""The embedded server's life: in a thread, once a process, or on its own."""

import atexit
import contextlib
import logging
import os
import secrets
import socket
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from langchain_voxtral.errors import VoxtralLocalError
from langchain_voxtral.local.api.addresses import accepted_names, in_url, listen, require_key
from langchain_voxtral.local.engine.speech import SPEECH_MODEL, has_speech_support
from langchain_voxtral.local.models import ModelFile, choose_file, load

if TYPE_CHECKING:
    from langchain_voxtral.local.api.app import App
    from langchain_voxtral.local.listener import Listener

__all__ = ["LocalVoxtral", "serve", "shared_server"]

logger = logging.getLogger("langchain_voxtral.local")

_STOP_SECONDS = 60.0
"""Limit of the wait for the engine. It ends at its next token, but a prompt that is being read
is read to its end; and a thread that is still in llama.cpp when Python ends aborts the process."""


class LocalVoxtral:
    """The embedded engine behind an HTTP server in a thread of this process.

    Start it where blocking is fine: loading the model takes half a second, fetching its
    weights for the first time longer. From an event loop use `asyncio.to_thread`.

    Args:
        model: A GGUF file; SmolLM2-135M-Instruct by default.
        host: Address to listen on. Any but loopback needs `api_key`.
        port: Port; 0 takes a free one.
        api_key: The bearer that requests must carry. None makes a random one, "" asks for
            none. It is in no `repr` and no log.
        n_ctx: Context, in tokens.
        queue_size: Requests that may wait while one is answered; beyond, status 429.
        settings: Further arguments of `langchain_voxtral.local.api.app.App`.

    Raises:
        VoxtralInvalidRequestError: A host other than loopback without `api_key`.

    Example:
        ```python
        from langchain_voxtral.local import LocalVoxtral

        with LocalVoxtral() as server:
            assert server.base_url.startswith("http://127.0.0.1:")
        ```
    """

    def __init__(
        self,
        *,
        model: str | Path | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        api_key: str | None = None,
        n_ctx: int = 4096,
        queue_size: int = 16,
        **settings: Any,
    ) -> None:
        require_key(host, api_key if api_key is not None else "random")
        self.host = host
        self.api_key = secrets.token_urlsafe() if api_key is None else api_key
        self._port = port
        self._model = model
        self._n_ctx = n_ctx
        self._settings = {"queue_size": queue_size, **settings}
        self._running: _Running | None = None

    def __repr__(self) -> str:
        where = self.base_url if self._running else "stopped"
        return f"{type(self).__name__}({where})"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def base_url(self) -> str:
        """What clients take as `base_url`; known once the server has started."""
        return f"http://{in_url(self.host)}:{self._started.port}/v1"

    @property
    def model_name(self) -> str:
        """The real name of the model that answers; known once the server has started."""
        return self._started.app.model.name

    @property
    def app(self) -> "App":
        """The application that is served; known once the server has started."""
        return self._started.app

    @property
    def _started(self) -> "_Running":
        if self._running is None:
            raise VoxtralLocalError("The embedded server is not running; call start() first.")
        return self._running

    def start(self) -> Self:
        """Load the model and serve it; returns when requests are answered.

        Raises:
            VoxtralLocalError: The weights cannot be had, the model cannot be loaded, or the
                address is taken.
            VoxtralMissingExtraError: The `local` extra is not installed.
        """
        if self._running is None:
            listening = listen(self.host, self._port)
            try:
                app, server = _load(
                    choose_file(self._model),
                    n_ctx=self._n_ctx,
                    api_key=self.api_key,
                    hosts=accepted_names(self.host),
                    **self._settings,
                )
                self._running = _Running(app, server, listening)
            except BaseException:
                listening.close()
                raise
        return self

    def stop(self) -> None:
        """Stop answering and free the port; what is being answered is cut."""
        running, self._running = self._running, None
        if running is not None:
            running.stop()

    def wait(self) -> None:
        """Block until the server stops; Ctrl-C interrupts it."""
        self._started.join()


_live: "weakref.WeakSet[_Running]" = weakref.WeakSet()


class _Running:
    """A server thread and what it holds."""

    def __init__(self, app: "App", server: "Listener", listening: socket.socket) -> None:
        self.app = app
        self.port: int = listening.getsockname()[1]
        self._pid = os.getpid()
        self._listening = listening
        self._server = server
        self._thread = threading.Thread(
            target=self._server.run, args=([listening],), name="voxtral-server", daemon=True
        )
        self._thread.start()
        server.settled.wait()
        if not server.started:
            app.close(_STOP_SECONDS)
            raise VoxtralLocalError(
                f"The embedded server could not start: {server.failure or 'it ended at once'}"
            ) from server.failure
        _live.add(self)
        atexit.register(self.stop)

    def join(self) -> None:
        self._thread.join()

    def stop(self) -> None:
        if os.getpid() != self._pid:
            return  # a forked child has let go of it already
        atexit.unregister(self.stop)
        self.app.close(_STOP_SECONDS)
        self._server.should_exit = True
        self._thread.join()

    def abandon(self) -> None:
        """Let go of a server that a forked child inherited: its threads stayed behind."""
        self._listening.close()


def _load(file: ModelFile, *, n_ctx: int, **settings: Any) -> "tuple[App, Listener]":
    # The model loads without the interpreter's lock: meanwhile the web libraries come in.
    with ThreadPoolExecutor(1) as side:
        model = side.submit(load, file, n_ctx=n_ctx)
        from langchain_voxtral.local.api.app import App  # noqa: PLC0415 - needs the extra
        from langchain_voxtral.local.listener import listener  # noqa: PLC0415 - the same

        app = App(model.result(), **settings)
        return app, listener(app)


_shared: LocalVoxtral | None = None
_shared_lock = threading.Lock()


OWN_QUEUE = 1024
"""Requests that may wait at the shared server: a process that asks itself is patient."""


def shared_server() -> LocalVoxtral:
    """Return this process's server, started on first use and stopped at exit.

    Thread-safe; a forked child starts its own. The first call takes about a second, and as
    long as the network needs if the weights are to be fetched: call it in a thread when an
    event loop runs.

    Raises:
        VoxtralLocalError: It cannot be started on this machine; the next call tries again.
        VoxtralMissingExtraError: The `local` extra is not installed.

    Example:
        ```python
        from langchain_voxtral.local import shared_server

        assert shared_server() is shared_server()
        ```
    """
    global _shared  # noqa: PLW0603 - one server a process is what this function is for
    with _shared_lock:
        if _shared is None:
            server = LocalVoxtral(queue_size=OWN_QUEUE).start()
            _announce(server)
            _shared = server
        return _shared


def is_running() -> bool:
    """Tell whether this process's shared server runs, so that `shared_server` returns at once."""
    return _shared is not None


def _announce(server: LocalVoxtral) -> None:
    # A warning: those reach stderr even where logging is not configured.
    logger.warning("%s", _introduction(server))


def _introduction(server: LocalVoxtral) -> str:
    told = f"Embedded engine: answers come from {server.model_name}"
    if server.app.model.is_stand_in:
        told += ", a 135M stand-in, not from Voxtral"
    return f"{told}; {SPEECH_MODEL} listens, English only" if has_speech_support() else told


def _after_fork_in_child() -> None:
    global _shared, _shared_lock  # noqa: PLW0603 - see shared_server
    _shared_lock = threading.Lock()  # another thread may have held it
    _shared = None
    for running in list(_live):
        running.abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8200,
    model: str | Path | None = None,
    api_key: str = "",
    n_ctx: int = 4096,
    queue_size: int = 16,
) -> None:
    """Serve until interrupted; what `langchain-voxtral serve` does.

    Args:
        host: Address to listen on. Any but loopback needs `api_key`.
        port: Port; 0 takes a free one.
        model: A GGUF file; SmolLM2-135M-Instruct by default.
        api_key: The bearer that requests must carry; "" asks for none.
        n_ctx: Context, in tokens.
        queue_size: Requests that may wait while one is answered.

    Raises:
        VoxtralInvalidRequestError: A host other than loopback without `api_key`.
        VoxtralLocalError: It cannot be started on this machine.
        VoxtralMissingExtraError: The `local` extra is not installed.

    Example:
        ```python
        from langchain_voxtral.local import serve

        serve(port=8200)  # until Ctrl-C
        ```
    """
    server = LocalVoxtral(
        host=host,
        port=port,
        model=model,
        api_key=api_key,
        n_ctx=n_ctx,
        queue_size=queue_size,
    )
    with server:
        key = "VOXTRAL_API_KEY=... " if api_key else ""
        sys.stdout.write(
            f"{_introduction(server)}\n"
            f"Serving on {server.base_url} (Ctrl-C ends it). Use it with\n"
            f"  {key}VOXTRAL_BASE_URL={server.base_url} langchain-voxtral chat\n"
        )
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            server.wait()
