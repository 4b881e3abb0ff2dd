"""Tools and forced schemas on the native endpoint, over HTTP, in both prompt formats."""

import json
from typing import Any

import httpx
import pytest
from support.local_responses import event_data

from langchain_voxtral.local.prompting.prompt_reader import split_calls
from langchain_voxtral.messages.turns import ToolCall, Turn
from langchain_voxtral.prompts import LLAMA3, MISTRAL, PromptFormat, render
from langchain_voxtral.tools.call_schema import tool_call_schema

INFER = "inference/mistralai/Voxtral-Mini-3B-2507"
TEXT, INTEGER = {"type": "string"}, {"type": "integer"}
BOTH_FORMATS = pytest.mark.parametrize("fmt", [LLAMA3, MISTRAL], ids=lambda fmt: fmt.name)


def tool(name: str, description: str, **properties: object) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": [*properties]}
    function = {"name": name, "description": description, "parameters": parameters}
    return {"type": "function", "function": function}


WEATHER = tool("get_weather", "Get weather at a location.", location=TEXT)
ADD = tool("add", "Add two integers.", a=INTEGER, b=INTEGER)
MAGIC = tool("magic_function", "Applies a magic function to an input.", input=INTEGER)
CUSTOMER = tool("create_customer", "Create a customer.", customer_name=TEXT)
FINAL = tool("FinalAnswer", "What to say in the end.", answer=TEXT)
TOOLS = [WEATHER, ADD]
BOTH = Turn("user", "What is the weather in Paris and what is 3+4?")
REPORT = {"type": "object", "properties": {"sunny": {"type": "boolean"}}, "required": ["sunny"]}


def body(
    fmt: PromptFormat, turns: list[Turn], tools: list[Any], **fields: object
) -> dict[str, Any]:
    return {
        "input": render(turns, fmt, tools=tools),
        "temperature": 0,
        "max_new_tokens": 200,
        "stop": [*fmt.stops],
        "seed": 1,
        **fields,
    }


def answer_of(
    http: httpx.Client, fmt: PromptFormat, turns: list[Turn], tools: list[Any], **fields: object
) -> str:
    answer = http.post(INFER, json=body(fmt, turns, tools, **fields))
    assert answer.status_code == 200, answer.text
    text: str = answer.json()["results"][0]["generated_text"]
    return text


def forced(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "tool_call", "schema": schema}}


@BOTH_FORMATS
def test_requested_tools_are_called_in_turn_and_then_answered(
    http: httpx.Client, fmt: PromptFormat
) -> None:
    turns = [BOTH]
    made: list[ToolCall] = []
    results = {"get_weather": "rainy", "add": "7"}
    for _ in TOOLS:
        rest, calls = split_calls(answer_of(http, fmt, turns, TOOLS), fmt.calls)
        assert (rest, len(calls)) == ("", 1)
        call = ToolCall(calls[0].id or f"call{len(made)}", calls[0].name, calls[0].arguments)
        made.append(call)
        turns.append(Turn("assistant", "", (call,)))
        turns.append(Turn("tool", results[call.name], tool_call_id=call.id))
    assert {call.name: call.arguments for call in made} == {
        "get_weather": {"location": "Paris"},
        "add": {"a": 3, "b": 4},
    }
    answer, calls = split_calls(answer_of(http, fmt, turns, TOOLS), fmt.calls)
    assert ("rainy" in answer, calls) == (True, [])


@BOTH_FORMATS
def test_a_call_is_streamed_as_it_is_answered(http: httpx.Client, fmt: PromptFormat) -> None:
    turns = [Turn("user", "What is 3+4?")]
    asked = body(fmt, turns, TOOLS, stream=True)
    *tokens, final = [json.loads(data) for data in event_data(http.post(INFER, json=asked).text)]
    texts = [event["token"]["text"] for event in tokens]
    assert "".join(texts) == answer_of(http, fmt, turns, TOOLS)
    assert [event["token"] for event in tokens if event["token"]["id"] is None] == [
        {"id": None, "text": "[TOOL_CALLS]", "logprob": 0.0, "special": False}
        for _ in range(fmt is MISTRAL)
    ]
    assert final["details"] == {"finish_reason": "stop"}
    assert final["num_output_tokens"] == len(tokens) - (fmt is MISTRAL) + 1


@BOTH_FORMATS
def test_small_talk_calls_nothing(http: httpx.Client, fmt: PromptFormat) -> None:
    with_tools, without = (
        answer_of(http, fmt, [Turn("user", "Hello!")], tools) for tools in (TOOLS, [])
    )
    assert with_tools == without


def test_a_call_in_mistrals_syntax_has_its_special_token_and_an_id(http: httpx.Client) -> None:
    turns = [Turn("user", "What is 3+4?")]
    text = answer_of(http, MISTRAL, turns, TOOLS)
    [call] = json.loads(text.removeprefix("[TOOL_CALLS]"))
    assert call == {"name": "add", "arguments": {"a": 3, "b": 4}, "id": call["id"]}
    assert text == f"[TOOL_CALLS]{json.dumps([call])}"
    assert text == answer_of(http, MISTRAL, turns, TOOLS)


@pytest.mark.parametrize(
    ("fmt", "question", "tool", "wanted"),
    [
        (LLAMA3, "What is the value of magic_function(3)? Use the tool.", MAGIC, {"input": 3}),
        (MISTRAL, "Create a customer named 你好啊集团.", CUSTOMER, {"customer_name": "你好啊集团"}),
        (LLAMA3, "Create a customer named Bravo.", CUSTOMER, {"customer_name": "Bravo"}),
    ],
)
def test_a_forced_call_takes_its_arguments_from_the_question(
    http: httpx.Client, fmt: PromptFormat, question: str, tool: Any, wanted: dict[str, Any]
) -> None:
    key = fmt.calls.arguments_key
    schema = tool_call_schema([tool], arguments_key=key)
    text = answer_of(http, fmt, [Turn("user", question)], [tool], response_format=forced(schema))
    assert json.loads(text) == {"name": tool["function"]["name"], key: wanted}


def test_the_city_of_the_question_is_the_argument(http: httpx.Client) -> None:
    fmt = LLAMA3
    turns = [Turn("user", "What is the weather in San Francisco, CA?")]
    rest, [call] = split_calls(answer_of(http, fmt, turns, [WEATHER]), fmt.calls)
    assert (rest, call.name) == ("", "get_weather")
    assert "San Francisco" in str(call.arguments["location"])
    turns.append(Turn("assistant", "", (ToolCall("abcdef123", call.name, call.arguments),)))
    turns.append(Turn("tool", "It's sunny.", tool_call_id="abcdef123"))
    assert "sunny" in answer_of(http, fmt, turns, [WEATHER])


def test_an_agent_that_must_call_a_tool_in_every_step_terminates(http: httpx.Client) -> None:
    fmt = MISTRAL
    tools = [FINAL, WEATHER, ADD]
    response_format = forced(tool_call_schema(tools, arguments_key=fmt.calls.arguments_key))
    turns, names = [BOTH], []
    while "FinalAnswer" not in names:
        call = json.loads(answer_of(http, fmt, turns, tools, response_format=response_format))
        names.append(call["name"])
        made = ToolCall(f"call{len(names):05}", call["name"], call[fmt.calls.arguments_key])
        turns.append(Turn("assistant", "", (made,)))
        turns.append(Turn("tool", "Done.", tool_call_id=made.id))
    assert sorted(names) == ["FinalAnswer", "add", "get_weather"]


def test_with_a_response_schema_a_tool_is_called_first(http: httpx.Client) -> None:
    schema = tool_call_schema([WEATHER], arguments_key="parameters", final=REPORT)
    turns = [Turn("user", "How is the weather in Rome?")]
    call = json.loads(answer_of(http, LLAMA3, turns, [WEATHER], response_format=forced(schema)))
    assert call["name"] == "get_weather"
    turns.append(Turn("assistant", "", (ToolCall("c", "get_weather", call["parameters"]),)))
    turns.append(Turn("tool", "sunny", tool_call_id="c"))
    report = json.loads(answer_of(http, LLAMA3, turns, [WEATHER], response_format=forced(schema)))
    assert report == {"sunny": report["sunny"]}
    assert isinstance(report["sunny"], bool)


def test_an_array_of_calls_has_one(http: httpx.Client) -> None:
    schema = tool_call_schema(TOOLS, arguments_key="parameters", several=True)
    text = answer_of(http, LLAMA3, [BOTH], TOOLS, response_format=forced(schema))
    assert len(json.loads(text)) == 1


@BOTH_FORMATS
def test_stop_sequences_do_not_cut_json(http: httpx.Client, fmt: PromptFormat) -> None:
    stop = ['"', "}", "Paris", *fmt.stops]
    turns = [Turn("user", "What is the weather in Paris?")]
    rest, [call] = split_calls(answer_of(http, fmt, turns, TOOLS, stop=stop), fmt.calls)
    assert (rest, call.name) == ("", "get_weather")
    wanted = forced(REPORT)
    assert json.loads(
        answer_of(http, fmt, turns, [], stop=stop, response_format=wanted)
    ).keys() == {"sunny"}


def test_a_tool_whose_parameters_cannot_be_enforced_is_an_error_only_if_it_is_called(
    http: httpx.Client,
) -> None:
    tools = [tool("pick", "Pick.", one={"not": {}}), ADD]
    assert split_calls(answer_of(http, LLAMA3, [Turn("user", "3+4?")], tools), LLAMA3.calls)[1]
    prompt = render([Turn("user", "Pick one.")], LLAMA3, tools=tools)
    refused = http.post(INFER, json={"input": prompt})
    message = (
        "parameters of 'pick': schema.properties.one.not is not supported by the embedded engine"
    )
    assert (refused.status_code, refused.json()) == (400, {"error": {"message": message}})
