"""Responses to completions, and completions to metadata."""

import json
from dataclasses import replace
from typing import Any

import pytest
from support.completion_requests import SENT, completion_request
from support.sse_replies import final, token, whole

from langchain_voxtral.completions.chunks import to_chat_chunk
from langchain_voxtral.completions.outputs import response_metadata, usage_metadata
from langchain_voxtral.completions.response import (
    Completion,
    TextDelta,
    collect_stream,
    parse_completions,
)
from langchain_voxtral.completions.stream import CompletionStream
from langchain_voxtral.errors import VoxtralIncompleteStreamError, VoxtralResponseError
from langchain_voxtral.profiles import VOXTRAL_MINI
from langchain_voxtral.protocol.endpoints import CHAT_COMPLETIONS
from langchain_voxtral.protocol.responses import ResponseInfo, Usage
from langchain_voxtral.transport import HTTPResponse

REQUEST = completion_request()
FIRST = ResponseInfo(
    model="voxtral",
    provider="deepinfra",
    endpoint="native",
    usage=Usage(input_tokens=12, output_tokens=25, cost=0.0000436),
    finish_reason_is_derived=True,
    request_id="RWZDRhS5kdoM1XWwXLEshynO",
    runtime_ms=243,
)


def documented(
    *texts: str, headers: dict[str, str] | None = None, attempts: int = 1
) -> HTTPResponse:
    body = whole(*texts).body
    assert body is not None
    return HTTPResponse(body, headers or {}, attempts)


def test_an_answer_is_its_text_and_its_outcome() -> None:
    assert parse_completions(REQUEST, SENT, documented("Hello!")) == [Completion("Hello!", FIRST)]


def test_usage_and_cost_of_several_answers_are_on_the_first_only() -> None:
    """Sums over all answers count them once."""
    others = replace(FIRST, usage=Usage())
    read = parse_completions(replace(REQUEST, n=3), SENT, documented("a", "b", "c"))
    assert read == [Completion("a", FIRST), Completion("b", others), Completion("c", others)]


@pytest.mark.parametrize(("asked", "texts"), [(1, ["a", "b"]), (3, ["a"])])
def test_another_number_of_answers_than_requested_is_an_error(asked: int, texts: list[str]) -> None:
    message = f"{asked} responses were asked for and {len(texts)} came"
    with pytest.raises(VoxtralResponseError, match=message) as caught:
        parse_completions(replace(REQUEST, n=asked), SENT, documented(*texts, attempts=2))
    assert (caught.value.request_id, caught.value.attempts) == ("RWZDRhS5kdoM1XWwXLEshynO", 2)


def test_an_unreadable_response_reports_its_attempts() -> None:
    with pytest.raises(VoxtralResponseError) as caught:
        parse_completions(
            REQUEST, SENT, HTTPResponse(b"<html>", {"x-request-id": "H1"}, attempts=3)
        )
    assert (caught.value.request_id, caught.value.attempts) == ("H1", 3)


def used(given: int | None, made: int | None) -> HTTPResponse:
    """Return a response of both endpoints with these numbers of tokens."""
    native = {"num_input_tokens": given, "num_tokens": made}
    message = {"role": "assistant", "content": "one STOP"}
    body = {
        "results": [{"generated_text": "one STOP"}],
        "choices": [{"index": 0, "message": message, "finish_reason": None}],
        "usage": {"prompt_tokens": given, "completion_tokens": made},
    }
    return HTTPResponse(json.dumps(native | body).encode(), {})


@pytest.mark.parametrize(
    ("asked", "given", "made", "reason"),
    [
        ({}, 12, 25, None),
        ({"stop_sequences": ["STOP"]}, 12, 25, "stop"),
        ({"stop_sequences": ["STOP"], "max_tokens": 25}, 12, 25, "stop"),
        ({"max_tokens": 25}, 12, 25, "length"),
        ({"max_tokens": 24}, 12, 25, "length"),
        ({"max_tokens": 25}, None, 25, "length"),
        ({"max_tokens": 26}, 12, 25, "stop"),
        ({"max_tokens": 26}, None, 25, None),
        ({"max_tokens": 26}, 12, None, None),
        ({"max_tokens": 26}, 12, 0, None),
        ({"max_tokens": 26, "body": {"n_predict": 25}}, 12, 25, None),
        ({"max_tokens": 26, "endpoint": CHAT_COMPLETIONS}, 12, 25, None),
        # Voxtral Mini has 32,768 tokens for prompt and answer, and 16,384 at most for an answer.
        ({"max_tokens": 90_000, "model": VOXTRAL_MINI}, 12, 16_383, "stop"),
        ({"max_tokens": 90_000, "model": VOXTRAL_MINI}, 12, 16_384, None),
        ({"max_tokens": 90_000, "model": VOXTRAL_MINI}, 32_000, 767, "stop"),
        ({"max_tokens": 90_000, "model": VOXTRAL_MINI}, 32_000, 768, None),
        ({"max_tokens": 90_000, "model": f"{VOXTRAL_MINI}:v2"}, 32_000, 768, None),
        ({"max_tokens": 90_000, "model": "another"}, 32_000, 768, "stop"),
    ],
)
def test_the_finish_reason_is_derived_where_it_follows(
    asked: dict[str, Any], given: int | None, made: int | None, reason: str | None
) -> None:
    [completion] = parse_completions(replace(REQUEST, **asked), SENT, used(given, made))
    info = completion.info
    assert (info.finish_reason, info.finish_reason_is_derived) == (reason, True)


@pytest.mark.parametrize(
    ("max_tokens", "reason"),
    [(12, "length"), (13, None), (25, None), (26, "stop")],
    ids=["both have all", "one may have all", "one may still", "none has"],
)
def test_the_finish_reason_of_several_answers_is_derived_from_their_sum(
    max_tokens: int, reason: str | None
) -> None:
    """Of the 25 tokens of two answers, one may have as many as the limit allows."""
    request = replace(REQUEST, max_tokens=max_tokens, n=2)
    read = parse_completions(request, SENT, documented("a", "b"))
    assert [one.info.finish_reason for one in read] == [reason] * 2


@pytest.mark.parametrize(("restores", "text"), [(True, "a </s>"), (False, "a <\u2060/s>")])
def test_escaped_tokens_are_restored_if_content_was_escaped(restores: bool, text: str) -> None:
    [completion] = parse_completions(
        replace(REQUEST, unescape=restores), SENT, documented("a <\u2060/s>")
    )
    assert completion.text == text


@pytest.mark.parametrize("name", ["x-voxtral-model", "x-request-id"])
def test_a_key_that_a_header_echoes_is_not_in_metadata(name: str) -> None:
    sent = replace(SENT, secrets=["sk-0123456789"])
    headers = {name: "m sk-0123456789"}
    bare = json.dumps({"results": [{"generated_text": "Hi"}]}).encode()
    [completion] = parse_completions(REQUEST, sent, HTTPResponse(bare, headers))
    decoder = CompletionStream(REQUEST, sent)
    decoder.start_attempt(headers, 1)
    streamed = decoder.feed(token("Hi") + final())[-1]
    assert isinstance(streamed, ResponseInfo)
    for info in (completion.info, streamed):
        shown = response_metadata(info)["model_name" if "model" in name else "request_id"]
        assert shown == "m [redacted]"


def test_headers_give_the_model_and_the_request_id_that_the_body_lacks() -> None:
    headers = {"x-voxtral-model": "SmolLM2", "x-request-id": "H1"}
    bare = json.dumps({"results": [{"generated_text": "Hi"}]}).encode()
    assert parse_completions(REQUEST, SENT, HTTPResponse(bare, headers, attempts=2)) == [
        Completion(
            "Hi",
            ResponseInfo(
                model="SmolLM2",
                provider="deepinfra",
                endpoint="native",
                finish_reason_is_derived=True,
                request_id="H1",
                attempts=2,
            ),
        )
    ]


def test_metadata_has_what_is_known_and_nothing_else() -> None:
    assert response_metadata(ResponseInfo(model="voxtral", provider="deepinfra")) == {
        "model_name": "voxtral",
        "model_provider": "deepinfra",
    }
    known = ResponseInfo(
        model="voxtral",
        provider="deepinfra",
        endpoint="chat_completions",
        usage=Usage(input_tokens=0, output_tokens=0, cost=0.0),
        finish_reason="length",
        finish_reason_is_derived=True,
        request_id="R1",
        runtime_ms=0,
        attempts=2,
        usage_incomplete=True,
        logprobs=[{"token": "Hi", "id": None, "logprob": -0.5}],
    )
    assert response_metadata(known) == {
        "model_name": "voxtral",
        "model_provider": "deepinfra",
        "endpoint": "chat_completions",
        "finish_reason": "length",
        "finish_reason_source": "derived",
        "request_id": "R1",
        "cost": 0.0,
        "runtime_ms": 0,
        "attempts": 2,
        "usage_incomplete": True,
        "logprobs": {"content": [{"token": "Hi", "id": None, "logprob": -0.5}]},
    }
    assert usage_metadata(known) == {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}


@pytest.mark.parametrize("usage", [Usage(), Usage(input_tokens=12), Usage(output_tokens=25)])
def test_there_is_no_usage_without_both_counts(usage: Usage) -> None:
    assert usage_metadata(ResponseInfo(usage=usage)) is None


def test_a_gathered_stream_is_one_answer() -> None:
    hel = {"token": "Hel", "id": 1, "logprob": -0.1}
    lo = {"token": "lo", "id": 2, "logprob": -0.2}
    gathered_up = collect_stream([TextDelta("Hel", (hel,)), TextDelta("lo", (lo,)), FIRST])
    assert gathered_up == Completion("Hello", replace(FIRST, logprobs=[hel, lo]))


def test_a_stream_without_an_outcome_cannot_be_gathered() -> None:
    with pytest.raises(VoxtralIncompleteStreamError) as caught:
        collect_stream(["Hel"])
    assert caught.value.partial == "Hel"


def test_a_delta_has_log_probabilities_in_openais_shape() -> None:
    logprob = {"token": "Hi", "id": 1, "logprob": -0.5}
    assert to_chat_chunk("Hi").generation_info is None
    assert to_chat_chunk(TextDelta("Hi", (logprob,))).generation_info == {
        "logprobs": {"content": [logprob]}
    }
