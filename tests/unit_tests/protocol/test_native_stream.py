"""Streamed responses of the native endpoint: cases that only they have."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.errors import (
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
    "Hello",
    "!",
    " It",
    "'s",
    ResponseInfo("stop", Usage(input_tokens=12, output_tokens=25, cost=0.0000386)),
]
STOPPED: dict[str, object] = {"finish_reason": "stop"}


def token(text: str, **fields: object) -> dict[str, object]:
    """A token event; `fields` are those of the event."""
    return {"token": {"id": None, "text": text, "logprob": 0.0, "special": False}} | fields


def sse(*documents: object) -> bytes:
    return b"".join(b"data: " + json.dumps(document).encode() + b"\n\n" for document in documents)


def events_of(*reads: bytes, with_logprobs: bool = False) -> list[StreamEvent]:
    stream = NativeDecoder(header_request_id="H1", with_logprobs=with_logprobs)
    events = [event for read in reads for event in stream.feed(read)]
    return events + stream.close()


def test_the_documented_stream_needs_no_final_line_end() -> None:
    stream = NativeDecoder()
    assert stream.feed(DOCUMENTED.removesuffix(b"\n")) == DOCUMENTED_EVENTS[:-1]
    assert not stream.finished
    assert stream.close() == DOCUMENTED_EVENTS[-1:]
    assert stream.finished


@pytest.mark.parametrize("place", [0, 1, 2])
def test_token_ids_and_probabilities_are_reported_if_the_server_sends_them(place: int) -> None:
    documents = [token("x")] * place + [
        {"token": {"id": 29892, "text": ",", "logprob": -0.25, "special": False}},
        {"token": {"id": 7, "text": "!", "logprob": 0, "special": False}},
        {"token": {"text": "?", "logprob": -1.5}},
        {"token": {"id": "7", "text": ".", "logprob": "-1"}},
    ]
    assert events_of(sse(*documents), with_logprobs=True)[place:] == [
        TokenDelta(",", 29892, -0.25),
        TokenDelta("!", 7, 0),
        TokenDelta("?", None, -1.5),
        TokenDelta(".", None, None),
    ]
    assert events_of(sse(*documents))[place:] == [",", "!", "?", "."]


@pytest.mark.parametrize("place", [0, 1])
def test_the_text_of_a_special_token_is_not_shown(place: int) -> None:
    special = {"token": {"id": 2, "text": "</s>", "logprob": -0.5, "special": True}}
    documents = [token("x")] * place + [special]
    assert events_of(sse(*documents))[place:] == [""]
    assert events_of(sse(*documents), with_logprobs=True)[place:] == [TokenDelta("", 2, -0.5)]
    assert events_of(sse(special | {"details": STOPPED})) == [ResponseInfo("stop", request_id="H1")]


@pytest.mark.parametrize("special", ["x", 1, None, {}])
def test_a_token_is_special_only_if_the_server_says_true(special: object) -> None:
    odd = {"token": {"text": "a", "special": special}}
    assert events_of(sse(odd, odd)) == ["a", "a"]


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
    assert events_of(sse(token("Hello"), last)) == ["Hello", final]


def test_text_on_the_last_event_comes_before_the_final_event() -> None:
    last = token("b", generated_text="ab", details=STOPPED, num_output_tokens=2)
    final = ResponseInfo("stop", Usage(output_tokens=2), "H1")
    assert events_of(sse(token("a"), last)) == ["a", "b", final]


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
    assert events_of(sse(token("Hello!"), last))[0] == "Hello!"


@pytest.mark.parametrize("late", [{"token": None}, {}, {"token": {"text": ""}}])
def test_counts_that_come_after_the_finish_reason_are_in_the_final_event(
    late: dict[str, object],
) -> None:
    stream = NativeDecoder()
    assert stream.feed(sse(token("a"), token("", details=STOPPED, estimated_cost=0.5))) == ["a"]
    assert not stream.finished
    usage = late | {"num_input_tokens": 3, "num_output_tokens": 4}
    assert stream.feed(sse(usage)) == [ResponseInfo("stop", Usage(3, 4, 0.5))]
    assert stream.finished


def test_counts_that_come_before_the_finish_reason_are_in_the_final_event() -> None:
    stream = NativeDecoder()
    counting = token("b", num_input_tokens=3, num_output_tokens=1, estimated_cost=0.5)
    assert stream.feed(sse(token("a"), counting)) == ["a", "b"]
    assert stream.feed(sse(token("", details=STOPPED))) == []
    assert stream.close() == [ResponseInfo("stop", Usage(3, 1, 0.5))]


def test_a_cost_without_counts_is_kept() -> None:
    stream = NativeDecoder()
    stream.feed(sse(token("a"), token("b", estimated_cost=0.5), token("", details=STOPPED)))
    assert stream.close() == [ResponseInfo("stop", Usage(cost=0.5))]


def test_the_request_id_comes_from_an_event_before_the_header() -> None:
    last = token("", details=STOPPED, num_output_tokens=1)
    final = ResponseInfo("stop", Usage(output_tokens=1), "R1")
    assert events_of(sse(token("a", request_id="R1"), last))[-1] == final
    assert events_of(sse({"request_id": "R1"}, token("a"), last))[-1] == final
    assert events_of(sse(token("a"), last | {"request_id": "R1"}))[-1] == final


def test_empty_documents_are_skipped() -> None:
    nothing = {"token": None, "generated_text": None, "details": None, "estimated_cost": None}
    body = b": ping\n\n" + sse({}, nothing, token("a"), {}, nothing, token("b"))
    assert events_of(body) == ["a", "b"]


@given(texts=st.lists(st.text()), size=st.integers(1, 200))
def test_no_character_is_lost_doubled_or_moved(texts: list[str], size: int) -> None:
    body = sse(*map(token, texts), token("", details=STOPPED, num_output_tokens=len(texts)))
    reads = [body[at : at + size] for at in range(0, len(body), size)]
    final = ResponseInfo("stop", Usage(output_tokens=len(texts)), "H1")
    assert events_of(*reads) == [*texts, final]
