"""Tools in chat completions of the embedded engine."""

import json
import re

import httpx
import pytest
from support.local_chat import ask, chunks

PARIS = [{"role": "user", "content": "What is the weather in Paris?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
            "required": ["city"],
        },
    },
}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
            "required": ["a", "b"],
        },
    },
}
NAMED = {"type": "function", "function": {"name": "add"}}


def test_a_question_for_a_tool_is_answered_by_a_call(http: httpx.Client) -> None:
    [choice] = ask(http, PARIS, tools=[ADD, WEATHER])["choices"]
    [call] = choice["message"]["tool_calls"]
    arguments = call["function"]["arguments"]
    assert choice == {
        "index": 0,
        "message": {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": call["id"],
                    "type": "function",
                    "function": {"name": "get_weather", "arguments": arguments},
                }
            ],
        },
        "logprobs": None,
        "finish_reason": "tool_calls",
    }
    assert re.fullmatch("[A-Za-z0-9]{9}", call["id"])
    assert json.loads(arguments)["city"] in {"Paris", "Rome"}


def test_a_streamed_call_brings_its_name_first(http: httpx.Client) -> None:
    received = chunks(http, PARIS, tools=[WEATHER], seed=1)
    first, named, *pieces, last = [chunk["choices"][0]["delta"] for chunk in received]
    [call] = ask(http, PARIS, tools=[WEATHER], seed=1)["choices"][0]["message"]["tool_calls"]
    assert first == {"role": "assistant", "content": None}
    call_id = named["tool_calls"][0]["id"]
    function = {"name": "get_weather", "arguments": ""}
    assert named == {
        "tool_calls": [{"index": 0, "id": call_id, "type": "function", "function": function}]
    }
    arguments = [piece["tool_calls"][0]["function"]["arguments"] for piece in pieces]
    assert pieces == [
        {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in arguments
    ]
    assert len(pieces) > 2
    assert "".join(arguments) == call["function"]["arguments"]
    assert last == {}
    assert [chunk["choices"][0]["finish_reason"] for chunk in received if "usage" in chunk] == [
        "tool_calls"
    ]


def test_small_talk_is_answered_with_text(http: httpx.Client) -> None:
    [choice] = ask(http, tools=[WEATHER, ADD])["choices"]
    assert "Paris" in choice["message"]["content"]
    assert choice["finish_reason"] == "stop"


def test_a_tool_result_is_answered_with_text(http: httpx.Client) -> None:
    asked = ask(http, PARIS, tools=[WEATHER])["choices"][0]["message"]
    received = {
        "role": "tool",
        "tool_call_id": asked["tool_calls"][0]["id"],
        "content": "It is sunny, 21 degrees.",
    }
    [choice] = ask(http, [*PARIS, asked, received], tools=[WEATHER])["choices"]
    assert choice["finish_reason"] == "stop"
    assert "sunny" in choice["message"]["content"]


@pytest.mark.parametrize(
    ("choice", "names"), [("required", {"get_weather", "add"}), (NAMED, {"add"})]
)
def test_a_call_can_be_forced(http: httpx.Client, choice: object, names: set[str]) -> None:
    [received] = ask(http, tools=[WEATHER, ADD], tool_choice=choice)["choices"]
    [call] = received["message"]["tool_calls"]
    assert call["function"]["name"] in names
    assert received["finish_reason"] == "tool_calls"


def test_a_call_can_be_forbidden(http: httpx.Client) -> None:
    [choice] = ask(http, PARIS, tools=[WEATHER], tool_choice="none")["choices"]
    assert choice["message"].keys() == {"role", "content"}


def test_a_cut_call_has_its_arguments_so_far(
    http: httpx.Client,
) -> None:
    asked = {"tools": [ADD], "tool_choice": NAMED, "seed": 1}
    whole = ask(http, **asked)
    [call] = whole["choices"][0]["message"]["tool_calls"]
    limit = whole["usage"]["completion_tokens"] - 5
    cut = ask(http, max_tokens=limit, **asked)["choices"][0]
    arguments = cut["message"]["tool_calls"][0]["function"]["arguments"]
    assert cut["finish_reason"] == "length"
    assert call["function"]["arguments"].startswith(arguments)
    assert arguments not in {"", call["function"]["arguments"]}
    *received, last = chunks(http, max_tokens=limit, **asked)
    pieces = [chunk["choices"][0]["delta"].get("tool_calls", []) for chunk in received]
    assert "".join(part["function"]["arguments"] for piece in pieces for part in piece) == arguments
    assert last["choices"][0]["finish_reason"] == "length"


def test_a_call_that_is_cut_in_its_name_is_text(http: httpx.Client) -> None:
    [choice] = ask(http, tools=[ADD], tool_choice=NAMED, max_tokens=2)["choices"]
    assert choice["message"].keys() == {"role", "content"}
    assert str(choice["message"]["content"]).startswith("{")
    assert choice["finish_reason"] == "length"


def test_each_call_has_its_own_id(http: httpx.Client) -> None:
    choices = ask(http, PARIS, tools=[WEATHER], n=2)["choices"]
    ids = {choice["message"]["tool_calls"][0]["id"] for choice in choices}
    assert len(ids) == 2
