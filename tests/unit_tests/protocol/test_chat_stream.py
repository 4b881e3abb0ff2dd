"""Streamed responses of chat completions: cases that only they have."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.errors import (
    VoxtralError,
    VoxtralResponseError,
)
from langchain_voxtral.protocol.chat_completions import ChatDecoder
from langchain_voxtral.protocol.responses import ResponseInfo, StreamEvent, TokenDelta, Usage
from langchain_voxtral.tools.call_accumulator import ToolCallChunk

USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
DONE = b"data: [DONE]\n\n"


def chunk(delta: object, reason: object = None, **fields: object) -> dict[str, object]:
    """A chunk with one choice; `fields` are those of the chunk."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    head = {"object": "chat.completion.chunk", "created": 1, "model": "m"}
    return head | {"choices": [choice]} | fields


def text_chunk(text: str, **fields: object) -> dict[str, object]:
    return chunk({"content": text}, **fields)


def calls(*parts: object, **fields: object) -> dict[str, object]:
    return chunk({"content": None, "tool_calls": list(parts)}, **fields)


def call(index: int | None, arguments: object = "", **parts: object) -> dict[str, object]:
    """An entry of `tool_calls`; what is None is left out."""
    function = {"name": parts.pop("name", None), "arguments": arguments}
    return {"function": function} | ({} if index is None else {"index": index}) | parts


def sse(*documents: object) -> bytes:
    return b"".join(b"data: " + json.dumps(document).encode() + b"\n\n" for document in documents)


def events_of(*reads: bytes, with_logprobs: bool = False) -> list[StreamEvent]:
    stream = ChatDecoder(header_request_id="H1", with_logprobs=with_logprobs)
    events = [event for read in reads for event in stream.feed(read)]
    return events + stream.close()


FINAL = ResponseInfo("stop", Usage(3, 4), "H1")
ROLE = chunk({"role": "assistant", "content": ""})


def test_usage_on_the_last_chunk_is_not_held_back() -> None:
    stream = ChatDecoder()
    parts = USAGE | {"estimated_cost": 0.5, "prompt_tokens_details": {"cached_tokens": 2}}
    final = ResponseInfo("length", Usage(3, 4, 0.5, 2))
    assert stream.feed(sse(text_chunk("a", reason="length", usage=parts))) == [
        "a",
        final,
    ]
    assert stream.finished


def test_usage_that_comes_after_the_finish_reason_is_in_the_final_event() -> None:
    stream = ChatDecoder()
    assert stream.feed(sse(text_chunk("a"), chunk({}, "stop"))) == ["a"]
    assert stream.has_finish_reason
    assert not stream.finished
    assert stream.feed(sse({"choices": [], "usage": USAGE})) == [ResponseInfo("stop", Usage(3, 4))]
    assert stream.finished


def test_usage_before_the_finish_reason_ends_nothing_and_the_last_counts() -> None:
    stream = ChatDecoder()
    assert stream.feed(sse(text_chunk("a", usage=USAGE))) == ["a"]
    assert not stream.has_finish_reason
    more = USAGE | {"completion_tokens": 9}
    assert stream.feed(sse(text_chunk("b", usage=more), chunk({}, "stop"))) == ["b"]
    assert stream.close() == [ResponseInfo("stop", Usage(3, 9))]


def test_half_a_usage_waits_for_the_other_half() -> None:
    stream = ChatDecoder()
    assert stream.feed(sse(chunk({}, "stop", usage={"prompt_tokens": 3}))) == []
    late = {"choices": [], "usage": {"completion_tokens": 4}}
    assert stream.feed(sse(late)) == [ResponseInfo("stop", Usage(3, 4))]


def test_done_without_a_finish_reason_does_not_finish_a_stream() -> None:
    stream = ChatDecoder()
    assert stream.feed(sse(text_chunk("a"), {"choices": [], "usage": USAGE}) + DONE) == ["a"]
    assert stream.close() == []
    assert not stream.finished
    assert not stream.has_finish_reason


def test_the_request_id_comes_from_the_header_before_the_chunks() -> None:
    body = sse({"choices": [], "id": "c0"}, text_chunk("a", id="c1"), chunk({}, "stop", id="c1"))
    assert events_of(body)[-1] == ResponseInfo("stop", request_id="H1")
    stream = ChatDecoder()
    assert [*stream.feed(body), *stream.close()][-1] == ResponseInfo("stop", request_id="c0")


@pytest.mark.parametrize(
    "document",
    [
        {},
        ROLE,
        chunk(None),
        chunk({}),
        chunk({"role": "assistant", "content": None, "tool_calls": None, "refusal": None}),
        chunk({"content": "", "tool_calls": []}),
        chunk({"content": None, "reasoning_content": "Hm."}),
        {"choices": []},
        {"choices": [], "usage": None, "prompt_filter_results": []},
        {"choices": [{"index": 0, "text": ""}]},
        {"choices": None, "usage": USAGE},
    ],
)
def test_empty_chunks_are_skipped(document: object) -> None:
    body = sse(document, text_chunk("a"), document, text_chunk("b"))
    assert events_of(b": ping\n\n" + body) == ["a", "b"]


@pytest.mark.parametrize(
    ("delta", "text"),
    [
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab"),
    ],
)
def test_text_in_another_form_is_text(delta: object, text: str) -> None:
    assert events_of(sse(chunk(delta))) == [text]


@pytest.mark.parametrize(
    ("deltas", "texts", "refusal"),
    [
        ([{"refusal": "I can"}, {"refusal": "not."}], [], "I cannot."),
        ([{"content": "Well"}, {"content": None, "refusal": "No."}], ["Well"], "No."),
        ([{"content": [{"type": "refusal", "refusal": "No."}]}], [], "No."),
    ],
)
def test_a_refusal_is_no_text_and_comes_with_the_end(
    deltas: list[object], texts: list[str], refusal: str
) -> None:
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    *told, info = events_of(sse(*map(chunk, deltas), end) + b"data: [DONE]\n\n")
    assert told == texts
    assert isinstance(info, ResponseInfo)
    assert (info.refusal, info.finish_reason) == (refusal, "stop")


# Tool calls


def test_the_parts_of_calls_come_as_the_server_streams_them() -> None:
    body = sse(
        text_chunk("Looking."),
        calls(call(0, id="c1", type="function", name="weather")),
        calls(call(0, '{"city":')),
        calls(call(0, '"Paris"}')),
        calls(call(1, "{}", id="c2", name="now")),
        chunk({}, "tool_calls", usage=USAGE),
    )
    assert events_of(body) == [
        "Looking.",
        ToolCallChunk(0, "c1", "weather"),
        ToolCallChunk(0, arguments='{"city":'),
        ToolCallChunk(0, arguments='"Paris"}'),
        ToolCallChunk(1, "c2", "now", "{}"),
        ResponseInfo("tool_calls", Usage(3, 4), "H1"),
    ]


def test_a_chunk_with_all_gives_its_text_then_its_calls_then_the_final_event() -> None:
    delta = {"tool_calls": [call(None, "{}", id="c1", name="now")], "content": "a"}
    assert events_of(sse(chunk(delta, "tool_calls", usage=USAGE))) == [
        "a",
        ToolCallChunk(0, "c1", "now", "{}"),
        ResponseInfo("tool_calls", Usage(3, 4), "H1"),
    ]


def test_calls_without_an_index_have_their_position() -> None:
    body = sse(calls(call(None, "{}", id="c1", name="now"), call(-1, "[]", name="then")))
    assert events_of(body) == [
        ToolCallChunk(0, "c1", "now", "{}"),
        ToolCallChunk(1, None, "then", "[]"),
    ]


def test_ids_and_names_that_the_server_repeats_are_reported_once() -> None:
    body = sse(
        calls(call(0, name="now")),
        calls(call(0, "{", id="c1", name="now")),
        calls(call(0, "}", id="another", name="")),
        calls(call(0, "", id="c1", name="now")),
    )
    assert events_of(body) == [
        ToolCallChunk(0, None, "now"),
        ToolCallChunk(0, "c1", arguments="{"),
        ToolCallChunk(0, arguments="}"),
    ]


def test_arguments_sent_as_an_object_are_written_as_json() -> None:
    body = sse(calls(call(0, {"city": "Orléans"}, id="c1", name="weather")))
    assert events_of(body) == [ToolCallChunk(0, "c1", "weather", '{"city":"Orléans"}')]


def test_two_calls_under_one_index_get_two() -> None:
    body = sse(
        calls(call(0, "{}", id="c1", name="now")),
        calls(call(0, "{", name="then")),
        calls(call(0, "}"), call(1, "{}", name="now")),
    )
    assert events_of(body) == [
        ToolCallChunk(0, "c1", "now", "{}"),
        ToolCallChunk(1, None, "then", "{"),
        ToolCallChunk(1, arguments="}"),
        ToolCallChunk(2, None, "now", "{}"),
    ]


# Log probabilities


def entry(token: object, logprob: object) -> dict[str, object]:
    return {"token": token, "logprob": logprob, "bytes": None, "top_logprobs": []}


@pytest.mark.parametrize(
    ("logprobs", "events"),
    [
        ({"content": [entry("ab", -0.5)]}, [TokenDelta("ab", None, -0.5)]),
        ({"content": [entry("bytes:\\xc3", 0)]}, [TokenDelta("ab", None, 0)]),
        (
            {"content": [entry("a", -0.5), entry("b", -1.5)]},
            [TokenDelta("a", None, -0.5), TokenDelta("b", None, -1.5)],
        ),
        (
            {"content": [entry("a", -0.5), entry("", -0.1), entry("b", None)]},
            [TokenDelta("a", None, -0.5), TokenDelta("", None, -0.1), TokenDelta("b")],
        ),
        ({"content": [entry("a", -0.5), entry("c", -1.5)]}, [TokenDelta("ab")]),
        ({"content": [entry(1, -0.5), entry(None, -1.5)]}, [TokenDelta("ab")]),
        ({"content": [entry("ab", "-0.5")]}, [TokenDelta("ab")]),
        ({"content": [entry("ab", False)]}, [TokenDelta("ab")]),
        ({"content": []}, [TokenDelta("ab")]),
        ({"content": None, "refusal": None}, [TokenDelta("ab")]),
        ({"content": "ab"}, [TokenDelta("ab")]),
        ({"content": 5}, [TokenDelta("ab")]),
        ("ab", [TokenDelta("ab")]),
    ],
)
def test_probabilities_go_with_the_tokens_that_make_up_the_text(
    logprobs: object, events: list[StreamEvent]
) -> None:
    choice = {"index": 0, "delta": {"content": "ab"}, "logprobs": logprobs}
    assert events_of(sse({"choices": [choice]}), with_logprobs=True) == events
    texts = [event.text for event in events if isinstance(event, TokenDelta)]
    assert events_of(sse({"choices": [choice]})) == texts


# Errors


@pytest.mark.parametrize("delta", [{"content": "b"}, {"tool_calls": [call(0, "{}", name="now")]}])
@pytest.mark.parametrize("usage", [USAGE, None])
def test_text_or_calls_after_the_finish_reason_are_an_error(delta: object, usage: object) -> None:
    stream = ChatDecoder()
    stream.feed(sse(chunk({}, "stop", usage=usage)))
    assert stream.feed(sse(text_chunk(""))) == []
    with pytest.raises(VoxtralResponseError, match="text after its final event"):
        stream.feed(sse(chunk(delta)))


def test_a_second_answer_is_an_error() -> None:
    stream = ChatDecoder()
    other = {"index": 1, "delta": {"content": "b"}}
    assert stream.feed(sse(text_chunk("a"), {"choices": [other]})) == ["a"]
    with pytest.raises(VoxtralResponseError, match="more than one answer"):
        stream.close()


def test_a_key_that_the_stream_echoes_as_its_id_stays_out_of_the_final_event() -> None:
    stream = ChatDecoder(secrets=["sk-1"])
    body = sse(chunk({}, "stop", id="sk-1", usage=USAGE))
    assert stream.feed(body) == [ResponseInfo("stop", Usage(3, 4), "[redacted]")]


# Properties

TEXTS = st.text(min_size=1)
CALLED = st.builds(ToolCallChunk, st.integers(0, 2), arguments=st.text(min_size=1))


def sent(event: str | ToolCallChunk) -> dict[str, object]:
    """The chunk that says an event."""
    if isinstance(event, str):
        return text_chunk(event)
    return calls(call(event.index, event.arguments))


@given(events=st.lists(TEXTS | CALLED), cuts=st.lists(st.integers(0, 10_000)), late=st.booleans())
def test_every_split_of_the_bytes_gives_the_same_events(
    events: list[str | ToolCallChunk], cuts: list[int], late: bool
) -> None:
    ending = [chunk({}, "stop", usage=None if late else USAGE)]
    body = sse(*map(sent, events), *ending, *[{"choices": [], "usage": USAGE}] * late) + DONE
    places = [0, *sorted({cut % len(body) for cut in cuts}), len(body)]
    reads = [body[at:to] for at, to in pairwise(places)]
    assert events_of(*reads) == [*events, FINAL]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "index", "delta", "content", "type", "text", "tool_calls"])
            | st.sampled_from(["function", "name", "arguments", "token", "usage", "id", "error"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(document=JSON, choice=JSON, logprobs=JSON)
def test_any_document_gives_events_or_an_error_of_this_package(
    document: object, choice: object, logprobs: object
) -> None:
    likely = {"delta": {"content": "a"}, "logprobs": logprobs}
    for body in (document, {"choices": choice}, {"choices": [choice]}, {"choices": [likely]}):
        stream = ChatDecoder()
        try:
            events = [*stream.feed(sse(body)), *stream.close()]
        except VoxtralError:
            assert stream.failure is not None
        else:
            assert all(isinstance(event, str | ToolCallChunk | ResponseInfo) for event in events)
