"""Completion requests without a server, for tests that read responses of their own."""

from typing import Any

from langchain_voxtral.completions.request import CompletionRequest
from langchain_voxtral.protocol.endpoints import NATIVE
from langchain_voxtral.transport import HTTPRequest

SENT = HTTPRequest("http://127.0.0.1/", b"{}", {})


def completion_request(**fields: Any) -> CompletionRequest:
    """Return a request to the native endpoint with these fields."""
    return CompletionRequest(NATIVE, "voxtral", **({"body": {"input": "Q:"}} | fields))
