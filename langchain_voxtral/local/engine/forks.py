"""llama.cpp in a forked child: its memory is there, its threads are not.

Freeing a server joins llama.cpp's threads, and so does the end of the process, for its
global log. In a child that has only the memory of those threads either hangs or aborts. So
a forked child never frees a server, neither an inherited one nor one of its own, and ends
without the destructors of C++. Children of `multiprocessing` end in this way anyway.
"""

import ctypes
import os
import weakref
from typing import Any, Protocol

__all__ = ["HasServer", "protect_after_fork"]


class HasServer(Protocol):
    """What owns a llama.cpp server."""

    server: Any


_owners: "weakref.WeakSet[HasServer]" = weakref.WeakSet()
_llama_cpp_ran = False
_forked = False


def protect_after_fork(owner: HasServer) -> None:
    """Let the owner of a server that was just made survive forks."""
    global _llama_cpp_ran  # noqa: PLW0603 - a fact about this process
    _llama_cpp_ran = True
    _owners.add(owner)
    if _forked:
        _never_free(owner.server)


def _never_free(server: object) -> None:
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(server))


def _after_fork_in_child() -> None:
    global _forked  # noqa: PLW0603 - a fact about this process
    if not _llama_cpp_ran:
        return
    _forked = True
    for owner in _owners:
        _never_free(owner.server)
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):  # glibc's; it hands on the exit status, as atexit does not
        libc.on_exit(libc._exit, None)  # noqa: SLF001 - POSIX's name


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
