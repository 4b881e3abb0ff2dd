"""Unstreamed responses of the native endpoint."""

import json

import pytest

from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralError,
    VoxtralResponseError,
)
from langchain_voxtral.protocol.native import parse_response
from langchain_voxtral.protocol.responses import ParsedResponse, ResponseInfo, Usage


def test_the_documented_answer_is_read_completely() -> None:
    body = (
        b'{"request_id": "RWZDRhS5kdoM1XWwXLEshynO", "inference_status": {"status": "succeeded", '
        b'"runtime_ms": 243, "cost": 0.0000436, "tokens_input": 12, "tokens_generated": 25}, '
        b'"results": [{"generated_text": "Hello! It\'s nice to meet you. Is there something I can '
        b'help you with or would you like to chat for a bit?"}], "num_tokens": 25, '
        b'"num_input_tokens":12}'
    )
    text = (
        "Hello! It's nice to meet you. Is there something I can help you with or would you like "
        "to chat for a bit?"
    )
    assert parse_response(body, header_request_id="H1") == ParsedResponse(
        texts=(text,),
        info=ResponseInfo(
            usage=Usage(input_tokens=12, output_tokens=25, cost=0.0000436),
            request_id="RWZDRhS5kdoM1XWwXLEshynO",
            runtime_ms=243,
        ),
    )


@pytest.mark.parametrize(
    ("document", "answer"),
    [
        ({"results": [{"generated_text": ""}]}, ParsedResponse(("",))),
        (
            {"results": [{"generated_text": "a", "x": 1}, {"generated_text": "b"}], "new": {}},
            ParsedResponse(("a", "b")),
        ),
        (
            {
                "results": [{"generated_text": "a"}],
                "inference_status": {"tokens_input": 3, "tokens_generated": 4.0, "runtime_ms": 1.6},
            },
            ParsedResponse(("a",), ResponseInfo(usage=Usage(3, 4), runtime_ms=2)),
        ),
        (
            {
                "results": [{"generated_text": "a"}],
                "num_tokens": "many",
                "num_input_tokens": -1,
                "inference_status": {"cost": True, "runtime_ms": 10**400},
                "request_id": None,
                "error": None,
            },
            ParsedResponse(("a",)),
        ),
        (
            {"results": [{"generated_text": "a"}], "inference_status": "fine"},
            ParsedResponse(("a",)),
        ),
    ],
)
def test_missing_or_invalid_values_are_none_and_unknown_ones_are_ignored(
    document: dict[str, object], answer: ParsedResponse
) -> None:
    assert parse_response(json.dumps(document).encode()) == answer


def test_the_header_names_the_request_where_the_body_does_not() -> None:
    answer = parse_response(b'{"results": [{"generated_text": "a"}]}', header_request_id="H1")
    assert answer.info.request_id == "H1"


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"{}", VoxtralResponseError, "has no results (status: missing)"),
        (b'{"results": []}', VoxtralResponseError, "has no results"),
        (b'{"results": {}}', VoxtralResponseError, "has no results"),
        (b'{"results": ["a"]}', VoxtralResponseError, "generated_text is not a string"),
        (b'{"results": [{"generated_text": null}]}', VoxtralResponseError, "is not a string"),
        (
            b'{"inference_status": {"status": "queued"}}',
            VoxtralResponseError,
            "has no results (status: queued)",
        ),
        (b'{"inference_status": {"status": "failed"}}', VoxtralAPIError, '"status":"failed"'),
        (
            b'{"inference_status": {"status": "failed"}, "results": [{"generated_text": "a"}]}',
            VoxtralAPIError,
            "reports a failure",
        ),
    ],
)
def test_an_unexpected_200_body_is_the_right_error(
    body: bytes, kind: type[VoxtralError], words: str
) -> None:
    with pytest.raises(VoxtralError) as caught:
        parse_response(body, header_request_id="H1")
    assert type(caught.value) is kind
    assert words in caught.value.message
    assert (caught.value.status_code, caught.value.request_id) == (200, "H1")


def test_an_error_names_the_request_as_the_body_does() -> None:
    with pytest.raises(VoxtralAPIError) as caught:
        parse_response(b'{"error": "boom", "request_id": "R1"}', header_request_id="H1")
    assert caught.value.request_id == "R1"
