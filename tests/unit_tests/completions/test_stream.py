"""The decoder of a streamed completion, byte by byte, without I/O."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.completion_requests import SENT, completion_request
from support.sse_replies import event, final, token

from langchain_voxtral.completions.request import CompletionRequest
from langchain_voxtral.completions.response import (
    Completion,
    StreamItem,
    collect_stream,
    parse_completions,
)
from langchain_voxtral.completions.stream import MAX_READS_AFTER_STOP, CompletionStream
from langchain_voxtral.completions.tools import ToolCallParsing
from langchain_voxtral.protocol.responses import ResponseInfo, Usage
from langchain_voxtral.transport import HTTPResponse

# As DeepInfra's API page prints it, without blank lines.
DOCUMENTED = b"".join(map(token, ["Hello", "!", " It", "'s"])) + final()
PRINTED = DOCUMENTED.replace(b"\n\n", b"\n")
ENDED = ResponseInfo(
    model="voxtral",
    provider="deepinfra",
    endpoint="native",
    usage=Usage(input_tokens=12, output_tokens=25, cost=0.0000386),
    finish_reason="stop",
    request_id="H1",
)


def items_of(
    request: CompletionRequest, reads: Sequence[bytes], headers: Mapping[str, str] | None = None
) -> list[StreamItem]:
    decoder = CompletionStream(request, SENT)
    decoder.start_attempt({"x-request-id": "H1"} if headers is None else headers, 1)
    items = [item for read in reads for item in decoder.feed(read)]
    return [*items, *decoder.finish()]


def split(data: bytes, places: Sequence[int]) -> list[bytes]:
    return [data[start:end] for start, end in pairwise([0, *sorted(places), len(data)])]


def unescaped(text: str) -> bytes:
    """A token whose text is not escaped, so that a cut can fall within a character."""
    return f'data: {{"token": {{"text": {json.dumps(text, ensure_ascii=False)}}}}}\n'.encode()


@pytest.mark.parametrize("coalesces", [True, False])
@pytest.mark.parametrize("stream", [DOCUMENTED, PRINTED, PRINTED.replace(b"\n", b"\r\n")])
def test_the_documented_stream_is_the_same_answer_wherever_it_is_cut(
    stream: bytes, coalesces: bool
) -> None:
    asked = completion_request(coalesce=coalesces)
    cuts = [split(stream, [place]) for place in range(len(stream) + 1)]
    for reads in [*cuts, split(stream, range(1, len(stream)))]:
        items = items_of(asked, reads)
        assert collect_stream(items) == Completion("Hello! It's", replace(ENDED, logprobs=[]))
        assert [isinstance(item, ResponseInfo) for item in items[:-1]] == [False] * (len(items) - 1)


def test_tokens_of_one_read_are_one_delta_or_one_each() -> None:
    assert items_of(completion_request(), [DOCUMENTED]) == ["Hello! It's", ENDED]
    assert items_of(completion_request(coalesce=False), [DOCUMENTED]) == [
        *["Hello", "!", " It", "'s"],
        ENDED,
    ]


def test_a_stop_is_found_wherever_the_bytes_are_cut() -> None:
    stream = b"".join(map(unescaped, ["один ", "S\U0001f6d1T", "OP два"])) + final()
    asked = completion_request(stop_sequences=["STOP", "\U0001f6d1TOP"])
    for place in range(len(stream) + 1):
        assert collect_stream(items_of(asked, split(stream, [place]))) == Completion(
            "один S",
            replace(ENDED, logprobs=[]),
        )


# Parts of stop sequences, escaped tokens and calls, so that they span tokens.
fragments = st.sampled_from(
    [
        *("a", "S", "ST", "TOP", "STOP", "<", "\u2060", "/s>", "<\u2060/s>", "[\u2060", "INST]"),
        *("", "\n", "[", "[TOOL_CALLS]", "f[ARGS]{}", '{"name": "f", ', '"parameters": {}}', "```"),
    ]
)
stops = st.sampled_from(["STOP", "TO", "/s>", "a<", "</s>"])
WITH_TOOLS = {"tool_parsing": ToolCallParsing(["f"])}


@given(
    st.lists(fragments, max_size=12),
    st.fixed_dictionaries(
        {
            "stop_sequences": st.lists(stops, max_size=3),
            "coalesce": st.booleans(),
            "unescape": st.booleans(),
            "tool_parsing": st.none() | st.just(ToolCallParsing(["f"])),
        }
    ),
    st.none() | st.sets(st.integers(0, 1000), max_size=10),
)
@example(["a", "<", "a", "\u2060", "/s>"], {"unescape": True}, None)
@example(["a", "S", "a", "TOP"], {"unescape": True, "stop_sequences": ["STOP"]}, None)
@example(["a", "\n", '{"name": "f", ', '"parameters": {}}'], WITH_TOOLS, None)
@example(["a", "\r", "\n", '{"name": "f", ', '"parameters": {}}'], WITH_TOOLS, None)
@example(["a", "a[", "TOOL_CALLS]", "f[ARGS]", "{}"], WITH_TOOLS, None)
def test_a_streamed_answer_is_the_whole_one(
    texts: list[str], options: dict[str, Any], cuts: set[int] | None
) -> None:
    asked = completion_request(**options)
    document = json.dumps({"results": [{"generated_text": "".join(texts)}]}).encode()
    [completion] = parse_completions(asked, SENT, HTTPResponse(document, {}))
    reads = [*map(token, texts), final()]
    if cuts is not None:
        stream = b"".join(reads)
        reads = split(stream, sorted(cut for cut in cuts if cut <= len(stream)))
    decoder = CompletionStream(asked, SENT)
    decoder.start_attempt({}, 1)
    items = [item for read in reads for item in decoder.feed(read)]
    streamed = decoder.completion([*items, *decoder.finish()])
    assert streamed.text == completion.text
    assert [replace(call, id="") for call in streamed.tool_calls] == [
        replace(call, id="") for call in completion.tool_calls
    ]


@pytest.mark.parametrize("cut_at", [0, 40, 90, 140, 200])
@pytest.mark.parametrize("coalesces", [True, False])
def test_log_probabilities_are_those_of_the_tokens_up_to_the_stop(
    cut_at: int, coalesces: bool
) -> None:
    tokens = [
        {"token": {"id": number, "text": text, "logprob": -number / 10}}
        for number, text in enumerate(["one ", "ST", "OP", " two"], start=1)
    ]
    stream = b"".join(map(event, tokens)) + final()
    asked = completion_request(stop_sequences=["STOP"], logprobs=True, coalesce=coalesces)
    completion = collect_stream(items_of(asked, split(stream, [cut_at])))
    assert completion.text == "one "
    assert completion.info.logprobs == [
        {"token": "one ", "id": 1, "logprob": -0.1},
        {"token": "ST", "id": 2, "logprob": -0.2},
        {"token": "OP", "id": 3, "logprob": -0.3},
    ]


def test_a_stream_that_continues_after_its_stop_is_read_for_a_while() -> None:
    decoder = CompletionStream(completion_request(stop_sequences=["STOP"]), SENT)
    decoder.start_attempt({}, 1)
    assert (decoder.started, decoder.is_finishing, decoder.must_stop) == (False, False, False)
    assert decoder.feed(token("one ")) == ["one "]
    assert (decoder.started, decoder.is_finishing, decoder.must_stop) == (True, False, False)
    decoder.feed(token("STOP"))
    reads = 0
    while not decoder.must_stop:
        assert decoder.is_finishing
        assert not decoder.feed(token("more"))
        reads += 1
    assert reads == MAX_READS_AFTER_STOP + 1
    [outcome] = decoder.finish()
    assert isinstance(outcome, ResponseInfo)
    assert (outcome.finish_reason, outcome.finish_reason_is_derived, outcome.usage_incomplete) == (
        "stop",
        True,
        True,
    )


@pytest.mark.parametrize(
    ("reason", "stops", "tokens", "derived"),
    [
        ("stop", [], "stop", False),
        ("length", [], "length", False),
        ("eos_token", [], "stop", False),
        ("stop", ["!"], "stop", False),
        ("length", ["!"], "stop", True),
    ],
)
def test_the_finish_reason_is_the_servers_unless_a_stop_was_cut_here(
    reason: str, stops: list[str], tokens: str, derived: bool
) -> None:
    stream = token("Hello!") + final(details={"finish_reason": reason})
    outcome = collect_stream(items_of(completion_request(stop_sequences=stops), [stream])).info
    assert (outcome.finish_reason, outcome.finish_reason_is_derived) == (tokens, derived)


def test_a_new_attempt_resets_the_state() -> None:
    decoder = CompletionStream(completion_request(), SENT)
    decoder.start_attempt({"x-request-id": "H0"}, 1)
    decoder.feed(token("lost")[:30])
    decoder.start_attempt({"x-request-id": "H1"}, 2)
    completion = collect_stream([*decoder.feed(token("Hello") + final()), *decoder.finish()])
    assert (completion.text, completion.info.request_id, completion.info.attempts) == (
        "Hello",
        "H1",
        2,
    )
