"""404 responses that tell what is wrong: the name of a local model, or the address."""

import json
from typing import Any

import pytest

from langchain_voxtral.errors import VoxtralNotFoundError
from langchain_voxtral.protocol.error_responses import error_from_response

ENGINE = {"x-voxtral-model": "SmolLM2-135M-Instruct"}
NATIVE = "/inference/mistralai/Voxtral-Mini-3B-2507"
GENERAL = (
    "The server does not know the model 'm/v' or the path: check model=, base_url= and server= "
    "(one of 'deepinfra', 'mistral', 'openrouter', 'vllm', 'llama_cpp'); below base_url, /models "
    "lists the models it has, at DeepInfra /openai/models."
)
NO_VERSION = (
    "The server does not know the path, which has no /v1: base_url= ends with it at most servers, "
    "like base_url='http://127.0.0.1:8000/v1'."
)
NOT_NATIVE = (
    "The server at http://127.0.0.1:8000 does not know DeepInfra's path for native text "
    "generation: for an OpenAI-compatible server pass server='vllm' or server='llama_cpp'."
)


def message_of(body: Any, url: str, headers: dict[str, str] | None = None) -> str:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = error_from_response(404, headers or {}, raw, model="m/v", url=url)
    assert type(error) is VoxtralNotFoundError
    return error.message.partition(" The server said: ")[0].partition(" The server gave ")[0]


@pytest.mark.parametrize(
    ("body", "path", "message"),
    [
        ({"detail": "Not Found"}, NATIVE, NO_VERSION),
        ({"error": {"message": "File Not Found"}}, NATIVE, NO_VERSION),
        ("404 page not found", "/openai/chat/completions", NO_VERSION),
        (b"", NATIVE, NO_VERSION),
        ({"detail": "Not Found"}, f"/v1{NATIVE}", NOT_NATIVE),
        ({"error": {"message": "File Not Found"}}, f"/v1{NATIVE}", NOT_NATIVE),
        ({"detail": "Not Found"}, "/v1/chat/completions", GENERAL),
        ({"error": "Model not found"}, f"/v1{NATIVE}", GENERAL),
        ({"error": "Model not found"}, NATIVE, GENERAL),
    ],
)
def test_an_unknown_path_tells_what_to_change(body: Any, path: str, message: str) -> None:
    assert message_of(body, f"http://127.0.0.1:8000{path}") == message


def test_deepinfras_own_paths_are_not_taken_for_another_server() -> None:
    assert message_of({"detail": "Not Found"}, f"https://api.deepinfra.com/v1{NATIVE}") == GENERAL


def test_an_address_with_braces_is_shown_as_it_is() -> None:
    message = message_of({"detail": "Not Found"}, f"http://{{model}}{NATIVE}")
    assert message.endswith("like base_url='http://{model}/v1'.")


def test_a_model_that_the_embedded_engine_does_not_have_is_no_riddle() -> None:
    error = error_from_response(
        404, ENGINE, b'{"error": "Model not found"}', model="gpt-5", url=f"http://127.0.0.1{NATIVE}"
    )
    assert error.message == (
        "The embedded engine does not have the model 'gpt-5': leave model= out, and "
        'SmolLM2-135M-Instruct answers. The server said: "Model not found"'
    )


def test_a_context_overflow_names_the_model_that_answered() -> None:
    body = b'{"error": "Requested input length 9030 exceeds maximum input length 4096"}'
    local = error_from_response(400, ENGINE, body, model="mistralai/Voxtral-Mini-3B-2507")
    assert "the context of the model 'SmolLM2-135M-Instruct': shorten" in local.message
    hosted = error_from_response(400, {}, body, model="mistralai/Voxtral-Mini-3B-2507")
    assert "the context of the model 'mistralai/Voxtral-Mini-3B-2507': shorten" in hosted.message


def test_a_key_in_the_name_of_the_answering_model_is_not_shown() -> None:
    headers, key = {"x-voxtral-model": "tok-4f81c6e0-distinctive"}, "tok-4f81c6e0-distinctive"
    error = error_from_response(
        404, headers, b'{"error": "Model not found"}', secrets=[key], model="m"
    )
    assert key not in str(error)
