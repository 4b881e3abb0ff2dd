"""Exchanges that were recorded from the embedded engine.

What changes with every recording (request ids, milliseconds) is taken from the cassette; all
else is stated here, whole.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from langchain_core.messages import AIMessage
from langchain_core.messages.ai import UsageMetadata
from support.cassettes.replay import CASSETTES, replay
from support.cassettes.scenarios import SCENARIOS, aplay, play

from langchain_voxtral.errors import VoxtralError

BASE_URL = "http://127.0.0.1/v1"

LENGTH, STOP = {"finish_reason": "length"}, {"finish_reason": "stop"}
FROM_SERVER = {"finish_reason_source": "server"}
DERIVED = {"finish_reason_source": "derived"}

# Scenario: content, input tokens, output tokens, and the metadata of this one.
ANSWERS: dict[str, tuple[str, int, int, dict[str, Any]]] = {
    "chat_invoke": ("The capital of France is Paris.", 28, 8, DERIVED | STOP),
    "chat_stream": (
        "The capital of France is Paris.",
        28,
        8,
        FROM_SERVER | {"finish_reason": "stop"},
    ),
    "chat_conversation": (
        (
            "The Caspian Sea is a beautiful and vast body of water, but it's also a beautiful and "
            "beautiful lake."
        ),
        61,
        23,
        DERIVED | STOP,
    ),
    "chat_stop": ("The capital of France", 28, 6, DERIVED | STOP),
    "chat_stop_stream": ("The capital of France", 28, 6, FROM_SERVER | {"finish_reason": "stop"}),
    "chat_length": ("The capital of France", 28, 4, DERIVED | LENGTH),
    "chat_length_stream": ("The capital of France", 28, 4, FROM_SERVER | LENGTH),
    "chat_schema": ('{"city": "New York", "country": "USA"}', 39, 14, DERIVED | STOP),
    "llm_invoke": ("The capital of Italy is Rome.", 36, 8, DERIVED | STOP),
    "llm_stream": ("The capital of Italy is Rome.", 36, 8, FROM_SERVER | {"finish_reason": "stop"}),
    "busy_invoke": ("The capital of France is Paris.", 28, 8, DERIVED | STOP | {"attempts": 2}),
    "busy_stream": (
        "The capital of France is Paris.",
        28,
        8,
        FROM_SERVER | {"finish_reason": "stop", "attempts": 2},
    ),
}

# Scenario: status, and the server's message.
FAILURES: dict[str, tuple[int, str]] = {
    "unknown_model": (404, "Model not found"),
    "wrong_key": (401, "User is not authorized to access this resource"),
    "invalid_field": (422, "max_new_words: Extra inputs are not permitted"),
    "context_overflow": (400, "Requested input length 330 exceeds maximum input length 256"),
    "context_overflow_stream": (400, "Requested input length 330 exceeds maximum input length 256"),
}


def test_every_scenario_is_tested() -> None:
    assert sorted([*ANSWERS, *FAILURES]) == sorted(SCENARIOS)


@pytest.mark.parametrize("name", ANSWERS)
def test_recorded_answers_are_read_completely(name: str) -> None:
    with replay(_path(name)):
        assert play(SCENARIOS[name].model(BASE_URL), SCENARIOS[name]) == _expected(name)


@pytest.mark.parametrize("name", ANSWERS)
async def test_recorded_answers_are_read_completely_asynchronously(name: str) -> None:
    with replay(_path(name)):
        assert await aplay(SCENARIOS[name].model(BASE_URL), SCENARIOS[name]) == _expected(name)


@pytest.mark.parametrize("name", FAILURES)
def test_recorded_error_responses_raise(name: str) -> None:
    with replay(_path(name)), pytest.raises(VoxtralError) as raised:
        play(SCENARIOS[name].model(BASE_URL), SCENARIOS[name])
    _check_error(name, raised.value)


@pytest.mark.parametrize("name", FAILURES)
async def test_recorded_error_responses_raise_asynchronously(name: str) -> None:
    with replay(_path(name)), pytest.raises(VoxtralError) as raised:
        await aplay(SCENARIOS[name].model(BASE_URL), SCENARIOS[name])
    _check_error(name, raised.value)


def _check_error(name: str, error: VoxtralError) -> None:
    status, words = FAILURES[name]
    assert type(error) is SCENARIOS[name].error
    assert error.message.endswith(f'The server said: "{words}"')
    found = (error.status_code, error.request_id, error.attempts, error.partial)
    assert found == (status, _volatile(name)["request_id"], 1, "")


def _expected(name: str) -> AIMessage:
    content, given, made, own = ANSWERS[name]
    return AIMessage(
        content,
        usage_metadata=UsageMetadata(
            input_tokens=given, output_tokens=made, total_tokens=given + made
        ),
        response_metadata={
            "model_name": "SmolLM2-135M-Instruct",
            "model_provider": "deepinfra",
            "endpoint": "native",
            "cost": 0.0,
            **_volatile(name),
            **own,
        },
    )


def _volatile(name: str) -> dict[str, Any]:
    """Return the metadata of the last recorded answer that differ in every recording."""
    cassette = yaml.safe_load(_path(name).read_text(encoding="utf-8"))
    answer = cassette["interactions"][-1]["response"]
    volatile: dict[str, Any] = {"request_id": answer["headers"]["x-request-id"][0]}
    if "inference_status" in answer.get("json", {}):
        volatile["runtime_ms"] = answer["json"]["inference_status"]["runtime_ms"]
    return volatile


def _path(name: str) -> Path:
    return CASSETTES / "embedded" / f"{name}.yaml"
