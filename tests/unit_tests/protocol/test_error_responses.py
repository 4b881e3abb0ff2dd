"""Status and body of a response to one error class."""

import json
import pickle
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralAuthenticationError,
    VoxtralContextOverflowError,
    VoxtralError,
    VoxtralInvalidRequestError,
    VoxtralNotFoundError,
    VoxtralPaymentRequiredError,
    VoxtralPermissionDeniedError,
    VoxtralRateLimitError,
    VoxtralResponseError,
    VoxtralTimeoutError,
    VoxtralUnsupportedFeatureError,
)
from langchain_voxtral.protocol.error_responses import error_from_body, error_from_response

OVERFLOW = "Requested input length 99009 exceeds maximum input length 8192"
LITERAL = {
    "type": "literal_error",
    "loc": ["body", "messages", 2],
    "msg": "Input should be 'user'",
    "input": "SECRET PROMPT, maximum context length",
}
FILE_SIZE = "Maximum file size exceeded (parameter=audio_filesize_mb, value=27.9)"
TOOL_FLAGS = "--enable-auto-tool-choice and --tool-call-parser"
NO_EARS = "The current model does not support audio input."
NO_MMPROJ = "audio input is not supported - hint: you may need to provide the mmproj"
NEEDS_AUDIO = {"type": "missing", "loc": ["body", "audio"], "msg": "Field required", "input": {}}


def quoted(words: str) -> str:
    return f'The server said: "{words}"'


CASES: list[tuple[int, Any, type[VoxtralError], list[str]]] = [
    # status, body (JSON unless bytes), class, essentials of the message
    (400, {"error": {"message": OVERFLOW}}, VoxtralContextOverflowError, [quoted(OVERFLOW)]),
    (500, {"error": {"message": OVERFLOW}}, VoxtralContextOverflowError, ["shorten the convers"]),
    (413, {"message": "prompt is too long", "param": None}, VoxtralContextOverflowError, []),
    (
        400,
        {"message": "This model's maximum context length is 32768 tokens", "code": 400},
        VoxtralContextOverflowError,
        ["max_tokens"],
    ),
    (
        422,
        {"error": "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9", "x": 1},
        VoxtralContextOverflowError,
        [],
    ),
    (400, {"error": {"code": "context_length_exceeded"}}, VoxtralContextOverflowError, []),
    (
        400,
        {"error": {"type": "exceed_context_size_error", "message": "no"}},
        VoxtralContextOverflowError,
        [],
    ),
    (400, {"error": "bad top_p"}, VoxtralInvalidRequestError, [quoted("bad top_p")]),
    (
        401,
        {"detail": "User is not authorized to access this resource"},
        VoxtralAuthenticationError,
        [
            "DEEPINFRA_API_TOKEN",
            "api_key=",
            quoted("User is not authorized to access this resource"),
        ],
    ),
    (
        401,
        {
            "error": {
                "message": "Not authenticated",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
        },
        VoxtralAuthenticationError,
        [quoted("Not authenticated")],
    ),
    (
        402,
        {"detail": "inference prohibited, please enter a payment method"},
        VoxtralPaymentRequiredError,
        ["balance", "billing", quoted("inference prohibited, please enter a payment method")],
    ),
    (403, {"detail": {"error": "Not authenticated"}}, VoxtralAuthenticationError, ["api_key="]),
    (403, {"error": "forbidden"}, VoxtralPermissionDeniedError, ["scope", quoted("forbidden")]),
    (
        404,
        {"error": "Model not found"},
        VoxtralNotFoundError,
        ["'m/v'", "model=", "base_url=", "/openai/models", quoted("Model not found")],
    ),
    (404, {"detail": {"error": "no deploy"}}, VoxtralNotFoundError, [quoted("no deploy")]),
    (
        405,
        {
            "error": {
                "message": "Tool calling is not supported for model: X",
                "type": "invalid_request_error",
                "param": "tools",
                "code": None,
            }
        },
        VoxtralUnsupportedFeatureError,
        ["api='native'", quoted("tools: Tool calling is not supported for model: X")],
    ),
    (
        405,
        {"error": {"message": "json_object response format is not supported for model: X"}},
        VoxtralUnsupportedFeatureError,
        ["leave out", quoted("json_object response format is not supported for model: X")],
    ),
    (408, b"", VoxtralTimeoutError, ["send it again", "The server gave no reason."]),
    (409, {"error": "conflict"}, VoxtralInvalidRequestError, [quoted("conflict")]),
    (413, b"too big", VoxtralInvalidRequestError, ["split the audio", quoted("too big")]),
    (
        400,
        {"error": {"message": FILE_SIZE, "type": "BadRequestError", "code": 400}},
        VoxtralInvalidRequestError,
        ["chunk_seconds=", quoted(FILE_SIZE)],
    ),
    (
        400,
        {
            "object": "error",
            "message": "The model does not support Transcriptions API",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
        VoxtralUnsupportedFeatureError,
        ["'m/v'", quoted("The model does not support Transcriptions API")],
    ),
    (
        501,
        {"error": {"code": 501, "message": NO_EARS, "type": "not_supported_error"}},
        VoxtralUnsupportedFeatureError,
        ["--mmproj", quoted(NO_EARS)],
    ),
    (
        500,
        {"error": {"code": 500, "message": NO_MMPROJ, "type": "server_error"}},
        VoxtralUnsupportedFeatureError,
        ["--mmproj", quoted(NO_MMPROJ)],
    ),
    (
        500,
        {"error": {"message": "Please install vllm[audio] for audio support", "code": 500}},
        VoxtralUnsupportedFeatureError,
        ["vLLM needs vllm[audio]"],
    ),
    (501, b"", VoxtralResponseError, ["none of this API"]),
    (
        400,
        {"error": {"message": f'"auto" tool choice requires {TOOL_FLAGS} to be set', "code": 400}},
        VoxtralUnsupportedFeatureError,
        ["--tool-call-parser mistral"],
    ),
    (
        500,
        {"error": {"code": 500, "message": "tools param requires --jinja flag"}},
        VoxtralUnsupportedFeatureError,
        ["llama.cpp --jinja"],
    ),
    (
        500,
        {"detail": "Error opening <_io.BytesIO object>: Format not recognised."},
        VoxtralInvalidRequestError,
        ["send it as WAV"],
    ),
    (
        400,
        {"error": {"code": 400, "message": "Failed to load image or audio file"}},
        VoxtralInvalidRequestError,
        ["send it as WAV"],
    ),
    (
        422,
        {"detail": [{"type": "missing", "loc": ["body", "file"], "msg": "Field required"}]},
        VoxtralInvalidRequestError,
        [quoted("file: Field required")],
    ),
    (
        422,
        {"detail": [LITERAL, {"loc": ["body", "stop"], "msg": "too many"}]},
        VoxtralInvalidRequestError,
        [quoted("messages.2: Input should be 'user'; stop: too many")],
    ),
    (
        422,
        {
            "message": "Input should be <ChatMessageRole.TOOL: 'tool'>",
            "param": "messages.0.tool.role",
        },
        VoxtralInvalidRequestError,
        [quoted("messages.0.tool.role: Input should be <ChatMessageRole.TOOL: 'tool'>")],
    ),
    # Mistral
    (
        422,
        {
            "object": "error",
            "message": {
                "detail": [
                    {"type": "extra_forbidden", "loc": ["body", "top_k"], "msg": "Extra inputs"}
                ]
            },
            "type": "invalid_request_error",
            "param": None,
            "code": None,
        },
        VoxtralInvalidRequestError,
        [quoted("top_k: Extra inputs")],
    ),
    (401, {"detail": "Unauthorized"}, VoxtralAuthenticationError, ["for Mistral MISTRAL_API_KEY"]),
    (
        400,
        {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"},
        VoxtralNotFoundError,
        ["model=", "'mistral'", quoted("Invalid model: x")],
    ),
    (
        429,
        {
            "object": "error",
            "message": "Service tier capacity exceeded for this model.",
            "type": "service_tier_capacity_exceeded",
            "code": "3505",
        },
        VoxtralRateLimitError,
        [quoted("Service tier capacity exceeded for this model.")],
    ),
    (
        400,
        {
            "object": "error",
            "message": "Prompt contains 40000 tokens, too large for model with 32768 maximum "
            "context length",
            "code": "3051",
        },
        VoxtralContextOverflowError,
        [],
    ),
    # OpenRouter
    (
        400,
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {
                    "raw": '{"object":"error","message":"Unexpected role","code":"3230"}',
                    "provider_name": "Mistral",
                },
            }
        },
        VoxtralInvalidRequestError,
        [quoted("Provider returned error: Unexpected role")],
    ),
    (
        502,
        {"error": {"message": "Provider returned error", "metadata": {"raw": "<b>down"}}},
        VoxtralAPIError,
        [quoted("Provider returned error: <b>down")],
    ),
    (
        402,
        {"error": {"message": "Insufficient credits", "code": 402}},
        VoxtralPaymentRequiredError,
        ["balance", quoted("Insufficient credits")],
    ),
    (
        404,
        {"error": {"message": "No endpoints found that support input audio", "code": 404}},
        VoxtralUnsupportedFeatureError,
        ["'m/v'", quoted("No endpoints found that support input audio")],
    ),
    (
        404,
        {"error": {"message": "No endpoints found matching your data policy", "code": 404}},
        VoxtralUnsupportedFeatureError,
        ["which providers the account allows"],
    ),
    (
        404,
        {"error": {"message": "No endpoints found for x/y.", "code": 404}},
        VoxtralNotFoundError,
        ["'openrouter'"],
    ),
    (400, {"error": {"message": "x is not a valid model ID"}}, VoxtralNotFoundError, ["model="]),
    (423, {"error": "locked"}, VoxtralPermissionDeniedError, ["dashboard", quoted("locked")]),
    (429, b"Rate limited", VoxtralRateLimitError, ["200 at once", quoted("Rate limited")]),
    (
        429,
        {
            "error": {
                "message": "Model busy, retry later",
                "type": "invalid_request_error",
                "param": None,
                "code": "engine_overloaded",
            }
        },
        VoxtralRateLimitError,
        ["max_concurrency", quoted("Model busy, retry later")],
    ),
    (500, {"error": "boom"}, VoxtralAPIError, [quoted("boom")]),
    (500, {"detail": "inference error"}, VoxtralAPIError, [quoted("inference error")]),
    (500, ["boom", "bang"], VoxtralAPIError, [quoted("boom; bang")]),
    (500, "boom", VoxtralAPIError, [quoted("boom")]),
    (500, {"why": 1}, VoxtralAPIError, [quoted('{"why":1}')]),
    (500, b"\xff", VoxtralAPIError, [quoted("\ufffd")]),
    (
        502,
        b"<html><head><title>502 Bad\n Gateway &amp; more</title></head><body>x</body></html>",
        VoxtralAPIError,
        ["gateway", quoted("502 Bad Gateway & more")],
    ),
    (
        503,
        b"\n<div><style>p {}</style><p>Down for <b>repair</b></p></div>",
        VoxtralAPIError,
        ["try again later", quoted("Down for repair")],
    ),
    (504, b"upstream timed out", VoxtralAPIError, ["billed", quoted("upstream timed out")]),
    (529, b"", VoxtralAPIError, ["The server gave no reason."]),
    (418, b"teapot", VoxtralInvalidRequestError, [quoted("teapot")]),
    (204, b"", VoxtralResponseError, ["a status that is no failure"]),
]


@pytest.mark.parametrize(("status", "body", "kind", "essentials"), CASES)
def test_each_error_response_has_its_class_and_advice(
    status: int, body: Any, kind: type[VoxtralError], essentials: list[str]
) -> None:
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    error = error_from_response(status, httpx.Headers({"X-Request-Id": "H1"}), sent, model="m/v")
    assert type(error) is kind
    assert (error.status_code, error.request_id) == (status, "H1")
    for essential in essentials:
        assert essential in error.message
    assert "SECRET PROMPT" not in error.message


@pytest.mark.parametrize(
    "body",
    [
        {"detail": [NEEDS_AUDIO]},
        {"detail": [{"loc": ["body", "input"], "msg": "Extra inputs"}, NEEDS_AUDIO]},
        {"detail": [{"loc": ["body", "audio"], "msg": "field required", "type": "value_error"}]},
        {"message": "Field required", "param": "audio"},
        {"message": "Field required", "param": "body.audio"},
        {"error": {"message": "Field required", "param": "audio"}},
        {"detail": "field required: audio"},
    ],
)
def test_text_to_a_speech_only_deployment_names_what_may_work(body: dict[str, object]) -> None:
    error = error_from_response(422, {}, json.dumps(body).encode(), model="m/v")
    assert type(error) is VoxtralUnsupportedFeatureError
    assert isinstance(error, VoxtralInvalidRequestError)
    for way in (
        "'m/v' takes speech only",
        "transcription",
        "api='chat_completions'",
        "base_url=",
        "base_url='local'",
    ):
        assert way in error.message


@pytest.mark.parametrize(
    "problem",
    [
        {"loc": ["body", "messages", 0, "content", "audio"], "msg": "Field required"},
        {"loc": ["body", "input_audio"], "msg": "Field required"},
        {"loc": ["body", "audio"], "msg": "Not a WAV file"},
        {"loc": ["body", "input"], "msg": "Field required"},
    ],
)
def test_other_validation_errors_are_not_taken_for_speech_only(problem: dict[str, object]) -> None:
    error = error_from_response(422, {}, json.dumps({"detail": [problem]}).encode())
    assert type(error) is VoxtralInvalidRequestError
    assert "speech only" not in error.message


def test_an_inference_error_is_the_recordings_fault_only_where_one_was_sent() -> None:
    body = b'{"detail": "inference error"}'
    bad_audio = error_from_response(500, {}, body, has_audio=True)
    assert type(bad_audio) is VoxtralInvalidRequestError
    assert not bad_audio.is_retryable
    assert "send it as WAV" in bad_audio.message
    assert error_from_response(500, {}, body).is_retryable
    assert error_from_response(500, {}, b'{"detail": "boom"}', has_audio=True).is_retryable


def test_a_recording_to_a_text_only_deployment_names_what_may_work() -> None:
    body = b'{"detail": [{"loc": ["body", "input"], "msg": "Field required"}]}'
    error = error_from_response(422, {}, body, model="m/v", has_audio=True)
    assert type(error) is VoxtralUnsupportedFeatureError
    for way in ("'m/v' takes text only", "endpoint='transcriptions' or 'chat'", "base_url='local'"):
        assert way in error.message


@pytest.mark.parametrize("words", ["no inference error", "inference error in layer 3"])
def test_other_words_about_inference_do_not_blame_the_recording(words: str) -> None:
    assert error_from_response(
        500, {}, json.dumps({"detail": words}).encode(), has_audio=True
    ).is_retryable


def test_a_redirect_names_its_target() -> None:
    error = error_from_response(
        307, {"Location": "https://other.example/?k=sk-1"}, b"x", secrets=["sk-1"]
    )
    assert type(error) is VoxtralResponseError
    assert "set base_url to" in error.message
    assert quoted("https://other.example/?k=[redacted]") in error.message


def test_the_wait_that_the_server_asks_for_is_kept() -> None:
    assert error_from_response(429, {"Retry-After": "2"}, b"").retry_after == 2.0
    assert error_from_response(503, {}, b"").retry_after is None


def test_the_request_id_of_the_body_comes_before_the_headers() -> None:
    headers = {"x-request-id": "H1"}
    assert (
        error_from_response(500, headers, b'{"error": "x", "request_id": "R1"}').request_id == "R1"
    )
    assert error_from_response(500, headers, b'{"detail": {"request_id": "R2"}}').request_id == "R2"
    assert error_from_response(500, headers, b'{"request_id": 5}').request_id == "H1"
    assert error_from_response(500, {}, b"{}").request_id is None


def test_a_model_that_is_not_known_here_is_not_named() -> None:
    assert "does not know the model or the path" in error_from_response(404, {}, b"").message


def test_a_long_text_is_cut_at_500_characters_and_shows_it() -> None:
    message = error_from_response(500, {}, b"x" * 501).message
    assert quoted("x" * 499 + "…") in message
    assert quoted("x" * 500) in error_from_response(500, {}, b"x" * 500).message


def test_words_are_found_behind_any_amount_of_white_space() -> None:
    assert quoted("boom") in error_from_response(500, {}, b"\n" * 5000 + b"boom").message


def test_words_are_one_line_without_control_characters() -> None:
    body = json.dumps({"error": " a\r\n\tb\x1b[31mc\u2028d "}).encode()
    assert quoted("a b [31mc d") in error_from_response(500, {}, body).message


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 502, 307])
@pytest.mark.parametrize(
    "template",
    [
        '{{"error": "bad key {key}"}}',
        '{{"error": {{"message": "bad key", "code": "{key}"}}, "request_id": "{key}"}}',
        '{{"detail": [{{"loc": ["body", "{key}"], "msg": "{key}"}}]}}',
        '{{"x": "{key}"}}',
        "<title>{key}</title>",
        "{key}",
        "x" * 495 + "{key}",
    ],
)
def test_a_key_that_the_server_echoes_stays_out_of_the_error(status: int, template: str) -> None:
    key = "sk-voxtral-0123456789"
    headers = {"x-request-id": key, "location": f"/{key}"}
    error = error_from_response(status, headers, template.format(key=key).encode(), secrets=[key])
    everything = f"{error} {error!r} {error.args} {vars(error)}"
    assert "sk-voxtral" not in everything
    assert key.encode() not in pickle.dumps(error)


def test_a_key_at_the_end_of_what_is_read_of_a_long_page_is_not_half_shown() -> None:
    page = "<hr>" * 16_380 + " seen sk-voxtral-0123456789"
    error = error_from_response(502, {}, page.encode(), secrets=["sk-voxtral-0123456789"])
    assert "sk-" not in error.message
    assert len(page) > 2**16


@pytest.mark.parametrize(
    ("document", "kind", "words"),
    [
        ({"error": "boom"}, VoxtralAPIError, "boom"),
        ({"error_type": "overloaded", "error_message": "full"}, VoxtralRateLimitError, "full"),
        ({"error": "bad", "error_type": "validation"}, VoxtralInvalidRequestError, "bad"),
        ({"error": "Model busy, retry later"}, VoxtralRateLimitError, "Model busy, retry later"),
        ({"error": {"message": "no", "code": 401}}, VoxtralAuthenticationError, "no"),
        ({"error": {"message": "no", "code": "402"}}, VoxtralPaymentRequiredError, "no"),
        ({"error": {"message": "no", "status": 404}}, VoxtralNotFoundError, "no"),
        (
            {
                "error": {
                    "message": "x",
                    "type": "invalid_request_error",
                    "code": "rate_limit_error",
                }
            },
            VoxtralRateLimitError,
            "x",
        ),
        ({"error": {"type": "invalid_request_error"}}, VoxtralInvalidRequestError, '{"error":'),
        ({"error": {"message": OVERFLOW}}, VoxtralContextOverflowError, OVERFLOW),
        ({"error": "x", "error_type": "context_length_exceeded"}, VoxtralContextOverflowError, "x"),
        ({"error": {"message": "Not authenticated"}}, VoxtralAuthenticationError, "Not auth"),
        ({"detail": "boom"}, VoxtralAPIError, "boom"),
        ({"inference_status": {"status": "failed"}}, VoxtralAPIError, '{"inference_status":'),
        ({"object": "error", "message": "no", "code": 400}, VoxtralInvalidRequestError, "no"),
        ({"message": "no", "param": "messages.0"}, VoxtralAPIError, "messages.0: no"),
    ],
)
def test_an_error_within_an_answer_is_its_class(
    document: dict[str, object], kind: type[VoxtralError], words: str
) -> None:
    error = error_from_body(document)
    assert type(error) is kind
    assert f'The server said: "{words}' in error.message
    assert error.status_code == 200


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"error": None, "detail": None, "error_message": ""},
        {"token": {"text": "error"}, "details": {"finish_reason": "stop"}},
        {"results": [{"generated_text": "An error, detail: no"}]},
        {"inference_status": {"status": "succeeded"}},
        {"text": "Hello", "message": None},
        {"message": "Hello"},
    ],
)
def test_a_document_without_an_error_is_none(document: dict[str, object]) -> None:
    assert error_from_body(document) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "detail", "message", "msg", "loc", "param", "code", "type"]),
            inner,
        )
    ),
    max_leaves=8,
)


@given(status=st.integers(100, 999), body=st.binary() | JSON.map(lambda v: json.dumps(v).encode()))
def test_any_body_gives_an_error_that_can_be_shown(status: int, body: bytes) -> None:
    error = error_from_response(status, {}, body)
    assert error.status_code == status
    assert str(error).isprintable()
