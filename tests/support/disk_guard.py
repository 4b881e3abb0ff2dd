"""Detects access to the disk by the package in the thread of a running event loop."""

import asyncio
import builtins
import io
import os
import traceback
from collections.abc import Callable
from typing import Any

import pytest


def _guarded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return function(*args, **kwargs)
        # Not by pytest, nor by the formatting of a warning.
        files = [frame.f_code.co_filename for frame, _ in traceback.walk_stack(None)]
        if any(f"{os.sep}langchain_voxtral{os.sep}" in file for file in files):
            pytest.fail(f"{name}{args!r} blocks the event loop")
        return function(*args, **kwargs)

    return call


def guard_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every access to a file fail in an event loop; imports go another way."""
    for name in ("stat", "lstat", "getcwd", "listdir", "scandir", "readlink", "open"):
        monkeypatch.setattr(os, name, _guarded(f"os.{name}", getattr(os, name)))
    monkeypatch.setattr(io, "open", _guarded("open", io.open))
    monkeypatch.setattr(builtins, "open", _guarded("open", open))
