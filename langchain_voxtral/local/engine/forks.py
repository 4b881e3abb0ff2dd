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

import ctypes
import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol


class _ServerOwner(Protocol):
    server: Any


_owners: "weakref.WeakSet[_ServerOwner]" = weakref.WeakSet()
_is_used = False
"""Whether a native library may have been loaded, and have threads."""
_is_forked = False
_busy: list[int] = []
"""The threads that load or compute something."""
_waiting_forks = 0
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
        _changed.wait_for(lambda: not _waiting_forks)


def protect_after_fork(owner: _ServerOwner) -> None:
    """Keep the native server that `owner` has just made from being freed in forked children."""
    _owners.add(owner)
    if _is_forked:
        _leak_reference(owner.server)


def _leak_reference(server: object) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))


def _before_fork() -> None:
    global _waiting_forks  # noqa: PLW0603 - a fact about this process
    _changed.acquire()
    _waiting_forks += 1
    _changed.wait_for(lambda: set(_busy) <= {threading.get_ident()})


def _after_fork_in_parent() -> None:
    global _waiting_forks  # noqa: PLW0603 - the same
    _waiting_forks -= 1
    _changed.notify_all()
    _changed.release()


def _after_fork_in_child() -> None:
    global _is_forked, _changed, _waiting_forks  # noqa: PLW0603 - facts about this process
    _changed = threading.Condition()  # that of the parent may have threads that wait
    _waiting_forks = 0
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
