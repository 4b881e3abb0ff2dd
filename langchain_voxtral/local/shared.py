"""The embedded server that a process shares: what `base_url="local"` means."""

import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING

from langchain_voxtral.local.server import LocalVoxtral, introduction

if TYPE_CHECKING:
    from langchain_voxtral.local.engine.speech import SpeechEngine
    from langchain_voxtral.local.models import TextModel

logger = logging.getLogger("langchain_voxtral.local.notice")
"""A logger of its own, so that the notice can be silenced alone."""

SHARED_QUEUE_SIZE = 1024
"""Requests that may wait at the shared server, all of which come from its own process."""

_shared: LocalVoxtral | None = None
_shared_lock = threading.Lock()
_introduced: "weakref.WeakSet[TextModel | SpeechEngine]" = weakref.WeakSet()


def shared_server(*, text: bool = True, speech: bool = False) -> LocalVoxtral:
    """Return this process's server, started on first use and stopped at exit.

    Thread-safe; a forked child starts its own. The first call takes about a second, and as
    long as the network needs if weights are to be fetched: call it in a thread when an
    event loop runs and `is_running` is false.

    Args:
        text: Whether its language model must be loaded.
        speech: Whether its speech model must be.

    Raises:
        VoxtralLocalError: It cannot be started on this machine, or a model cannot be had or
            loaded; the next call tries again.
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
            _shared = LocalVoxtral(queue_size=SHARED_QUEUE_SIZE)
        server = _shared
    if not server.is_ready(text=text, speech=speech):
        server.prepare(text=text, speech=speech)
        with _shared_lock:
            _introduce(server)
    return server


def is_running(*, text: bool = True, speech: bool = False) -> bool:
    """Return whether `shared_server` with the same arguments is fast: these models are loaded."""
    return _shared is not None and _shared.is_ready(text=text, speech=speech)


def _introduce(server: LocalVoxtral) -> None:
    """Tell of the models that have been loaded since this was last called."""
    new = [model for model in server.models if model.is_loaded and model not in _introduced]
    if new:
        _introduced.update(new)
        # A warning: those reach stderr even where logging is not configured.
        logger.warning("%s", introduction(new))


def _after_fork_in_child() -> None:
    global _shared, _shared_lock  # noqa: PLW0603 - see shared_server
    _shared_lock = threading.Lock()  # another thread may have held it
    _shared = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
