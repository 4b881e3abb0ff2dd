"""The embedded engine: DeepInfra's API for small real models, on this machine.

`ChatVoxtral(base_url="local")` starts it on first use; `langchain-voxtral serve` runs it on its
own. It is for work without a key, a network or a GPU: SmolLM2-135M-Instruct answers and Whisper
base transcribes, unless the user names other models.

- `LocalVoxtral`: the server, in a `with` block or with `start()` and `stop()`.
- `serve`: the same in the foreground, as the command does.
- `shared_server`, `is_running`: the one behind `base_url="local"`, and whether it runs.
- `create_app`: the ASGI application alone.
- `VoxtralLocalError`, `VoxtralMissingExtraError`: what is missing on this machine.

Importing this package needs nothing beyond the base install; using it needs the extra:
`pip install "langchain-voxtral[local]"`.

Example:
    ```python
    from langchain_voxtral.local import LocalVoxtral

    with LocalVoxtral() as server:
        print(server.base_url, server.model_name)
    ```
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_voxtral.errors import VoxtralLocalError, VoxtralMissingExtraError
    from langchain_voxtral.local.api.app import create_app
    from langchain_voxtral.local.server import LocalVoxtral, serve
    from langchain_voxtral.local.shared import is_running, shared_server

__all__ = [
    "LocalVoxtral",
    "VoxtralLocalError",
    "VoxtralMissingExtraError",
    "create_app",
    "is_running",
    "serve",
    "shared_server",
]

_MODULES = {
    "LocalVoxtral": "local.server",
    "VoxtralLocalError": "errors",
    "VoxtralMissingExtraError": "errors",
    "create_app": "local.api.app",
    "is_running": "local.shared",
    "serve": "local.server",
    "shared_server": "local.shared",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"langchain_voxtral.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
