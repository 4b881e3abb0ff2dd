"""404 responses: what is wrong with the model's name or with the address."""

import re
from urllib.parse import urlsplit

from langchain_voxtral.errors import VoxtralNotFoundError
from langchain_voxtral.protocol.error_table import ErrorCase
from langchain_voxtral.providers import DEEPINFRA

_NO_SUCH_PATH = re.compile(
    r"\W*(?:404\W+)?(?:(?:page|file|path|route|url) )?not found\W*", re.IGNORECASE
)
"""What frameworks say of a path that they do not know (FastAPI, Ollama, llama.cpp)."""

_EMBEDDED = ErrorCase(
    VoxtralNotFoundError,
    "The embedded engine does not have {model}: leave model= out, and {answering} answers.",
)
_NO_VERSION = ErrorCase(
    VoxtralNotFoundError,
    "The server does not know the path, which has no /v1: base_url= ends with it at most servers, "
    "like base_url='{origin}/v1'.",
)
_NOT_NATIVE = ErrorCase(
    VoxtralNotFoundError,
    "The server at {origin} does not know DeepInfra's path for native text generation: for an "
    "OpenAI-compatible server pass server='vllm' or server='llama_cpp'.",
)


def find_not_found(text: str, url: str, *, is_embedded: bool) -> ErrorCase | None:
    """Return what a 404 means more precisely than its status, if that can be told.

    Args:
        text: The server's message.
        url: The URL of the request.
        is_embedded: Whether the embedded engine answered.
    """
    if is_embedded:
        return _EMBEDDED if "model" in text.lower() else None
    if not url or (text and not _NO_SUCH_PATH.fullmatch(text)):
        return None
    path = urlsplit(url).path
    if "/v1" not in path:
        return _NO_VERSION
    is_native = path.partition("/v1")[2].startswith("/inference/")
    return _NOT_NATIVE if is_native and not DEEPINFRA.is_own_domain(url) else None


def origin_of(url: str) -> str:
    """Return the scheme and the host of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
