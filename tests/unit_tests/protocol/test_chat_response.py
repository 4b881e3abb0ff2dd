"""Unstreamed responses of chat completions."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralError,
    VoxtralRateLimitError,
    VoxtralResponseError,
)
from langchain_voxtral.protocol.chat_completions import ChatDecoder, parse_response
from langchain_voxtral.protocol.responses import ParsedResponse, ResponseInfo, Usage
from langchain_voxtral.tools.call_accumulator import ToolCallChunk

CALLED = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city":"Paris"}'},
}


def answering(message: object, **fields: object) -> bytes:
    """An answer with one choice; `fields` are those of the answer."""
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return json.dumps({"choices": [choice]} | fields).encode()


def test_an_answer_of_deepinfra_is_read_completely() -> None:
    body = {
        "id": "chatcmpl-guMTxWgpFf",
        "object": "chat.completion",
        "created": 1694623155,
        "model": "mistralai/Voxtral-Mini-3B-2507",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Bonjour",
                    "name": None,
                    "tool_calls": None,
                },
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": 15,
            "completion_tokens": 16,
            "total_tokens": 31,
            "estimated_cost": 0.0000268,
            "prompt_tokens_details": {"cached_tokens": 8},
        },
    }
    assert parse_response(json.dumps(body).encode()) == ParsedResponse(
        texts=("Bonjour",),
        info=ResponseInfo(
            usage=Usage(input_tokens=15, output_tokens=16, cost=0.0000268, cached_tokens=8),
            request_id="chatcmpl-guMTxWgpFf",
        ),
        finish_reasons=("stop",),
        tool_calls=((),),
        refusals=(None,),
    )


def test_the_header_names_the_request_before_the_body() -> None:
    body = answering({"content": "a"}, id="chatcmpl-1")
    assert parse_response(body, header_request_id="H1").info.request_id == "H1"
    assert parse_response(body).info.request_id == "chatcmpl-1"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": None}, ""),
        ({"content": ""}, ""),
        ({"role": "assistant"}, ""),
        ({"content": "a", "refusal": None, "reasoning_content": "Hm."}, "a"),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": " b"}]}, "a b"),
        ({"content": [{"type": "thinking", "thinking": []}, {"type": "text", "text": "a"}]}, "a"),
        ({"content": []}, ""),
    ],
)
def test_the_text_is_found_in_each_form_of_message(message: object, text: str) -> None:
    assert parse_response(answering(message)) == ParsedResponse(
        (text,), finish_reasons=("stop",), tool_calls=((),), refusals=(None,)
    )


@pytest.mark.parametrize(
    ("message", "text", "refusal"),
    [
        ({"content": [{"type": "refusal", "refusal": "No."}]}, "", "No."),
        ({"content": None, "refusal": "I cannot."}, "", "I cannot."),
        ({"content": "Well.", "refusal": "I cannot."}, "Well.", "I cannot."),
    ],
)
def test_a_refusal_is_no_text(message: object, text: str, refusal: str) -> None:
    parsed = parse_response(answering(message))
    assert (parsed.texts, parsed.refusals) == ((text,), (refusal,))


def test_several_answers_come_in_the_order_of_their_index() -> None:
    choices = [
        {"index": 2, "message": {"content": "c"}, "finish_reason": "stop"},
        {"index": 0, "message": {"content": "a"}, "finish_reason": "length"},
        {"index": 1, "message": {"tool_calls": [CALLED]}, "finish_reason": "tool_calls"},
    ]
    assert parse_response(json.dumps({"choices": choices}).encode()) == ParsedResponse(
        texts=("a", "", "c"),
        finish_reasons=("length", "tool_calls", "stop"),
        tool_calls=((), (ToolCallChunk(0, "call_1", "weather", '{"city":"Paris"}'),), ()),
        refusals=(None, None, None),
    )


def test_choices_without_an_index_keep_their_order() -> None:
    choices = [{"message": {"content": text}} for text in "ab"]
    assert parse_response(json.dumps({"choices": choices}).encode()) == ParsedResponse(
        ("a", "b"), finish_reasons=(None, None), tool_calls=((), ()), refusals=(None, None)
    )


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ("stop", "stop"),
        ("function_call", "tool_calls"),
        ("model_length", "length"),
        ("malformed_function_call", "malformed_function_call"),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_older_finish_reasons_are_normalized(sent: object, reason: str | None) -> None:
    choice = {"message": {"content": "a"}, "finish_reason": sent}
    assert parse_response(json.dumps({"choices": [choice]}).encode()).finish_reasons == (reason,)


def test_calls_next_to_text_are_numbered_in_order() -> None:
    calls = [CALLED | {"index": 0}, CALLED | {"index": 0, "id": "call_2"}]
    answer = parse_response(answering({"content": "Looking.", "tool_calls": calls}))
    assert answer.texts == ("Looking.",)
    assert answer.tool_calls == (
        (
            ToolCallChunk(0, "call_1", "weather", '{"city":"Paris"}'),
            ToolCallChunk(1, "call_2", "weather", '{"city":"Paris"}'),
        ),
    )


@pytest.mark.parametrize(
    ("call", "part"),
    [
        ({"function": {"name": "now"}}, ToolCallChunk(0, None, "now", "")),
        (
            {"id": "", "function": {"name": "", "arguments": None}},
            ToolCallChunk(0, None, None, ""),
        ),
        (
            {"id": "c", "function": {"name": "now", "arguments": '{"a": '}},
            ToolCallChunk(0, "c", "now", '{"a": '),
        ),
        (
            {"id": "c", "function": {"name": "now", "arguments": {"é": [1, None]}}},
            ToolCallChunk(0, "c", "now", '{"é":[1,null]}'),
        ),
        (
            {"id": "c", "function": {"name": "now", "arguments": {"a": float("nan")}}},
            ToolCallChunk(0, "c", "now", '{"a":NaN}'),
        ),
        (
            {"id": "c", "function": {"name": "now", "arguments": 5}},
            ToolCallChunk(0, "c", "now", "5"),
        ),
    ],
)
def test_missing_and_unusual_fields_of_a_call_are_kept(call: object, part: ToolCallChunk) -> None:
    assert parse_response(answering({"tool_calls": [call]})).tool_calls == ((part,),)


def test_the_older_form_of_a_call_is_one_call() -> None:
    message = {"content": None, "function_call": {"name": "now", "arguments": "{}"}}
    assert parse_response(answering(message)).tool_calls == (
        (ToolCallChunk(0, None, "now", "{}"),),
    )
    both = message | {"tool_calls": [CALLED]}
    assert [part.name for part in parse_response(answering(both)).tool_calls[0]] == ["weather"]


@pytest.mark.parametrize(
    ("sent", "usage"),
    [
        (None, Usage()),
        ("much", Usage()),
        ({"prompt_tokens": 3.0, "completion_tokens": 0}, Usage(3, 0)),
        ({"prompt_tokens": -1, "completion_tokens": True, "estimated_cost": "0"}, Usage()),
        ({"prompt_tokens_details": None, "estimated_cost": 0.5}, Usage(cost=0.5)),
        ({"prompt_tokens_details": {"cached_tokens": None}}, Usage()),
        ({"prompt_tokens_details": {"cached_tokens": 0}}, Usage(cached_tokens=0)),
    ],
)
def test_a_number_that_is_missing_or_odd_is_none(sent: object, usage: Usage) -> None:
    assert parse_response(answering({"content": "a"}, usage=sent)).info.usage == usage


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"{}", VoxtralResponseError, "has no choices; check that base_url="),
        (b'{"choices": []}', VoxtralResponseError, "has no choices"),
        (b'{"choices": {}}', VoxtralResponseError, "has no choices"),
        (b'{"results": [{"generated_text": "a"}]}', VoxtralResponseError, "has no choices"),
        (b'{"choices": ["a"]}', VoxtralResponseError, "has a choice that is not an object"),
        (b'{"choices": [{"text": "a"}]}', VoxtralResponseError, "a choice without a message"),
        (answering("a"), VoxtralResponseError, "a choice without a message"),
        (answering({"content": 5}), VoxtralResponseError, "content is neither text nor a list"),
        (answering({"content": {"text": "a"}}), VoxtralResponseError, "neither text nor a list"),
        (answering({"content": ["a"]}), VoxtralResponseError, "a content part that is not text"),
        (
            answering({"content": [{"type": "image_url", "text": "a"}]}),
            VoxtralResponseError,
            "a content part that is not text",
        ),
        (answering({"content": [{"type": "text"}]}), VoxtralResponseError, "part that is not text"),
        (answering({"tool_calls": {"0": CALLED}}), VoxtralResponseError, "calls that are not a li"),
        (answering({"tool_calls": ["a"]}), VoxtralResponseError, "a tool call without a function"),
        (answering({"tool_calls": [{"id": "c"}]}), VoxtralResponseError, "without a function"),
        (answering({"content": "a"}, error="boom"), VoxtralAPIError, "boom"),
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


def test_an_error_has_the_bodys_request_id_where_the_header_has_none() -> None:
    with pytest.raises(VoxtralAPIError) as caught:
        parse_response(b'{"error": "boom", "id": "chatcmpl-1"}')
    assert caught.value.request_id == "chatcmpl-1"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["content", "type", "text", "refusal", "tool_calls", "function_call"])
            | st.sampled_from(["function", "id", "arguments", "prompt_tokens", "index"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(message=JSON, fields=st.dictionaries(st.sampled_from(["usage", "id"]), JSON))
def test_any_message_gives_an_answer_or_an_error_of_this_package(
    message: object, fields: dict[str, object]
) -> None:
    try:
        answer = parse_response(answering(message, **fields))
    except VoxtralResponseError:
        return
    assert len(answer.texts) == len(answer.tool_calls) == 1


@pytest.mark.parametrize(
    ("choice", "kind", "words"),
    [
        ({"error": {"code": 429, "message": "slow down"}}, VoxtralRateLimitError, "slow down"),
        ({}, VoxtralAPIError, "the answer ended in an error"),
    ],
)
def test_an_answer_that_ended_in_an_error_is_one(
    choice: dict[str, Any], kind: type[VoxtralError], words: str
) -> None:
    """OpenRouter reports in the choice what failed behind it."""
    message = {"role": "assistant", "content": "Two ci"}
    choices = [{"message": message, "finish_reason": "error", **choice}]
    with pytest.raises(kind, match=words) as caught:
        parse_response(json.dumps({"choices": choices, "id": "gen-1"}).encode())
    assert (caught.value.partial, caught.value.request_id) == ("Two ci", "gen-1")
    chunk = {"choices": [{"delta": {"content": ""}, "finish_reason": "error", **choice}]}
    with pytest.raises(kind, match=words):
        ChatDecoder().feed(b"data: " + json.dumps(chunk).encode() + b"\n\n")
