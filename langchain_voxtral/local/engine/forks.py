"""Forked children of a process that has loaded native libraries.

A forked child has the memory of a library's threads, but not the threads. Freeing a llama.cpp
server joins its threads, and so does the end of the process, for llama.cpp's log: either hangs or
aborts. So a forked child frees no server, neither an inherited one nor its own, and ends without
the destructors of C++ (as children of `multiprocessing` do anyway).

A child that is forked while a thread imports or loads has half of a module or of a model for ever.
One that is forked while a thread computes may have locks of MKL that nobody frees, and OpenBLAS,
which stops its threads for a fork, then makes the parent's thread wait for ever. So a fork waits
for what is being loaded, and for the segment that is being transcribed.
"""

import _thread
import ctypes
import os
import signal
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol


class _ServerOwner(Protocol):
    server: Any


_owners: "weakref.WeakSet[_ServerOwner]" = weakref.WeakSet()
_is_used = False
"""Whether a native library may have been loaded, and have threads."""
_is_forked = False
_busy: list[int] = []
"""The threads that load or compute something."""
_forking: set[int] = set()
"""The threads that fork, or wait for it."""
_is_interrupted = False
"""Whether Ctrl-C came while a fork waited."""
_changed = threading.Condition()


@contextmanager
def delay_forks() -> Iterator[None]:
    """Let other threads fork only before or after; for imports, and what loads or runs a model."""
    global _is_used  # noqa: PLW0603 - a fact about this process
    _is_used = True
    thread = threading.get_ident()
    with _changed:
        _busy.append(thread)
    try:
        yield
    finally:
        with _changed:
            _busy.remove(thread)
            _changed.notify_all()


def wait_for_forks() -> None:
    """Let forks that wait go first; for a thread that delays them again and again."""
    with _changed:
        _changed.wait_for(lambda: not _forking)


def protect_after_fork(owner: _ServerOwner) -> None:
    """Keep the native server that `owner` has just made from being freed in forked children."""
    _owners.add(owner)
    if _is_forked:
        _leak_reference(owner.server)


def _leak_reference(server: object) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))


def _before_fork() -> None:
    global _is_interrupted  # noqa: PLW0603 - a fact about this process
    thread = threading.get_ident()
    _changed.acquire()
    _forking.add(thread)
    is_free = False
    while not is_free:
        try:
            is_free = _changed.wait_for(lambda: set(_busy) <= {thread})
        except KeyboardInterrupt:  # raised from here, it would be lost, and the fork go on
            _is_interrupted = True


def _after_fork_in_parent() -> None:
    global _is_interrupted  # noqa: PLW0603 - the same
    _forking.discard(threading.get_ident())
    with suppress(RuntimeError):  # Ctrl-C came before it was acquired
        _changed.notify_all()
        _changed.release()
    if _is_interrupted:
        _is_interrupted = False
        # By another thread, which comes to it once the hooks of this fork are done.
        interrupt = (threading.get_ident(), signal.SIGINT)
        _thread.start_new_thread(signal.pthread_kill, interrupt)


def _after_fork_in_child() -> None:
    global _is_forked, _changed, _is_interrupted  # noqa: PLW0603 - facts about this process
    _changed = threading.Condition()  # that of the parent may have threads that wait
    _forking.clear()
    _is_interrupted = False
    if not _is_used:
        return
    _is_forked = True
    for owner in _owners:
        _leak_reference(owner.server)
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):  # glibc's; unlike atexit it receives the exit status
        libc.on_exit(libc._exit, None)  # noqa: SLF001 - POSIX's name


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
