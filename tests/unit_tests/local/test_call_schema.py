"""Schemas of tool calls: parsed, narrowed, written."""

from typing import Any

import pytest

from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.prompting.tool_calling import (
    CallSchema,
    make_call_schema,
    read_call_schema,
)
from langchain_voxtral.prompts import MISTRAL, ToolCallSyntax
from langchain_voxtral.tools.call_schema import tool_call_schema


def tool(name: str, **properties: object) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties, "required": [*properties]}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


ADD = tool("add", a={"type": "integer"})
NOW = tool("now")
MOVE = tool("move", to={"$ref": "#/$defs/Place"})
MOVE["function"]["parameters"]["$defs"] = {"Place": {"enum": ["here", "there"]}}
TOOLS = [ADD, NOW, MOVE]
SYNTAX = ToolCallSyntax("arguments")
NAMES = ["add", "now", "move"]
PLACES = {"call2.Place": {"enum": ["here", "there"]}}
ANSWER = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}


def call(name: str, key: str = "arguments", **arguments: object) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "name": {"const": name},
            key: {
                "type": "object",
                "properties": arguments,
                "required": [*arguments],
                "additionalProperties": False,
            },
        },
        "required": ["name", key],
        "additionalProperties": False,
    }


CALLS = {
    "add": call("add", a={"type": "integer"}),
    "now": call("now"),
    "move": call("move", to={"$ref": "#/$defs/call2.Place"}),
}


def test_calls_are_read_from_the_schema_of_one_of_several() -> None:
    schema = tool_call_schema(TOOLS, arguments_key="arguments")
    assert read_call_schema(schema, NAMES) == CallSchema(CALLS, "arguments", PLACES)


def test_calls_are_read_from_the_schema_of_a_single_tool() -> None:
    schema = tool_call_schema([ADD], arguments_key="parameters")
    found = {"add": call("add", "parameters", a={"type": "integer"})}
    assert read_call_schema(schema, NAMES) == CallSchema(found, "parameters", {})


def test_definitions_beside_a_single_call_are_not_part_of_it() -> None:
    schema = tool_call_schema([MOVE], arguments_key="arguments")
    assert read_call_schema(schema, NAMES) == CallSchema(
        {"move": call("move", to={"$ref": "#/$defs/call0.Place"})},
        "arguments",
        {"call0.Place": {"enum": ["here", "there"]}},
    )


@pytest.mark.parametrize("several", [False, True])
def test_a_last_alternative_that_is_not_a_call_is_the_final_answer(several: bool) -> None:
    schema = tool_call_schema(TOOLS, arguments_key="arguments", several=several, final=ANSWER)
    final = {**ANSWER, "additionalProperties": False}
    found = read_call_schema(schema, NAMES)
    assert found == CallSchema(CALLS, "arguments", PLACES, final, is_array=several)
    assert found.final_only() == {**final, "$defs": PLACES}


def test_an_array_of_calls_is_narrowed_to_one_call() -> None:
    schema = tool_call_schema(TOOLS, arguments_key="arguments", several=True)
    found = read_call_schema(schema, NAMES)
    assert found == CallSchema(CALLS, "arguments", PLACES, is_array=True)
    assert found.one_of(["now"]) == {
        "type": "array",
        "minItems": 1,
        "maxItems": 1,
        "items": CALLS["now"],
        "$defs": PLACES,
    }


def test_calls_are_narrowed_to_some_tools() -> None:
    found = CallSchema(CALLS, "arguments", {})
    assert found.one_of(["add"]) == CALLS["add"]
    assert found.one_of(["add", "now"]) == {"anyOf": [CALLS["add"], CALLS["now"]]}
    assert found.arguments("now") == CALLS["now"]["properties"]["arguments"]


@pytest.mark.parametrize(
    "schema",
    [
        {},
        ANSWER,
        {"type": "array", "items": ANSWER},
        {"type": "array"},
        {"anyOf": []},
        {"anyOf": "add"},
        {"anyOf": [ANSWER, ANSWER]},
        {"anyOf": [ANSWER, CALLS["add"]]},
        {"anyOf": [CALLS["add"], ANSWER, CALLS["now"]]},
        {"anyOf": [CALLS["add"], call("now", "parameters")]},
        {"anyOf": [True, CALLS["add"]]},
        {"anyOf": [CALLS["add"], True]},
        call("unknown"),
        {"properties": {"name": {"const": ["add"]}, "arguments": {}}},
        {"properties": {"name": {"const": "add"}}},
        {"properties": {"name": "add", "arguments": {}}},
        {"properties": {"name": {"const": "add"}, "input": {}}},
    ],
)
def test_anything_else_is_no_schema_of_calls(schema: dict[str, Any]) -> None:
    assert read_call_schema(schema, NAMES) is None


def test_what_is_made_is_what_is_read() -> None:
    schema = tool_call_schema(TOOLS, arguments_key="arguments")
    assert make_call_schema(TOOLS, NAMES, SYNTAX, "") == read_call_schema(schema, NAMES)
    assert make_call_schema(TOOLS, ["now"], SYNTAX, "") == CallSchema(
        {"now": CALLS["now"]}, "arguments", {}
    )


def test_a_call_in_mistrals_syntax_is_in_an_array_and_has_an_id() -> None:
    made = make_call_schema([NOW], ["now"], MISTRAL.calls, "abcdefghi")
    assert made.one_of(["now"]) == {
        "type": "array",
        "minItems": 1,
        "maxItems": 1,
        "items": {
            **CALLS["now"],
            "properties": {**CALLS["now"]["properties"], "id": {"const": "abcdefghi"}},
            "required": ["name", "arguments", "id"],
        },
    }


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(depth):
        schema = {"type": "array", "items": schema}
    return schema


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"type": "text"}, "parameters of 'bad': schema.type cannot be 'text'"),
        ({"$defs": []}, "parameters of 'bad': schema.$defs cannot be []"),
        (
            {"$ref": "#/enum/0", "enum": [1]},
            "parameters of 'bad': the $ref '#/enum/0' names no schema",
        ),
        (nested(2000), "parameters of 'bad': the schema is nested too deeply"),
    ],
)
def test_parameters_that_are_not_a_schema_are_refused(
    parameters: dict[str, Any], message: str
) -> None:
    bad = {"type": "function", "function": {"name": "bad", "parameters": parameters}}
    with pytest.raises(ErrorResponse) as caught:
        make_call_schema([NOW, bad], ["bad"], SYNTAX, "")
    assert (caught.value.status, caught.value.body) == (400, {"error": {"message": message}})
    assert make_call_schema([NOW, bad], ["now"], SYNTAX, "").by_name.keys() == {"now"}
