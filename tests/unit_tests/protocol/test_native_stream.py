"""Streamed answers of the native endpoint."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralContextOverflowError,
    VoxtralError,
    VoxtralRateLimitError,
    VoxtralResponseError,
)
from langchain_voxtral.protocol.native import NativeDecoder
from langchain_voxtral.protocol.responses import ResponseInfo, StreamEvent, TokenDelta, Usage

DOCUMENTED = (
    b'data: {"token": {"id": null, "text": "Hello", "logprob": 0.0, "special": false}, '
    b'"generated_text": "", "details": null, "estimated_cost": null}\n'
    b'data: {"token": {"id": null, "text": "!", "logprob": 0.0, "special": false}, '
    b'"generated_text": "", "details": null, "estimated_cost": null}\n'
    b'data: {"token": {"id": null, "text": " It", "logprob": 0.0, "special": false}, '
    b'"generated_text": "", "details": null, "estimated_cost": null}\n'
    b'data: {"token": {"id": null, "text": "\'s", "logprob": 0.0, "special": false}, '
    b'"generated_text": "", "details": null, "estimated_cost": null}\n'
    b'data: {"token": {"id": null, "text": "", "logprob": 0.0, "special": false}, '
    b'"generated_text": null, "details": {"finish_reason": "stop"}, "num_output_tokens": 25, '
    b'"num_input_tokens": 12, "estimated_cost": 0.0000386}\n'
)
DOCUMENTED_EVENTS: list[StreamEvent] = [
    TokenDelta("Hello"),
    TokenDelta("!"),
    TokenDelta(" It"),
    TokenDelta("'s"),
    ResponseInfo("stop", Usage(input_tokens=12, output_tokens=25, cost=0.0000386)),
]
STOPPED: dict[str, object] = {"finish_reason": "stop"}


def token(text: str, **fields: object) -> dict[str, object]:
    """A token event; `fields` are those of the event."""
    return {"token": {"id": None, "text": text, "logprob": 0.0, "special": False}} | fields


def sse(*documents: object) -> bytes:
    return b"".join(b"data: " + json.dumps(document).encode() + b"\n\n" for document in documents)


def events_of(*reads: bytes) -> list[StreamEvent]:
    stream = NativeDecoder(header_request_id="H1")
    events = [event for read in reads for event in stream.feed(read)]
    return events + stream.close()


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n"])
@pytest.mark.parametrize("tail", [b"", b"data: [DONE]\n\n"])
def test_the_documented_stream_gives_the_same_events_however_it_is_cut(
    line_end: bytes, tail: bytes
) -> None:
    body = DOCUMENTED.replace(b"\n", line_end) + tail
    for cut in range(len(body) + 1):
        stream = NativeDecoder()
        events = [*stream.feed(body[:cut]), *stream.feed(body[cut:])]
        assert events == DOCUMENTED_EVENTS
        assert stream.finished
        assert stream.close() == []


def test_the_documented_stream_needs_no_final_line_end() -> None:
    stream = NativeDecoder()
    assert stream.feed(DOCUMENTED.removesuffix(b"\n")) == DOCUMENTED_EVENTS[:-1]
    assert not stream.finished
    assert stream.close() == DOCUMENTED_EVENTS[-1:]
    assert stream.finished


def test_a_stream_cut_anywhere_before_its_last_line_is_not_finished() -> None:
    last = DOCUMENTED.rindex(b"data:")
    for cut in range(last + 1):
        stream = NativeDecoder()
        events = [*stream.feed(DOCUMENTED[:cut]), *stream.close()]
        assert events == DOCUMENTED_EVENTS[: len(events)]
        assert not stream.finished


def test_done_alone_does_not_finish_a_stream() -> None:
    stream = NativeDecoder()
    assert stream.feed(sse(token("a")) + b"data: [DONE]\n\n") == [TokenDelta("a")]
    assert stream.close() == []
    assert not stream.finished


@pytest.mark.parametrize("place", [0, 1, 2])
def test_token_ids_and_probabilities_are_reported_if_the_server_sends_them(place: int) -> None:
    documents = [token("x")] * place + [
        {"token": {"id": 29892, "text": ",", "logprob": -0.25, "special": False}},
        {"token": {"id": 7, "text": "!", "logprob": 0, "special": False}},
        {"token": {"text": "?", "logprob": -1.5}},
        {"token": {"id": "7", "text": ".", "logprob": "-1"}},
    ]
    assert events_of(sse(*documents))[place:] == [
        TokenDelta(",", 29892, -0.25),
        TokenDelta("!", 7, 0),
        TokenDelta("?", None, -1.5),
        TokenDelta("."),
    ]


@pytest.mark.parametrize("place", [0, 1])
def test_the_text_of_a_special_token_is_not_shown(place: int) -> None:
    special = {"token": {"id": 2, "text": "</s>", "logprob": -0.5, "special": True}}
    documents = [token("x")] * place + [special]
    assert events_of(sse(*documents))[place:] == [TokenDelta("", 2, -0.5)]
    assert events_of(sse(special | {"details": STOPPED})) == [ResponseInfo("stop", request_id="H1")]


def test_the_last_stream_of_text_generation_inference_is_read() -> None:
    last = {
        "token": {"id": 2, "text": "</s>", "logprob": -0.5, "special": True},
        "generated_text": "Hello",
        "details": {
            "finish_reason": "eos_token",
            "generated_tokens": 2,
            "input_tokens": 7,
            "seed": None,
        },
    }
    final = ResponseInfo("stop", Usage(input_tokens=7, output_tokens=2), "H1")
    assert events_of(sse(token("Hello"), last)) == [TokenDelta("Hello"), final]


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("stop", "stop"),
        ("eos_token", "stop"),
        ("stop_sequence", "stop"),
        ("length", "length"),
        ("content_filter", "content_filter"),
        ("something_new", "something_new"),
    ],
)
def test_older_finish_reasons_are_normalized(told: str, reason: str) -> None:
    assert events_of(sse(token("", details={"finish_reason": told}))) == [
        ResponseInfo(reason, request_id="H1")
    ]


def test_text_on_the_last_event_comes_before_the_final_event() -> None:
    last = token("b", generated_text="ab", details=STOPPED, num_output_tokens=2)
    final = ResponseInfo("stop", Usage(output_tokens=2), "H1")
    assert events_of(sse(token("a"), last)) == [TokenDelta("a"), TokenDelta("b"), final]


def test_a_complete_final_event_is_not_held_back() -> None:
    stream = NativeDecoder()
    numbers = {"num_input_tokens": 0, "num_output_tokens": 0, "estimated_cost": 0.0}
    final = ResponseInfo("stop", Usage(0, 0, 0.0))
    assert stream.feed(sse(token("", details=STOPPED, **numbers))) == [final]
    assert stream.finished


def test_an_answer_in_the_final_event_alone_is_not_passed_off_as_empty() -> None:
    last = {"token": None, "generated_text": "Hello!", "details": STOPPED}
    with pytest.raises(VoxtralResponseError, match="Hello!"):
        events_of(sse(last))
    assert events_of(sse(token("Hello!"), last))[0] == TokenDelta("Hello!")


@pytest.mark.parametrize("late", [{"token": None}, {}, {"token": {"text": ""}}])
def test_counts_that_come_after_the_finish_reason_are_in_the_final_event(
    late: dict[str, object],
) -> None:
    stream = NativeDecoder()
    assert stream.feed(sse(token("a"), token("", details=STOPPED, estimated_cost=0.5))) == [
        TokenDelta("a")
    ]
    assert not stream.finished
    usage = late | {"num_input_tokens": 3, "num_output_tokens": 4}
    assert stream.feed(sse(usage)) == [ResponseInfo("stop", Usage(3, 4, 0.5))]
    assert stream.finished


def test_counts_that_come_before_the_finish_reason_are_in_the_final_event() -> None:
    stream = NativeDecoder()
    counting = token("b", num_input_tokens=3, num_output_tokens=1, estimated_cost=0.5)
    assert stream.feed(sse(token("a"), counting)) == [TokenDelta("a"), TokenDelta("b")]
    assert stream.feed(sse(token("", details=STOPPED))) == []
    assert stream.close() == [ResponseInfo("stop", Usage(3, 1, 0.5))]


def test_a_cost_without_counts_is_kept() -> None:
    stream = NativeDecoder()
    stream.feed(sse(token("a"), token("b", estimated_cost=0.5), token("", details=STOPPED)))
    assert stream.close() == [ResponseInfo("stop", Usage(cost=0.5))]


def test_done_brings_a_final_event_that_waits_for_counts() -> None:
    stream = NativeDecoder()
    assert stream.feed(sse(token("", details=STOPPED))) == []
    assert stream.feed(b"data: [DONE]\n") == [ResponseInfo("stop")]
    assert stream.close() == []


def test_the_request_id_comes_from_an_event_before_the_header() -> None:
    last = token("", details=STOPPED, num_output_tokens=1)
    final = ResponseInfo("stop", Usage(output_tokens=1), "R1")
    assert events_of(sse(token("a", request_id="R1"), last))[-1] == final
    assert events_of(sse({"request_id": "R1"}, token("a"), last))[-1] == final
    assert events_of(sse(token("a"), last | {"request_id": "R1"}))[-1] == final


def test_documents_that_say_nothing_are_passed_over() -> None:
    nothing = {"token": None, "generated_text": None, "details": None, "estimated_cost": None}
    body = b": ping\n\n" + sse({}, nothing, token("a"), {}, nothing, token("b"))
    assert events_of(body) == [TokenDelta("a"), TokenDelta("b")]


@pytest.mark.parametrize(
    "document",
    [
        {"choices": [{"delta": {"content": "a"}}]},
        {"results": [{"generated_text": "a"}]},
        {"generated_text": "a"},
        {"token": "a"},
        {"token": {"id": 1}},
        {"token": {"text": None}},
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_document_of_an_unknown_form_is_an_error(document: object, place: int) -> None:
    stream = NativeDecoder(header_request_id="H1")
    stream.feed(sse(*[token("a")] * place))
    with pytest.raises(VoxtralResponseError, match="an event of no known form: ") as caught:
        stream.feed(sse(document))
    assert json.dumps(document, separators=(",", ":")) in caught.value.message
    assert (caught.value.status_code, caught.value.request_id) == (200, "H1")


def test_text_after_the_finish_reason_is_an_error() -> None:
    stream = NativeDecoder()
    stream.feed(sse(token("", details=STOPPED, num_output_tokens=1)))
    assert stream.feed(sse(token(""))) == []
    with pytest.raises(VoxtralResponseError, match="text after its final event"):
        stream.feed(sse(token("b")))


ERRORS = [
    pytest.param(
        sse({"error_type": "overloaded", "error_message": "Model is overloaded"}),
        VoxtralRateLimitError,
        "Model is overloaded",
        id="type and message",
    ),
    pytest.param(
        sse({"error": "CUDA OOM", "error_type": "generation"}),
        VoxtralAPIError,
        "CUDA OOM",
        id="error and type",
    ),
    pytest.param(
        sse({"error": {"message": "Model busy, retry later", "code": "engine_overloaded"}}),
        VoxtralRateLimitError,
        "Model busy, retry later",
        id="error object",
    ),
    pytest.param(
        sse({"error": {"message": "Requested input length 9 exceeds maximum input length 8"}}),
        VoxtralContextOverflowError,
        "Requested input length 9 exceeds maximum input length 8",
        id="overflow",
    ),
    pytest.param(
        b'event: error\ndata: {"why": "boom"}\n\n',
        VoxtralAPIError,
        '{"error":{"why":"boom"}}',
        id="error event of unknown shape",
    ),
    pytest.param(b"event: error\ndata: boom\n\n", VoxtralAPIError, "boom", id="error event text"),
    pytest.param(b'{"detail": "boom"}\n', VoxtralAPIError, "boom", id="bare JSON body"),
    pytest.param(sse(token("x", error="boom")), VoxtralAPIError, "boom", id="beside a token"),
]


@pytest.mark.parametrize(("body", "kind", "words"), ERRORS)
@pytest.mark.parametrize("place", [0, 2])
def test_an_error_in_the_stream_is_raised_as_its_class(
    body: bytes, kind: type[VoxtralError], words: str, place: int
) -> None:
    stream = NativeDecoder(header_request_id="H1")
    stream.feed(sse(*[token("a")] * place))
    with pytest.raises(VoxtralError) as caught:
        stream.feed(body)
    assert type(caught.value) is kind
    assert f'The server said: "{words}"' in caught.value.message
    assert (caught.value.status_code, caught.value.request_id) == (200, "H1")


@pytest.mark.parametrize("error", [sse({"error": "boom"}), b"data: boom\n"])
def test_tokens_before_an_error_come_first_and_the_error_next(error: bytes) -> None:
    stream = NativeDecoder(header_request_id="H1")
    assert stream.feed(sse(token("a"), token("b")) + error) == [TokenDelta("a"), TokenDelta("b")]
    assert stream.failure is not None
    assert "boom" in stream.failure.message
    with pytest.raises(VoxtralAPIError, match="boom") as caught:
        stream.feed(sse(token("c")))
    assert caught.value.request_id == "H1"
    with pytest.raises(VoxtralAPIError, match="boom"):
        stream.close()
    assert not stream.finished


def test_a_failed_stream_does_not_finish() -> None:
    stream = NativeDecoder()
    body = sse(token("a"), token("b", details=STOPPED), {"error": "boom"}) + b"data: [DONE]\n"
    assert stream.feed(body) == [TokenDelta("a"), TokenDelta("b")]
    with pytest.raises(VoxtralAPIError, match="boom"):
        stream.close()
    assert not stream.finished


@pytest.mark.parametrize(
    "body", [sse({"error": "no: sk-1"}), b"data: sk-1\n", sse({"x": "sk-1"}), b"sk-1\n"]
)
def test_a_key_that_the_stream_echoes_stays_out_of_the_error(body: bytes) -> None:
    stream = NativeDecoder(secrets=["sk-1"])
    with pytest.raises(VoxtralError) as caught:
        stream.feed(body)
    assert "sk-1" not in f"{caught.value} {caught.value!r} {caught.value.args}"
    assert "[redacted]" in str(caught.value)


def test_an_event_beyond_the_limit_is_an_error() -> None:
    stream = NativeDecoder(max_event_bytes=100)
    with pytest.raises(VoxtralResponseError, match="100 bytes"):
        stream.feed(sse(token("a" * 100)))


@given(texts=st.lists(st.text()), size=st.integers(1, 200))
def test_no_character_is_lost_doubled_or_moved(texts: list[str], size: int) -> None:
    body = sse(*map(token, texts), token("", details=STOPPED, num_output_tokens=len(texts)))
    reads = [body[at : at + size] for at in range(0, len(body), size)]
    expected: list[StreamEvent] = [TokenDelta(text) for text in texts]
    final = ResponseInfo("stop", Usage(output_tokens=len(texts)), "H1")
    assert events_of(*reads) == [*expected, final]
