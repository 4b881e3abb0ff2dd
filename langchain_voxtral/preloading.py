"""Imports before the first call, of what calls would import."""

from contextlib import suppress
from functools import cache
from importlib import import_module

from langchain_voxtral.transport import async_transport_class, read_transport_name

_IMPORTED_BY_FIRST_CALLS = (
    "anyio._backends._asyncio",
    "anyio._core._testing",
    "anyio.streams.tls",
    "certifi",
    "encodings.idna",
    "httpcore",
    "idna",
    "langchain_core.env",
    "langchain_core.messages.block_translators.langchain_v0",
    "langchain_core.tracers._compat",
    "langchain_core.tracers.context",
    "langchain_core.tracers.langchain",
    "langchain_core.tracers.run_collector",
    "langchain_core.tracers.stdout",
    "langchain_voxtral.audio.upload",
    "langsmith.run_helpers",
)
"""What httpx and LangChain import when it is first needed, and what reads recordings."""


@cache
def import_for_calls() -> None:
    """Import what first calls need: a process that forks while a thread imports hangs its child."""
    for name in _IMPORTED_BY_FIRST_CALLS:
        with suppress(ImportError):  # other versions are in other modules
            import_module(name)
    async_transport_class(read_transport_name())
