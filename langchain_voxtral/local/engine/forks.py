"""Forked children of a process that has loaded native libraries.

A forked child has the memory of a library's threads, but not the threads. Freeing a llama.cpp
server joins its threads, and so does the end of the process, for llama.cpp's log: either hangs or
aborts. So a forked child frees no server, neither an inherited one nor its own, and ends without
the destructors of C++ (as children of `multiprocessing` do anyway).

A child that is forked while a thread imports or loads has half of a module or of a model for ever.
So a fork waits for what is being loaded.
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
_loading: list[int] = []
"""The threads that load something."""
_changed = threading.Condition()


@contextmanager
def delay_forks() -> Iterator[None]:
    """Let other threads fork only before or after; for imports and for what loads a model."""
    global _is_used  # noqa: PLW0603 - a fact about this process
    _is_used = True
    thread = threading.get_ident()
    with _changed:
        _loading.append(thread)
    try:
        yield
    finally:
        with _changed:
            _loading.remove(thread)
            _changed.notify_all()


def protect_after_fork(owner: _ServerOwner) -> None:
    """Keep the native server that `owner` has just made from being freed in forked children."""
    _owners.add(owner)
    if _is_forked:
        _leak_reference(owner.server)


def _leak_reference(server: object) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))


def _before_fork() -> None:
    _changed.acquire()
    _changed.wait_for(lambda: set(_loading) <= {threading.get_ident()})


def _after_fork_in_parent() -> None:
    _changed.release()


def _after_fork_in_child() -> None:
    global _is_forked, _changed  # noqa: PLW0603 - facts about this process
    _changed = threading.Condition()  # that of the parent may have threads that wait
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
