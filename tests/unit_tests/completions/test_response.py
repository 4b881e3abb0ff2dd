"""Responses to completions, and completions to metadata."""

import json
from dataclasses import replace

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


@pytest.mark.parametrize(
    ("stops", "max_tokens", "n", "text", "reason"),
    [
        ((), None, 1, "one STOP", None),
        (("STOP",), None, 1, "one ", "stop"),
        (("STOP",), 25, 1, "one ", "stop"),
        ((), 25, 1, "one STOP", "length"),
        ((), 26, 1, "one STOP", None),
        ((), 24, 1, "one STOP", "length"),
        ((), 25, 2, "one STOP", None),
    ],
    ids=[
        "not known",
        "a stop was cut",
        "a stop before the limit",
        "all tokens spent",
        "tokens left",
        "more than all tokens",
        "the count is that of both answers",
    ],
)
def test_the_finish_reason_is_derived_where_the_server_sends_none(
    stops: tuple[str, ...], max_tokens: int | None, n: int, text: str, reason: str | None
) -> None:
    request = replace(REQUEST, stop_sequences=stops, max_tokens=max_tokens, n=n)
    read = parse_completions(request, SENT, documented(*["one STOP"] * n))
    assert read[0] == Completion(text, replace(FIRST, finish_reason=reason))


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
