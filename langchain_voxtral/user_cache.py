"""The folder of this package in the user's cache directory."""

import os
import sys
from pathlib import Path


def cache_dir() -> Path:
    """Return the folder for what can be had again, which need not exist.

    `VOXTRAL_CACHE` names it; by default it is `langchain-voxtral` in the user's cache directory.
    """
    if path := os.environ.get("VOXTRAL_CACHE"):
        return Path(path).expanduser()
    variable = "LOCALAPPDATA" if sys.platform == "win32" else "XDG_CACHE_HOME"
    user_cache = os.environ.get(variable) or _USER_CACHES.get(sys.platform, "~/.cache")
    return Path(user_cache).expanduser() / "langchain-voxtral"


_USER_CACHES = {"darwin": "~/Library/Caches", "win32": "~/AppData/Local"}
