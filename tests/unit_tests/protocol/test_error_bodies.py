"""Bodies with status 200 that are errors or not responses, at both endpoints."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralContextOverflowError,
    VoxtralError,
    VoxtralRateLimitError,
    VoxtralResponseError,
    VoxtralUnsupportedFeatureError,
)
from langchain_voxtral.protocol import chat_completions, native
from langchain_voxtral.protocol.responses import ParsedResponse

Parse = Callable[..., ParsedResponse]
both = pytest.mark.parametrize(
    "parse",
    [
        pytest.param(native.parse_response, id="native"),
        pytest.param(chat_completions.parse_response, id="chat"),
    ],
)


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        (b"", VoxtralResponseError, "is not a JSON object but: nothing."),
        (b"<title>Sign in</title>", VoxtralResponseError, "is not a JSON object but: Sign in."),
        (b"[1]", VoxtralResponseError, "is not a JSON object"),
        (b"\xff", VoxtralResponseError, "is not a JSON object"),
        (b'{"error": "boom"}', VoxtralAPIError, 'The server said: "boom"'),
        (b'{"error": "Rate limited"}', VoxtralRateLimitError, 'The server said: "Rate limited"'),
        (
            b'{"error": {"message": "Requested input length 9 exceeds maximum input length 8"}}',
            VoxtralContextOverflowError,
            "shorten the conversation",
        ),
        (
            b'{"object": "error", "message": "maximum context length is 8 tokens", "code": 400}',
            VoxtralContextOverflowError,
            "shorten the conversation",
        ),
        (
            b'{"error": {"message": "Model busy, retry later", "code": "engine_overloaded"}}',
            VoxtralRateLimitError,
            "Model busy, retry later",
        ),
        (
            b'{"error": {"message": "Tool calling is not supported for model: X", "code": 405}}',
            VoxtralUnsupportedFeatureError,
            "api='native'",
        ),
    ],
)
@both
def test_an_unexpected_200_body_is_the_right_error(
    parse: Parse, body: bytes, kind: type[VoxtralError], message: str
) -> None:
    with pytest.raises(VoxtralError) as caught:
        parse(body, header_request_id="H1")
    assert type(caught.value) is kind
    assert message in caught.value.message
    assert (caught.value.status_code, caught.value.request_id) == (200, "H1")


@pytest.mark.parametrize(
    "body", [b"no: sk-1", b'{"error": "no: sk-1"}', b'["sk-1"]', b'{"error": "", "id": "sk-1"}']
)
@both
def test_a_key_that_the_body_echoes_stays_out_of_the_error(parse: Parse, body: bytes) -> None:
    with pytest.raises(VoxtralError) as caught:
        parse(body, secrets=["sk-1"])
    shown = f"{caught.value} {caught.value!r} {caught.value.args} {caught.value.request_id}"
    assert "sk-1" not in shown


@both
@given(body=st.binary())
def test_any_bytes_are_an_error_of_this_package(parse: Parse, body: bytes) -> None:
    with pytest.raises(VoxtralError):
        parse(body)
