"""The embedded server, in a thread or on its own."""

import atexit
import contextlib
import os
import secrets
import socket
import sys
import threading
import weakref
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from langchain_voxtral.errors import VoxtralLocalError
from langchain_voxtral.local.api.access import accepted_hosts, listen, require_key, url_host
from langchain_voxtral.local.engine.forks import delay_forks
from langchain_voxtral.local.engine.speech import SpeechEngine, has_speech_support
from langchain_voxtral.local.models import Models, TextModel
from langchain_voxtral.local.weights import find_speech_model

if TYPE_CHECKING:
    from langchain_voxtral.local.api.app import App
    from langchain_voxtral.local.listener import Listener

_STOP_SECONDS = 60.0
"""How long to wait for the engine, which ends at its next token but reads a prompt to its end:
a thread that is inside llama.cpp when Python ends aborts the process."""


class LocalVoxtral:
    """The embedded engine behind an HTTP server in a thread of this process.

    Start it where blocking is fine: loading the model takes half a second, fetching its
    weights for the first time longer. From an event loop use `asyncio.to_thread`.

    Args:
        model: A GGUF file; SmolLM2-135M-Instruct by default.
        speech_model: What transcribes: the folder of a Whisper model for CTranslate2, or one of
            faster-whisper's own names, as "small"; Whisper base by default.
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
        speech_model: str | None = None,
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
        self._speech_model = speech_model
        self._n_ctx = n_ctx
        self._models = self._new_models()
        self._settings = {"queue_size": queue_size, **settings}
        self._thread: _ServerThread | None = None
        self._starting = threading.Lock()

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
    def models(self) -> Models:
        """Its models, loaded or not."""
        return self._models

    @property
    def app(self) -> "App":
        """The application that is served; known once the server has started."""
        return self._started.app

    @property
    def _started(self) -> "_ServerThread":
        if self._thread is None:
            raise VoxtralLocalError("The embedded server is not running; call start() first.")
        return self._thread

    def start(self, *, text: bool = True, speech: bool = False) -> Self:
        """Serve, and load models; returns when requests are answered.

        A model that is not loaded here is loaded for the first request that needs it. Call this
        again to load more.

        Args:
            text: Load the language model, fetching its weights if need be.
            speech: Load the speech model, likewise.

        Raises:
            VoxtralLocalError: The weights cannot be had, a model cannot be loaded, or the
                address is taken.
            VoxtralMissingExtraError: The `local` extra is not installed.
        """
        was_running = self._thread is not None
        try:
            self.prepare(text=text, speech=speech)
        except BaseException:
            if not was_running:
                self.stop()
            raise
        return self

    def is_ready(self, *, text: bool = True, speech: bool = False) -> bool:
        """Return whether it runs and these models are loaded, so that `start` is fast."""
        return self._thread is not None and not self._models.missing(text=text, speech=speech)

    def prepare(self, *, text: bool = True, speech: bool = False) -> None:
        """Do what `start` does, for a server that goes on if a model cannot be loaded."""
        missing = self._models.missing(text=text, speech=speech)
        # Models load without the interpreter's lock: meanwhile the web libraries are imported.
        with ThreadPoolExecutor(2) as executor, self._starting:
            listening = self._listen() if self._thread is None else None
            loads = [executor.submit(model.load) for model in missing]
            if listening is not None:
                self._thread = self._serve(listening)
        for load in loads:
            load.result()

    def _new_models(self) -> Models:
        text = TextModel(self._model, n_ctx=self._n_ctx)
        return Models(text, SpeechEngine(self._speech_model))

    def _listen(self) -> socket.socket:
        """Do what may fail at once: nothing is fetched for a wrong name or a port that is taken."""
        if self._speech_model:
            find_speech_model(self._speech_model)
        return listen(self.host, self._port)

    @delay_forks()
    def _serve(self, listening: socket.socket) -> "_ServerThread":
        try:
            from langchain_voxtral.local.api.app import App  # noqa: PLC0415 - needs the extra
            from langchain_voxtral.local.listener import Listener  # noqa: PLC0415 - the same

            app = App(
                self._models.text,
                self._models.speech,
                api_key=self.api_key,
                hosts=accepted_hosts(self.host),
                **self._settings,
            )
            return _ServerThread(app, Listener(app), listening)
        except BaseException:
            listening.close()
            raise

    def stop(self) -> None:
        """Stop answering and free the port; answers that are not finished are cut."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.stop()
        self._models = self._new_models()

    def wait(self) -> None:
        """Block until the server stops; Ctrl-C interrupts it."""
        self._started.join()


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


def introduction(models: Iterable[TextModel | SpeechEngine]) -> str:
    """Return a line that says which model does what, and that it is not Voxtral."""
    roles = [
        f"{model.name} {'answers' if isinstance(model, TextModel) else 'transcribes'}"
        for model in models
    ]
    line = f"Embedded engine: {', '.join(roles)}"
    if any(isinstance(model, TextModel) and not model.is_default for model in models):
        return line  # a model of the user's own may be Voxtral
    return f"{line}; {'it is not' if len(roles) == 1 else 'neither is'} Voxtral"


def _after_fork_in_child() -> None:
    for thread in list(_ServerThread.running):
        thread.close_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def serve(
    *,
    host: str = "127.0.0.1",
    port: int = 8200,
    model: str | Path | None = None,
    speech_model: str | None = None,
    api_key: str = "",
    n_ctx: int = 4096,
    queue_size: int = 16,
) -> None:
    """Serve until interrupted; what `langchain-voxtral serve` does.

    Args:
        host: Address to listen on. Any but loopback needs `api_key`.
        port: Port; 0 takes a free one.
        model: A GGUF file; SmolLM2-135M-Instruct by default.
        speech_model: What transcribes: the folder of a Whisper model for CTranslate2, or one of
            faster-whisper's own names; Whisper base by default. Loaded for the first recording.
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
        speech_model=speech_model,
        api_key=api_key,
        n_ctx=n_ctx,
        queue_size=queue_size,
    )
    with server:
        models = server.models if has_speech_support() else (server.models.text,)
        key = "VOXTRAL_API_KEY=... " if api_key else ""
        sys.stdout.write(
            f"{introduction(models)}\n"
            f"Serving on {server.base_url} (Ctrl-C ends it). Use it with\n"
            f"  {key}VOXTRAL_BASE_URL={server.base_url} langchain-voxtral chat\n"
        )
        sys.stdout.flush()
        with contextlib.suppress(KeyboardInterrupt):
            server.wait()
