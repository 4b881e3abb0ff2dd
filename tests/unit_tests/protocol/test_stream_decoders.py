"""Streamed responses of both endpoints: the same cases with different documents."""

import json
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralContextOverflowError,
    VoxtralError,
    VoxtralRateLimitError,
    VoxtralResponseError,
    VoxtralUnsupportedFeatureError,
)
from langchain_voxtral.protocol.chat_completions import ChatDecoder
from langchain_voxtral.protocol.native import NativeDecoder
from langchain_voxtral.protocol.responses import ResponseInfo, Usage

DONE = b"data: [DONE]\n\n"
CHAT_USAGE = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


def native_token(text: str, **fields: object) -> dict[str, object]:
    return {"token": {"id": None, "text": text, "logprob": 0.0, "special": False}} | fields


def native_end(reason: str, **fields: object) -> dict[str, object]:
    return native_token("", details={"finish_reason": reason}, **fields)


def chat_chunk(delta: object, reason: object = None, **fields: object) -> dict[str, object]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    head = {"object": "chat.completion.chunk", "created": 1, "model": "m"}
    return head | {"choices": [choice]} | fields


def chat_text(text: str, **fields: object) -> dict[str, object]:
    return chat_chunk({"content": text}, **fields)


def chat_end(reason: str, **fields: object) -> dict[str, object]:
    return chat_chunk({}, reason, **fields)


@dataclass(frozen=True)
class Endpoint:
    """How an endpoint writes a text and the end of a stream."""

    decoder: Callable[..., NativeDecoder | ChatDecoder]
    text: Callable[..., dict[str, object]]
    end: Callable[..., dict[str, object]]


NATIVE = Endpoint(NativeDecoder, native_token, native_end)
CHAT = Endpoint(ChatDecoder, chat_text, chat_end)
both = pytest.mark.parametrize(
    "endpoint", [pytest.param(NATIVE, id="native"), pytest.param(CHAT, id="chat")]
)


def sse(*documents: object) -> bytes:
    return b"".join(b"data: " + json.dumps(document).encode() + b"\n\n" for document in documents)


DOCUMENTED = (
    b'data: {"token": {"id": null, "text": "Hello", "logprob": 0.0, "special": false}, '
    b'"generated_text": "", "details": null, "estimated_cost": null}\n\n'
    b'data: {"token": {"id": null, "text": "!", "logprob": 0.0, "special": false}, '
    b'"generated_text": "", "details": null, "estimated_cost": null}\n\n'
    b'data: {"token": {"id": null, "text": "", "logprob": 0.0, "special": false}, '
    b'"generated_text": null, "details": {"finish_reason": "stop"}, "num_output_tokens": 25, '
    b'"num_input_tokens": 12, "estimated_cost": 0.0000386}\n\n'
)
ROLE = chat_chunk({"role": "assistant", "content": ""})
DEEPINFRA = sse(ROLE, chat_text("Hello"), chat_text("!"), chat_chunk({}, "stop", usage=CHAT_USAGE))
OPENAI = sse(
    ROLE,
    chat_text("Hello", usage=None),
    chat_text("!"),
    chat_chunk({}, "stop", usage=None),
    {"id": "c", "choices": [], "usage": CHAT_USAGE},
)
CONTINUOUS = sse(
    ROLE,
    chat_text("Hello", usage=CHAT_USAGE | {"completion_tokens": 1}),
    chat_text("!", usage=CHAT_USAGE | {"completion_tokens": 3}),
    chat_chunk({}, "stop", usage=CHAT_USAGE),
    {"choices": [], "usage": CHAT_USAGE},
)
NATIVE_FINAL = ResponseInfo("stop", Usage(12, 25, 0.0000386), "H1")
CHAT_FINAL = ResponseInfo("stop", Usage(3, 4), "H1")
streams = pytest.mark.parametrize(
    ("endpoint", "body", "final"),
    [
        pytest.param(NATIVE, DOCUMENTED, NATIVE_FINAL, id="native"),
        pytest.param(CHAT, DEEPINFRA, CHAT_FINAL, id="DeepInfra"),
        pytest.param(CHAT, OPENAI, CHAT_FINAL, id="OpenAI"),
        pytest.param(CHAT, CONTINUOUS, CHAT_FINAL, id="continuous usage"),
    ],
)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r", b"\n\n", b"\r\n\r\n"])
@pytest.mark.parametrize("tail", [b"", DONE])
@streams
def test_a_stream_gives_the_same_events_however_it_is_cut(
    endpoint: Endpoint, body: bytes, final: ResponseInfo, line_end: bytes, tail: bytes
) -> None:
    body = body.replace(b"\n\n", line_end) + tail
    for cut in range(len(body) + 1):
        decoder = endpoint.decoder(header_request_id="H1")
        events = [*decoder.feed(body[:cut]), *decoder.feed(body[cut:])]
        assert events == ["Hello", "!", final]
        assert decoder.finished
        assert decoder.close() == []


@streams
def test_a_stream_cut_before_its_finish_reason_is_not_finished(
    endpoint: Endpoint, body: bytes, final: ResponseInfo
) -> None:
    for cut in range(body.index(b'"finish_reason": "stop"') + 1):
        decoder = endpoint.decoder()
        events = [*decoder.feed(body[:cut]), *decoder.close()]
        assert events == ["Hello", "!"][: len(events)]
        assert not decoder.finished


@both
def test_done_alone_does_not_finish_a_stream(endpoint: Endpoint) -> None:
    decoder = endpoint.decoder()
    assert decoder.feed(sse(endpoint.text("a")) + DONE) == ["a"]
    assert decoder.close() == []
    assert not decoder.finished
    assert not decoder.has_finish_reason


@pytest.mark.parametrize("end", [DONE, None])
@both
def test_a_final_event_without_usage_waits_for_the_end(endpoint: Endpoint, end: bytes) -> None:
    decoder = endpoint.decoder()
    assert decoder.feed(sse(endpoint.text("a"), endpoint.end("stop"))) == ["a"]
    assert decoder.has_finish_reason
    assert not decoder.finished
    assert decoder.feed(end) == [ResponseInfo("stop")]
    assert decoder.finished
    assert decoder.close() == []


@pytest.mark.parametrize(
    ("endpoint", "sent", "reason"),
    [
        (NATIVE, "stop", "stop"),
        (NATIVE, "eos_token", "stop"),
        (NATIVE, "stop_sequence", "stop"),
        (NATIVE, "length", "length"),
        (NATIVE, "something_new", "something_new"),
        (CHAT, "stop", "stop"),
        (CHAT, "tool_calls", "tool_calls"),
        (CHAT, "function_call", "tool_calls"),
        (CHAT, "something_new", "something_new"),
    ],
)
def test_older_finish_reasons_are_normalized(endpoint: Endpoint, sent: str, reason: str) -> None:
    decoder = endpoint.decoder()
    assert decoder.feed(sse(endpoint.end(sent)) + DONE) == [ResponseInfo(reason)]


UNKNOWN: list[tuple[Endpoint, object]] = [
    *[
        (NATIVE, document)
        for document in (
            {"choices": [{"delta": {"content": "a"}}]},
            {"results": [{"generated_text": "a"}]},
            {"generated_text": "a"},
            {"token": "a"},
            {"token": {"id": 1}},
            {"token": {"text": None}},
        )
    ],
    *[
        (CHAT, document)
        for document in (
            {"token": {"text": "a"}},
            {"id": "c", "object": "chat.completion.chunk"},
            {"usage": None},
            {"choices": "a"},
            {"choices": {"delta": {"content": "a"}}},
            {"choices": {}, "x": 1},
            {"choices": 5, "error": None},
            {"choices": {}, "usage": CHAT_USAGE},
            {"choices": ["a"]},
            {"choices": [{"text": "a"}]},
            {"choices": [{"message": {"content": "a"}}]},
            chat_chunk("a"),
            chat_chunk({"content": 5}),
            chat_chunk({"content": [{"type": "image_url"}]}),
            chat_chunk({"tool_calls": {"index": 0}}),
            chat_chunk({"tool_calls": ["a"]}),
            chat_chunk({"tool_calls": [{"index": 0}]}),
        )
    ],
]


@pytest.mark.parametrize(("endpoint", "document"), UNKNOWN)
@pytest.mark.parametrize("texts_before", [0, 1])
def test_a_document_of_an_unknown_form_is_an_error(
    endpoint: Endpoint, document: object, texts_before: int
) -> None:
    decoder = endpoint.decoder(header_request_id="H1")
    decoder.feed(sse(*[endpoint.text("a")] * texts_before))
    with pytest.raises(VoxtralResponseError, match="an event of no known form: ") as caught:
        decoder.feed(sse(document))
    assert json.dumps(document, separators=(",", ":")) in caught.value.message
    assert (caught.value.status_code, caught.value.request_id) == (200, "H1")


CALL = {"index": 0, "function": {"name": "now", "arguments": "{}"}}


@pytest.mark.parametrize(
    ("endpoint", "document"),
    [
        (NATIVE, native_token("b")),
        (CHAT, chat_text("b")),
        (CHAT, chat_chunk({"tool_calls": [CALL]})),
    ],
)
@pytest.mark.parametrize(
    "usage", [{}, {"usage": CHAT_USAGE, "num_input_tokens": 3, "num_output_tokens": 4}]
)
def test_text_or_calls_after_the_finish_reason_are_an_error(
    endpoint: Endpoint, document: object, usage: dict[str, object]
) -> None:
    decoder = endpoint.decoder()
    decoder.feed(sse(endpoint.end("stop", **usage)))
    assert decoder.feed(sse(endpoint.text(""))) == []
    with pytest.raises(VoxtralResponseError, match="text after its final event"):
        decoder.feed(sse(document))


ERRORS: dict[str, tuple[bytes, type[VoxtralError], str]] = {
    "type and message": (
        sse({"error_type": "overloaded", "error_message": "Model is overloaded"}),
        VoxtralRateLimitError,
        "Model is overloaded",
    ),
    "text and type": (
        sse({"error": "CUDA OOM", "error_type": "generation"}),
        VoxtralAPIError,
        "CUDA OOM",
    ),
    "DeepInfra": (
        sse({"error": {"message": "Model busy, retry later", "code": "engine_overloaded"}}),
        VoxtralRateLimitError,
        "Model busy, retry later",
    ),
    "overflow": (
        sse({"error": {"message": "Requested input length 9 exceeds maximum input length 8"}}),
        VoxtralContextOverflowError,
        "Requested input length 9 exceeds maximum input length 8",
    ),
    "vLLM": (
        sse({"object": "error", "message": "maximum context length is 8", "code": 400}),
        VoxtralContextOverflowError,
        "maximum context length is 8",
    ),
    "llama.cpp": (
        sse({"error": {"code": 500, "message": "boom", "type": "server_error"}}),
        VoxtralAPIError,
        "boom",
    ),
    "tools": (
        sse({"error": {"message": "Tool calling is not supported for model: X", "code": 405}}),
        VoxtralUnsupportedFeatureError,
        "Tool calling is not supported for model: X",
    ),
    "error event of unknown form": (
        b'event: error\ndata: {"why": "boom"}\n\n',
        VoxtralAPIError,
        '{"error":{"why":"boom"}}',
    ),
    "error event of text": (b"event: error\ndata: boom\n\n", VoxtralAPIError, "boom"),
    "bare JSON body": (b'{"detail": "boom"}\n', VoxtralAPIError, "boom"),
    "beside a native token": (sse(native_token("x", error="boom")), VoxtralAPIError, "boom"),
    "beside chat text": (sse(chat_text("x", error="boom")), VoxtralAPIError, "boom"),
    "no choices": (sse({"choices": [], "error": "boom"}), VoxtralAPIError, "boom"),
    "null choices": (sse({"choices": None, "detail": "boom"}), VoxtralAPIError, "boom"),
}


@pytest.mark.parametrize(("body", "kind", "message"), ERRORS.values(), ids=ERRORS)
@pytest.mark.parametrize("texts_before", [0, 2])
@both
def test_an_error_in_the_stream_is_raised_as_its_class(
    endpoint: Endpoint, body: bytes, kind: type[VoxtralError], message: str, texts_before: int
) -> None:
    decoder = endpoint.decoder(header_request_id="H1")
    decoder.feed(sse(*[endpoint.text("a")] * texts_before))
    with pytest.raises(VoxtralError) as caught:
        decoder.feed(body)
    assert type(caught.value) is kind
    assert f'The server said: "{message}"' in caught.value.message
    assert (caught.value.status_code, caught.value.request_id) == (200, "H1")


@pytest.mark.parametrize("error", [sse({"error": "boom"}), b"data: boom\n"])
@both
def test_events_before_an_error_come_first_and_the_error_next(
    endpoint: Endpoint, error: bytes
) -> None:
    decoder = endpoint.decoder(header_request_id="H1")
    body = sse(endpoint.text("a"), endpoint.text("b")) + error
    assert decoder.feed(body) == ["a", "b"]
    assert decoder.failure is not None
    assert "boom" in decoder.failure.message
    for data in (sse(endpoint.text("c")), None):
        with pytest.raises(VoxtralAPIError, match="boom") as caught:
            decoder.feed(data)
        assert caught.value.request_id == "H1"
    assert not decoder.finished


@both
def test_a_failed_stream_does_not_finish(endpoint: Endpoint) -> None:
    decoder = endpoint.decoder()
    body = sse(endpoint.text("a"), endpoint.end("stop"), {"error": "boom"}) + DONE
    assert decoder.feed(body) == ["a"]
    with pytest.raises(VoxtralAPIError, match="boom"):
        decoder.close()
    assert not decoder.finished


@pytest.mark.parametrize(
    "body",
    [
        sse({"error": "no: sk-1"}),
        b"data: sk-1\n",
        sse({"x": "sk-1"}),
        b"sk-1\n",
        sse(chat_chunk("sk-1")),
    ],
)
@both
def test_a_key_that_the_stream_echoes_stays_out_of_the_error(
    endpoint: Endpoint, body: bytes
) -> None:
    decoder = endpoint.decoder(secrets=["sk-1"])
    with pytest.raises(VoxtralError) as caught:
        decoder.feed(body)
    assert "sk-1" not in f"{caught.value} {caught.value!r} {caught.value.args}"
    assert "[redacted]" in str(caught.value)


@both
def test_an_event_beyond_the_limit_is_an_error(endpoint: Endpoint) -> None:
    decoder = endpoint.decoder(max_event_bytes=100)
    with pytest.raises(VoxtralResponseError, match="100 bytes"):
        decoder.feed(sse(endpoint.text("a" * 100)))
