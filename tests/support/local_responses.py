"""The responses that the embedded server may send to any request."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

PATH = "/v1/inference/mistralai/Voxtral-Mini-3B-2507"
INFER = PATH.removeprefix("/v1/")
PLAIN = {"input": "Hi", "max_new_tokens": 1}
CHAT_PATH = "/v1/openai/chat/completions"
CHAT = CHAT_PATH.removeprefix("/v1/")
PLAIN_CHAT = {
    "model": "mistralai/Voxtral-Mini-3B-2507",
    "messages": [{"role": "user", "content": "Hi"}],
    "max_tokens": 1,
}
TIMEOUT_SECONDS = 20.0
"""Seconds after which a request without a response counts as hanging."""
REFUSALS = {400, 401, 404, 405, 413, 415, 422}
NO_HTTP = (400, "text/plain; charset=utf-8", b"Invalid HTTP request received.")
"""The response of uvicorn to bytes that are not HTTP."""

FUZZ = settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def parse_strict_json(document: bytes | str) -> Any:
    """Parse JSON without NaN and Infinity, as the standard demands."""

    def refused(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(document, parse_constant=refused)


def event_data(stream: str) -> list[str]:
    """Return the data of the events of a whole stream, without comments."""
    *events, rest = stream.split("\n\n")
    assert rest == ""
    return [event.removeprefix("data: ") for event in events if not event.startswith(":")]


def assert_documented(status: int, kind: str, body: bytes) -> None:
    if status == 200:
        assert kind in {"application/json", "text/event-stream"}
        return
    assert (status in REFUSALS, kind) == (True, "application/json"), (status, kind, body)
    match parse_strict_json(body):
        case {"error": str(message) | {"message": str(message)}} | {"detail": str(message)}:
            assert message
        case {"detail": [*faults]}:
            assert {frozenset(fault) for fault in faults} == {
                frozenset({"type", "loc", "msg", "input"})
            }
        case unknown:
            pytest.fail(f"{status} {unknown}")
