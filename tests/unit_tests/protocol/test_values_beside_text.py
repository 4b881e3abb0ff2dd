"""Values of a wrong type beside the text of a response: they are absent, and the text stands."""

import copy
import json
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import pytest
from langchain_core.messages.ai import UsageMetadata
from pydantic import TypeAdapter
from support.documented_exchanges import HELLO_ANSWER, HELLO_TEXT, Server, answering, streaming

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.completions.outputs import response_metadata, usage_metadata
from langchain_voxtral.errors import VoxtralAPIError, VoxtralResponseError
from langchain_voxtral.protocol import chat_completions, native, transcription
from langchain_voxtral.protocol.responses import ResponseInfo, StreamEvent, TokenDelta, Usage

NONSENSE: list[Any] = [
    *(None, "x", "", True, False, -1, 1.5, float("nan"), float("inf"), 10**25, 10**400, 1e308),
    *([], ["x"], [None], [{}], {}, {"a": 1}),
]
DONE = b"data: [DONE]\n\n"
CHAT_USAGE = {
    "prompt_tokens": 3,
    "completion_tokens": 4,
    "total_tokens": 7,
    "estimated_cost": 0.5,
    "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 2},
}
CHAT_ANSWER = {
    "id": "c",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "system_fingerprint": "f",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": HELLO_TEXT, "annotations": []},
            "finish_reason": "stop",
            "logprobs": None,
        }
    ],
    "usage": CHAT_USAGE,
}
TRANSCRIPT = {
    "text": HELLO_TEXT,
    "segments": [{"id": 0, "start": 0.0, "end": 1.0, "text": HELLO_TEXT}],
    "words": [{"word": "Hello!", "start": 0.0, "end": 0.5}],
    "language": "en",
    "duration": 2.0,
    "input_length_ms": 2000,
    "usage": {"input_tokens": 3, "output_tokens": 4, "input_tokens_details": {"cached_tokens": 1}},
    "request_id": "R",
    "id": "I",
    "inference_status": HELLO_ANSWER["inference_status"],
}

Path = tuple[Any, ...]
Decoder = native.NativeDecoder | chat_completions.ChatDecoder
_USAGE = TypeAdapter(UsageMetadata)


def paths(value: object, before: Path = ()) -> Iterator[Path]:
    """Yield the paths of all values in a document."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, inner in items:
        yield (*before, key)
        yield from paths(inner, (*before, key))


def variants(document: Any, path: Path) -> Iterator[bytes]:
    """Yield a document without the value at a path, and with nonsense in its place."""
    for value in NONSENSE:
        changed = copy.deepcopy(document)
        holder = changed
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = value
        yield json.dumps(changed).encode()
    del holder[path[-1]]
    yield json.dumps(changed).encode()


def beside(document: object, *text: Path) -> list[Path]:
    """Return the paths of all values that the text is not within."""
    return [path for path in paths(document) if not any(path == one[: len(path)] for one in text)]


def assert_usable(info: ResponseInfo) -> None:
    """Check that LangChain and JSON take what is known of a response."""
    usage = usage_metadata(info)
    if usage is not None:
        _USAGE.validate_python(usage, strict=True)
        assert usage["total_tokens"] < 2**63
    json.dumps(response_metadata(info), allow_nan=False)


@pytest.mark.parametrize("path", beside(HELLO_ANSWER, ("results", 0, "generated_text")), ids=str)
def test_nothing_beside_the_text_can_fail_a_native_response(path: Path) -> None:
    for body in variants(HELLO_ANSWER, path):
        parsed = native.parse_response(body)
        assert parsed.texts == (HELLO_TEXT,)
        assert_usable(parsed.info)


@pytest.mark.parametrize("path", beside(CHAT_ANSWER, ("choices", 0, "message", "content")), ids=str)
def test_nothing_beside_the_text_can_fail_a_chat_response(path: Path) -> None:
    for body in variants(CHAT_ANSWER, path):
        parsed = chat_completions.parse_response(body)
        assert parsed.texts == (HELLO_TEXT,)
        assert_usable(parsed.info)


@pytest.mark.parametrize("path", beside(TRANSCRIPT, ("text",)), ids=str)
@pytest.mark.parametrize("is_native", [True, False])
def test_nothing_beside_the_text_can_fail_a_transcript(is_native: bool, path: Path) -> None:
    for body in variants(TRANSCRIPT, path):
        parsed = transcription.parse_transcript(body, is_native=is_native)
        assert parsed.text == HELLO_TEXT
        assert_usable(ResponseInfo(usage=parsed.usage, request_id=parsed.request_id))


# Streams


def token(text: str, **fields: object) -> dict[str, Any]:
    return {"token": {"id": 1, "text": text, "logprob": -0.5, "special": False}} | fields


def chunk(text: str, reason: object = None, **fields: object) -> dict[str, Any]:
    logprobs = {"content": [{"token": text, "logprob": -0.5}]}
    choice = {"index": 0, "delta": {"content": text}, "logprobs": logprobs}
    return {"id": "c", "choices": [choice | {"finish_reason": reason}]} | fields


NATIVE_END = token(
    "",
    generated_text=None,
    details={"finish_reason": "stop", "seed": 1},
    num_output_tokens=4,
    num_input_tokens=3,
    estimated_cost=0.5,
    request_id="R",
)
NATIVE_STREAM = [token("a", details=None, request_id=None), token("b"), NATIVE_END]
CHAT_STREAM = [
    chunk("a", object="chat.completion.chunk", created=1, system_fingerprint=None),
    chunk("b", usage=None),
    chunk("", "stop"),
    {"id": "c", "choices": [], "usage": CHAT_USAGE},
]
DECODERS: dict[str, tuple[Callable[..., Decoder], list[dict[str, Any]]]] = {
    "native": (partial(native.NativeDecoder, with_logprobs=True), NATIVE_STREAM),
    "chat": (partial(chat_completions.ChatDecoder, with_logprobs=True), CHAT_STREAM),
}
# `special` hides a text, a finish reason ends a stream, an index belongs to another answer.
TEXT_KEYS = {"token", "text", "special", "choices", "delta", "content", "details", "finish_reason"}
STREAM_CASES = [
    pytest.param(name, path, id=f"{name} {path}")
    for name, (_, stream) in DECODERS.items()
    for path in paths(stream)
    if len(path) > 1 and path[-1] not in {*TEXT_KEYS, "index", 0}
]


def sse(*documents: object) -> bytes:
    return b"".join(b"data: " + json.dumps(one).encode() + b"\n\n" for one in documents)


def text_of(events: Sequence[StreamEvent]) -> str:
    texts = (event.text if isinstance(event, TokenDelta) else event for event in events)
    return "".join(text for text in texts if isinstance(text, str))


def decode(decoder: Decoder, body: bytes) -> tuple[str, ResponseInfo]:
    """Return the text of a stream and its final event."""
    events = [*decoder.feed(body), *decoder.close()]
    assert decoder.finished
    assert isinstance(events[-1], ResponseInfo)
    return text_of(events), events[-1]


@pytest.mark.parametrize(("name", "path"), STREAM_CASES)
def test_nothing_beside_the_text_can_fail_a_stream(name: str, path: Path) -> None:
    decoder, stream = DECODERS[name]
    for documents in variants(stream, path):
        text, info = decode(decoder(), sse(*json.loads(documents)) + DONE)
        assert text == "ab"
        assert_usable(info)


@pytest.mark.parametrize("value", [True, -1, 1.5, float("nan"), ["stop"], {"type": "stop"}])
@pytest.mark.parametrize("end", [b"", DONE])
def test_a_finish_reason_of_a_wrong_type_ends_a_stream_and_is_absent(
    value: object, end: bytes
) -> None:
    body = sse(*NATIVE_STREAM[:2], NATIVE_END | {"details": {"finish_reason": value}}) + end
    info = ResponseInfo(None, Usage(3, 4, 0.5), "R")
    assert decode(native.NativeDecoder(), body) == ("ab", info)
    body = sse(*CHAT_STREAM[:2], chunk("", value, usage=CHAT_USAGE)) + end
    info = ResponseInfo(None, Usage(3, 4, 0.5, 1, 2), "c")
    assert decode(chat_completions.ChatDecoder(), body) == ("ab", info)


@pytest.mark.parametrize("details", [True, "stop", ["stop"]])
def test_details_of_a_wrong_type_end_a_native_stream(details: object) -> None:
    body = sse(*NATIVE_STREAM[:2], NATIVE_END | {"details": details})
    assert decode(native.NativeDecoder(), body) == ("ab", ResponseInfo(None, Usage(3, 4, 0.5), "R"))


@pytest.mark.parametrize("split", [False, True])
@pytest.mark.parametrize("name", DECODERS)
def test_a_stream_that_goes_on_after_such_a_reason_and_is_cut_is_not_whole(
    name: str, *, split: bool
) -> None:
    decoder = DECODERS[name][0]()
    reason = {"details": {"finish_reason": 5}}
    ab = (1 if name == "native" else None, -0.5)
    first = token("a", **reason) if name == "native" else chunk("a", 5)
    second = token("b") if name == "native" else chunk("b")
    reads = [sse(first), sse(second)] if split else [sse(first, second)]
    events = [event for read in reads for event in decoder.feed(read)]
    assert events == [TokenDelta("a", *ab), TokenDelta("b", *ab)]
    assert decoder.close() == []
    assert not decoder.finished


@pytest.mark.parametrize("value", [None, "", 0, False, [], {}])
@pytest.mark.parametrize("name", DECODERS)
def test_an_empty_finish_reason_ends_nothing(name: str, value: object) -> None:
    decoder = DECODERS[name][0]()
    end = token("", details={"finish_reason": value}) if name == "native" else chunk("", value)
    decoder.feed(sse(*DECODERS[name][1][:2], end) + DONE)
    assert decoder.close() == []
    assert not decoder.finished


AFTER_THE_END = [
    b"data: null\n\n",
    b"data: oops\n\n",
    sse({"usage": {}}),
    sse({"usage": "x"}),
    sse({"id": "c", "object": "chat.completion.chunk"}),
    sse({"choices": 5, "usage": {}}),
    sse({"choices": [None], "usage": None}),
]


@pytest.mark.parametrize("body", AFTER_THE_END)
@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("split", [False, True])
def test_no_nonsense_after_the_finish_reason_costs_the_answer(
    name: str, body: bytes, *, split: bool
) -> None:
    end = token("", details={"finish_reason": "stop"}) if name == "native" else chunk("", "stop")
    decoder = DECODERS[name][0](header_request_id="H1")
    reads = [sse(*DECODERS[name][1][:2], end), body]
    events: list[StreamEvent] = []
    for read in reads if split else [b"".join(reads)]:
        events += decoder.feed(read)
    events += decoder.close()
    assert text_of(events) == "ab"
    assert events[-1] == ResponseInfo("stop", request_id="H1")


@pytest.mark.parametrize(
    "value", ["0", "x", True, 0.0, -1, 1.5, float("nan"), 10**400, [], {"a": 1}]
)
def test_only_a_number_says_that_a_choice_is_another_answer(value: object) -> None:
    documents = [chunk("a"), chunk("b", "stop")]
    for document in documents:
        document["choices"][0]["index"] = value
    text, _ = decode(chat_completions.ChatDecoder(), sse(*documents))
    assert text == "ab"


@pytest.mark.parametrize("logprob", [float("nan"), float("-inf"), True, 10**400, "-1", [], {}])
def test_a_logprob_that_is_no_number_is_absent(logprob: object) -> None:
    odd = {"token": {"id": True, "text": "a", "logprob": logprob}}
    assert native.NativeDecoder().feed(sse(odd)) == ["a"]
    entry = {"token": "a", "logprob": logprob}
    choice = {"delta": {"content": "a"}, "logprobs": {"content": [entry]}}
    assert chat_completions.ChatDecoder().feed(sse({"choices": [choice]})) == ["a"]


def test_a_logprob_is_not_taken_for_that_of_several_tokens() -> None:
    entries = [{"token": "a", "logprob": -0.5}, None]
    choice = {"delta": {"content": "ab"}, "logprobs": {"content": entries}}
    assert chat_completions.ChatDecoder().feed(sse({"choices": [choice]})) == ["ab"]


# What is text, or may hold it


@pytest.mark.parametrize("refusal", [True, 5, float("nan"), {"a": 1}, ["x"]])
def test_a_refusal_of_a_wrong_type_leaves_the_content(refusal: object) -> None:
    message = {"content": "a", "refusal": refusal}
    body = json.dumps({"choices": [{"message": message}]}).encode()
    assert chat_completions.parse_response(body).texts == ("a",)
    assert chat_completions.ChatDecoder().feed(sse({"choices": [{"delta": message}]})) == ["a"]


@pytest.mark.parametrize("calls", [True, 5, float("nan"), [None], [{}], [5, []]])
def test_tool_calls_of_a_type_that_holds_none_leave_the_content(calls: object) -> None:
    message = {"content": "a", "tool_calls": calls}
    body = json.dumps({"choices": [{"message": message}]}).encode()
    assert chat_completions.parse_response(body).texts == ("a",)
    assert chat_completions.ChatDecoder().feed(sse({"choices": [{"delta": message}]})) == ["a"]


@pytest.mark.parametrize("extra", [None, True, 5, {}, []])
def test_an_empty_answer_beside_the_one_that_was_requested_is_passed_over(extra: object) -> None:
    body = json.dumps({"choices": [{"message": {"content": "a"}}, extra]}).encode()
    assert chat_completions.parse_response(body).texts == ("a",)
    body = json.dumps({"results": [{"generated_text": "a"}, extra]}).encode()
    assert native.parse_response(body).texts == ("a",)


@pytest.mark.parametrize("refusal", [{"text": "No."}, ["No."]])
def test_a_refusal_in_an_unknown_form_is_not_an_empty_answer(refusal: object) -> None:
    body = json.dumps({"choices": [{"message": {"content": None, "refusal": refusal}}]}).encode()
    with pytest.raises(VoxtralResponseError):
        chat_completions.parse_response(body)


@pytest.mark.parametrize("message", [{}, {"text": "a"}, {"tool_plan": "a"}])
def test_a_message_without_any_known_field_is_not_an_empty_answer(message: object) -> None:
    body = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}]}).encode()
    with pytest.raises(VoxtralResponseError, match="a message without a role and content"):
        chat_completions.parse_response(body)


def test_an_error_keeps_the_text_beside_it() -> None:
    failed = HELLO_ANSWER | {"inference_status": {"status": "failed"}}
    with pytest.raises(VoxtralAPIError) as caught:
        native.parse_response(json.dumps(failed).encode())
    assert caught.value.partial == HELLO_TEXT
    with pytest.raises(VoxtralAPIError) as caught:
        chat_completions.parse_response(json.dumps(CHAT_ANSWER | {"error": "boom"}).encode())
    assert caught.value.partial == HELLO_TEXT
    message = {"content": HELLO_TEXT, "tool_calls": "now()"}
    with pytest.raises(VoxtralResponseError, match="not a list") as other:
        chat_completions.parse_response(json.dumps({"choices": [{"message": message}]}).encode())
    assert other.value.partial == HELLO_TEXT


@pytest.mark.parametrize("document", [HELLO_ANSWER, CHAT_ANSWER, TRANSCRIPT])
def test_a_status_message_beside_an_answer_is_no_error(document: dict[str, Any]) -> None:
    body = json.dumps(document | {"code": 0, "message": "success", "param": None}).encode()
    if document is TRANSCRIPT:
        assert transcription.parse_transcript(body).text == HELLO_TEXT
        return
    parse = native.parse_response if document is HELLO_ANSWER else chat_completions.parse_response
    assert parse(body).texts == (HELLO_TEXT,)


# Models


USAGES: Sequence[object] = [float("nan"), "12", -1, 10**30, [12], {"tokens": 12}, True]


@pytest.mark.parametrize("count", USAGES)
async def test_models_answer_without_the_usage(
    make: Callable[..., ChatVoxtral | VoxtralLLM], server: Server, count: object
) -> None:
    whole = HELLO_ANSWER | {"num_tokens": count, "inference_status": {"cost": count}}
    server.answer = lambda request: (
        streaming(sse(*NATIVE_STREAM[:2], NATIVE_END | {"num_output_tokens": count}))
        if b'"stream":true' in request.content
        else answering(json.loads(json.dumps(whole).replace("NaN", "null")))
    )
    model = make()
    for message in (model.invoke("Hi"), await model.ainvoke("Hi")):
        text = message if isinstance(message, str) else message.text
        assert text == HELLO_TEXT
        if not isinstance(message, str):
            assert message.usage_metadata is None
            assert "cost" not in message.response_metadata
    chunks = [*model.stream("Hi"), *[one async for one in model.astream("Hi")]]
    assert "".join(one if isinstance(one, str) else one.text for one in chunks) == "abab"
