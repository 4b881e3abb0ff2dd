"""The embedded server in a thread, once a process, or on its own."""

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
from typing import TYPE_CHECKING, Any, ClassVar, Self

from langchain_voxtral.errors import VoxtralLocalError
from langchain_voxtral.local.api.access import accepted_hosts, listen, require_key, url_host
from langchain_voxtral.local.engine.speech import SPEECH_MODEL, has_speech_support
from langchain_voxtral.local.models import ModelFile, choose_file, load

if TYPE_CHECKING:
    from langchain_voxtral.local.api.app import App
    from langchain_voxtral.local.listener import Listener

logger = logging.getLogger("langchain_voxtral.local")

_STOP_SECONDS = 60.0
"""How long to wait for the engine, which ends at its next token but reads a prompt to its end:
a thread that is inside llama.cpp when Python ends aborts the process."""

SHARED_QUEUE_SIZE = 1024
"""Requests that may wait at the shared server, all of which come from its own process."""


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
        self._thread: _ServerThread | None = None

    def __repr__(self) -> str:
        state = self.base_url if self._thread else "stopped"
        return f"{type(self).__name__}({state})"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def base_url(self) -> str:
        """What clients take as `base_url`; known once the server has started."""
        return f"http://{url_host(self.host)}:{self._started.port}/v1"

    @property
    def model_name(self) -> str:
        """The real name of the model that answers; known once the server has started."""
        return self._started.app.model.name

    @property
    def app(self) -> "App":
        """The application that is served; known once the server has started."""
        return self._started.app

    @property
    def _started(self) -> "_ServerThread":
        if self._thread is None:
            raise VoxtralLocalError("The embedded server is not running; call start() first.")
        return self._thread

    def start(self) -> Self:
        """Load the model and serve it; returns when requests are answered.

        Raises:
            VoxtralLocalError: The weights cannot be had, the model cannot be loaded, or the
                address is taken.
            VoxtralMissingExtraError: The `local` extra is not installed.
        """
        if self._thread is None:
            listening = listen(self.host, self._port)
            try:
                app, listener = _load(
                    choose_file(self._model),
                    n_ctx=self._n_ctx,
                    api_key=self.api_key,
                    hosts=accepted_hosts(self.host),
                    **self._settings,
                )
                self._thread = _ServerThread(app, listener, listening)
            except BaseException:
                listening.close()
                raise
        return self

    def stop(self) -> None:
        """Stop answering and free the port; answers that are not finished are cut."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()

    def wait(self) -> None:
        """Block until the server stops; Ctrl-C interrupts it."""
        self._started.join()


def _load(file: ModelFile, *, n_ctx: int, **settings: Any) -> "tuple[App, Listener]":
    # The model loads without the interpreter's lock: meanwhile the web libraries are imported.
    with ThreadPoolExecutor(1) as executor:
        model = executor.submit(load, file, n_ctx=n_ctx)
        from langchain_voxtral.local.api.app import App  # noqa: PLC0415 - needs the extra
        from langchain_voxtral.local.listener import Listener  # noqa: PLC0415 - the same

        app = App(model.result(), **settings)
        return app, Listener(app)


class _ServerThread:
    """A running server: its thread, its application and its socket."""

    running: ClassVar["weakref.WeakSet[_ServerThread]"] = weakref.WeakSet()

    def __init__(self, app: "App", listener: "Listener", listening: socket.socket) -> None:
        self.app = app
        self.port: int = listening.getsockname()[1]
        self._pid = os.getpid()
        self._listening = listening
        self._listener = listener
        self._thread = threading.Thread(
            target=listener.run, args=([listening],), name="voxtral-server", daemon=True
        )
        self._thread.start()
        listener.is_settled.wait()
        if not listener.started:
            app.close(_STOP_SECONDS)
            raise VoxtralLocalError(
                f"The embedded server could not start: {listener.failure or 'it ended at once'}"
            ) from listener.failure
        self.running.add(self)
        atexit.register(self.stop)

    def join(self) -> None:
        self._thread.join()

    def stop(self) -> None:
        if os.getpid() != self._pid:
            return  # a forked child, which has closed its socket already
        atexit.unregister(self.stop)
        self.app.close(_STOP_SECONDS)
        self._listener.should_exit = True
        self._thread.join()

    def close_after_fork(self) -> None:
        """Close the socket that a forked child has inherited without the thread."""
        self._listening.close()


# The shared server

_shared: LocalVoxtral | None = None
_shared_lock = threading.Lock()


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
            server = LocalVoxtral(queue_size=SHARED_QUEUE_SIZE).start()
            # A warning: those reach stderr even where logging is not configured.
            logger.warning("%s", _introduction(server))
            _shared = server
        return _shared


def is_running() -> bool:
    """Return whether this process's shared server runs, so that `shared_server` is fast."""
    return _shared is not None


def _introduction(server: LocalVoxtral) -> str:
    text = f"Embedded engine: answers come from {server.model_name}"
    if server.app.model.file.is_stand_in:
        text += ", a 135M stand-in, not from Voxtral"
    if has_speech_support():
        text += f"; {SPEECH_MODEL} transcribes, English only"
    return text


def _after_fork_in_child() -> None:
    global _shared, _shared_lock  # noqa: PLW0603 - see shared_server
    _shared_lock = threading.Lock()  # another thread may have held it
    _shared = None
    for thread in list(_ServerThread.running):
        thread.close_after_fork()


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
