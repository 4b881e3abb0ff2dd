"""The validation of chat completion bodies."""

import json
from typing import Any

import pytest

from langchain_voxtral.local.api.chat_requests import ChatRequest
from langchain_voxtral.local.api.requests import parse_body
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.response_formats import JsonObject

HI = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the weather",
        "parameters": {"type": "object", "properties": {"city": {"default": None}}},
    },
}
NAMED = {"type": "function", "function": {"name": "get_weather"}}


def parse(**fields: object) -> ChatRequest:
    return parse_body(json.dumps(HI | fields).encode(), ChatRequest)


def refused(**fields: object) -> list[dict[str, Any]]:
    with pytest.raises(ErrorResponse) as caught:
        parse(**fields)
    assert caught.value.status == 422
    faults = caught.value.body["detail"]
    assert isinstance(faults, list)
    return faults


def test_what_is_not_sent_has_the_documented_default() -> None:
    assert parse().model_dump(exclude={"messages"}) == {
        "model": "m",
        "max_new_tokens": None,
        "temperature": 1,
        "top_p": 1,
        "min_p": 0,
        "top_k": 0,
        "repetition_penalty": 1,
        "presence_penalty": 0,
        "frequency_penalty": 0,
        "stop": None,
        "num_responses": 1,
        "response_format": None,
        "seed": None,
        "user": None,
        "prompt_cache_key": None,
        "stream": False,
        "tools": (),
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "logprobs": False,
        "top_logprobs": 0,
        "stream_options": {"include_usage": True, "continuous_usage_stats": False},
        "service_tier": "default",
        "reasoning_effort": "none",
        "store": False,
        "modalities": ["text"],
        "safety_identifier": None,
    }


BOUNDS: list[tuple[str, object, bool]] = [
    ("temperature", 0, True),
    ("temperature", 2, True),
    ("temperature", 2.1, False),
    ("top_p", 0, False),
    ("top_p", 1, True),
    ("top_k", 999, True),
    ("top_k", 1000, False),
    ("min_p", 1.1, False),
    ("repetition_penalty", 0, False),
    ("presence_penalty", 2.1, False),
    ("frequency_penalty", -2, True),
    ("max_tokens", 0, True),
    ("max_tokens", 1_000_000, True),
    ("max_tokens", 1_000_001, False),
    ("max_completion_tokens", -1, False),
    ("max_completion_tokens", 5, True),
    ("n", 4, True),
    ("n", 5, False),
    ("n", 0, False),
    ("stop", "x", True),
    ("stop", ["x"] * 16, True),
    ("stop", ["x"] * 17, False),
    ("stop", "", False),
    ("seed", 2**64, False),
    ("top_logprobs", 21, False),
]


@pytest.mark.parametrize(("field", "value", "allowed"), BOUNDS)
def test_ranges_are_the_documented_ones(field: str, value: object, allowed: bool) -> None:
    if allowed:
        parse(**{field: value})
    else:
        assert [fault["loc"][:2] for fault in refused(**{field: value})] == [["body", field]]


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_the_limit_has_two_names(name: str) -> None:
    assert parse(**{name: 7}).max_new_tokens == 7


def test_of_two_limits_one_is_refused() -> None:
    [fault] = refused(max_tokens=7, max_completion_tokens=7)
    assert (fault["type"], fault["loc"]) == ("extra_forbidden", ["body", "max_completion_tokens"])


@pytest.mark.parametrize(("given", "stops"), [("x", ["x"]), (["x", "y"], ["x", "y"])])
def test_one_stop_sequence_may_come_without_a_list(given: object, stops: list[str]) -> None:
    assert parse(stop=given).stop == stops


def test_null_means_absent() -> None:
    nothing = dict.fromkeys(["temperature", "n", "tools", "tool_choice", "stream_options", "audio"])
    assert parse(**nothing) == parse()
    options = parse(stream=True, stream_options={"include_usage": None}).stream_options
    assert options.include_usage


@pytest.mark.parametrize(
    "field",
    ["max_new_tokens", "num_responses", "input", "logit_bias", "functions", "metadata", "foo"],
)
def test_an_unknown_field_is_refused_not_dropped(field: str) -> None:
    assert [(fault["type"], fault["loc"]) for fault in refused(**{field: {}})] == [
        ("extra_forbidden", ["body", field])
    ]


@pytest.mark.parametrize(
    "fields",
    [
        {"store": False},
        {"modalities": ["text"]},
        {"parallel_tool_calls": False},
        {"service_tier": "flex"},
        {"reasoning_effort": "none"},
        {"safety_identifier": "abc"},
        {"user": "abc", "prompt_cache_key": "k"},
        {"stream": True, "stream_options": {"include_usage": False}},
    ],
)
def test_what_the_sdk_of_openai_may_send_and_holds_here_is_taken(fields: dict[str, object]) -> None:
    assert parse(**fields).model_fields_set == {"model", "messages", *fields}


@pytest.mark.parametrize(
    "fields",
    [
        {"store": True},
        {"modalities": ["text", "audio"]},
        {"reasoning_effort": "high"},
        {"stream": True, "stream_options": {"continuous_usage_stats": True}},
    ],
)
def test_what_does_not_hold_here_is_refused(fields: dict[str, object]) -> None:
    *_, last = fields
    assert [fault["loc"][:2] for fault in refused(**fields)] == [["body", last]]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"stream": True, "n": 2}, "n above 1 is incompatible with stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options need stream"),
        (
            {"logprobs": True, "top_logprobs": 2},
            "top_logprobs: the embedded engine returns the chosen token's only",
        ),
        ({"tools": [WEATHER, WEATHER]}, "tools: each needs a name of its own"),
        ({"tool_choice": NAMED}, "tool_choice: no tool is 'get_weather'"),
        ({"tool_choice": "required"}, "tool_choice: there are no tools to choose from"),
    ],
)
def test_contradicting_fields_are_refused(fields: dict[str, object], message: str) -> None:
    assert [fault["msg"] for fault in refused(**fields)] == [f"Value error, {message}"]


@pytest.mark.parametrize(
    ("given", "choice"),
    [("auto", "auto"), ("none", "none"), ("required", "any"), (NAMED, "get_weather")],
)
def test_the_choice_of_a_tool(given: object, choice: str) -> None:
    assert parse(tools=[WEATHER], tool_choice=given).choice == choice


def test_tools_are_passed_on_as_sent() -> None:
    assert parse(tools=[WEATHER]).conversation().tools == (WEATHER,)


def test_a_malformed_tool_is_refused() -> None:
    [fault] = refused(tools=[{"type": "function", "function": {"name": ""}}])
    assert fault["loc"] == ["body", "tools", 0, "function", "name"]


def test_response_formats_are_those_of_the_native_route() -> None:
    wanted = parse(response_format={"type": "json_object"}).response_format
    assert wanted == JsonObject(type="json_object")


def test_every_fault_is_reported() -> None:
    faults = refused(messages=[{"role": "user"}], n=9)
    assert [fault["loc"] for fault in faults] == [
        ["body", "n"],
        ["body", "messages", 0, "user", "content"],
    ]


def test_a_body_that_is_not_an_object_is_refused() -> None:
    with pytest.raises(ErrorResponse) as caught:
        parse_body(b"[]", ChatRequest)
    assert caught.value.status == 422
