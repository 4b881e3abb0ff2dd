"""Tools as OpenAI tool dicts, the choice among them, and the schema of their calls."""

import json
from collections.abc import Callable
from typing import Any, TypedDict

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import Tool, tool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel
from pydantic.v1 import BaseModel as BaseModelV1

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.tools.call_schema import tool_call_schema
from langchain_voxtral.tools.choice import normalize_tool_choice
from langchain_voxtral.tools.json_schema import close_objects
from langchain_voxtral.tools.schema import NO_PARAMETERS, to_openai_tools


class Add(BaseModel):
    """Add two integers."""

    a: int
    b: int = 0


class AddV1(BaseModelV1):
    """Add two integers."""

    a: int


class AddDict(TypedDict):
    """Add two integers."""

    a: int


def add(a: int, b: int = 0) -> int:
    """Add two integers."""
    return a + b


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return city


PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "integer"}},
    "required": ["a"],
}


def of(name: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    function: dict[str, Any] = {"name": name}
    if parameters is not None:
        function["parameters"] = parameters
    return {"type": "function", "function": function}


# Tools as OpenAI tool dicts


@pytest.mark.parametrize("strict", [None, True, False])
@pytest.mark.parametrize(
    "given_tool",
    [
        *(Add, AddV1, AddDict, add, weather),
        Tool("echo", str, "Say it again."),
        {"title": "add", "description": "Add."} | PARAMETERS,
        {"name": "add", "description": "Add.", "parameters": PARAMETERS},
        {"name": "add", "input_schema": PARAMETERS},
        {"toolSpec": {"name": "add", "inputSchema": {"json": PARAMETERS}}},
    ],
)
def test_tools_become_what_langchain_makes_of_them(given_tool: Any, strict: bool | None) -> None:
    expected = convert_to_openai_tool(given_tool, strict=strict)
    assert to_openai_tools([given_tool], strict=strict) == [expected]
    assert to_openai_tools([given_tool], strict=strict) == [expected]


@pytest.mark.parametrize(
    "given_tool",
    [
        of("add", PARAMETERS),
        {"type": "function", "name": "add", "parameters": PARAMETERS},
        {"type": "custom", "name": "add", "input_schema": PARAMETERS},
        of("add", PARAMETERS) | {"cache_control": {"type": "ephemeral"}},
    ],
)
def test_tool_dicts_of_other_spellings_become_the_same(given_tool: Any) -> None:
    assert to_openai_tools([given_tool]) == [of("add", PARAMETERS)]
    strictly = to_openai_tools([given_tool], strict=True)[0]["function"]
    assert strictly["strict"] is True
    assert strictly["parameters"]["additionalProperties"] is False


@pytest.mark.parametrize("parameters", [None, {}])
def test_a_tool_may_have_no_parameters(parameters: dict[str, Any] | None) -> None:
    assert to_openai_tools([of("now", parameters)]) == [of("now")]


def test_a_schema_without_properties_is_unchanged() -> None:
    schema = {"title": "tags", "type": "object", "additionalProperties": {"type": "string"}}
    assert to_openai_tools([schema]) == [
        of("tags", {"type": "object", "additionalProperties": {"type": "string"}})
    ]


class Node(BaseModel):
    """A tree."""

    label: str
    inner: list["Node"] = []


def test_a_schema_that_names_itself_keeps_its_references() -> None:
    @tool(args_schema=Node)
    def plant(label: str, inner: list[Node]) -> str:
        """Plant a tree."""
        return label

    for offered in to_openai_tools([Node, plant]):
        check = jsonschema.Draft202012Validator(offered["function"]["parameters"])
        assert check.is_valid({"label": "a", "inner": [{"label": "b", "inner": []}]})
        assert not check.is_valid({"label": "a", "inner": [{"label": "b", "inner": [{}]}]})
    assert [one["function"]["description"] for one in to_openai_tools([Node, plant])] == [
        "A tree.",
        "Plant a tree.",
    ]


class Odd(BaseModel):
    """A value outside JSON."""

    at: Callable[[], int]


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ([of("")], r"tools\[0\] .* it has no name"),
        ([{"type": "function", "function": {}}], r"tools\[0\]"),
        ([weather, of("get weather")], r"tools\[1\] \(get weather\).*'get weather' is not 1 to 64"),
        ([of("x" * 65)], "is not 1 to 64"),
        ([of("add"), add], r"tools\[0\] and tools\[1\] are both named 'add'"),
        ([of("f", {"type": "string"})], r"tools\[0\] \(f\).*not the JSON schema of an object"),
        ([of("f", {"type": ["object", "null"]})], "not the JSON schema of an object"),
        ([of("f", {"description": "?"})], "not the JSON schema of an object"),
        ([of("f", {"type": "object", "properties": []})], "'properties' in its parameters"),
        ([of("f", {"properties": {"a": {"$ref": "#/$defs/A"}}})], r"\$ref .*names nothing"),
        ([of("f", PARAMETERS | {"default": {1, 2}})], "type set is not JSON serializable"),
        ([of("f", PARAMETERS | {"default": float("nan")})], "not JSON compliant"),
        ([{"type": "web_search"}], r"tools\[0\] \(web_search\).*this model has none"),
        ([{"type": "web_search_20250305", "name": "web_search"}], "this model has none"),
        ([{"type": "code_interpreter", "container": {}}], "this model has none"),
        ([RunnableLambda(add)], r"\.as_tool\(name=\.\.\., description=\.\.\.\)"),
        ([{"google_search": {}}], "Unsupported function"),
        ([{"type": "object", "properties": {}}], "must have a top-level 'title' key"),
        ([None], r"tools\[0\] \(NoneType\).*Unsupported function"),
        (["weather"], r"tools\[0\] \(str\).*Unsupported function"),
        ([Odd], r"tools\[0\] \(Odd\).*Failed to generate JSON schema"),
        ([Tool("c", str, "d", metadata={"type": "custom_tool"})], "custom tools take free text"),
        (weather, "tools must be a list of tools, not StructuredTool"),
        (of("f"), "tools must be a list of tools, not dict"),
        (Add, "tools must be a list"),
        (7, "tools must be a list of tools, not int"),
    ],
)
def test_an_invalid_tool_is_an_error_that_names_it(tools: Any, message: str) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match=message):
        to_openai_tools(tools)


def test_a_contradicted_strict_is_an_error() -> None:
    offered = {"type": "function", "function": {"name": "f", "strict": False}}
    with pytest.raises(VoxtralInvalidRequestError, match="already has a 'strict' key"):
        to_openai_tools([offered], strict=True)


def test_a_tool_dict_of_the_caller_is_not_shared() -> None:
    parameters = json.loads(json.dumps(PARAMETERS))
    for given_tool in (weather, of("add", parameters)):
        [converted] = to_openai_tools([given_tool])
        before = json.loads(json.dumps(converted))
        converted["function"]["parameters"]["properties"].clear()
        assert to_openai_tools([given_tool]) == [before]


class Trip(BaseModel):
    """Plan a trip."""

    title: str
    stops: list[Add]


@pytest.mark.parametrize("kind", [Add, Trip])
def test_a_class_and_its_json_schema_are_one_tool(kind: type[BaseModel]) -> None:
    tools: list[Any] = [kind, weather, kind.model_json_schema(), kind]
    assert to_openai_tools(tools) == to_openai_tools([kind, weather])


# Tool choice

TOOLS = [of("get_weather"), of("any"), of("send")]


@pytest.mark.parametrize(
    ("tool_choice", "choice"),
    [
        *((None, "auto"), ("auto", "auto"), ("none", "none"), (False, "none")),
        *(("any", "any"), ("required", "any"), (True, "any"), ("send", "send")),
        ({"type": "function", "function": {"name": "get_weather"}}, "get_weather"),
    ],
)
def test_a_choice_has_one_spelling(tool_choice: Any, choice: str) -> None:
    assert normalize_tool_choice(tool_choice, TOOLS) == choice


@pytest.mark.parametrize(
    ("tool_choice", "tools", "message"),
    [
        ("get_wether", TOOLS, "they are get_weather, any, send. Did you mean 'get_weather'?"),
        ("zzz", TOOLS, r"'zzz' names none of the tools; they are get_weather, any, send\.$"),
        ({"type": "function", "function": {"name": "x"}}, TOOLS, "'x' names none of the tools"),
        ({"type": "function", "function": {"name": "any"}}, TOOLS, "cannot be chosen by name"),
        ({"type": "allowed_tools"}, TOOLS, "tool_choice cannot be"),
        (3, TOOLS, "tool_choice cannot be 3"),
        ("any", [], "'any' demands a call, but there are no tools"),
        ("send", [], "'send' demands a call, but there are no tools"),
    ],
)
def test_a_choice_that_cannot_be_is_an_error(tool_choice: Any, tools: Any, message: str) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match=message):
        normalize_tool_choice(tool_choice, tools)


@pytest.mark.parametrize("tool_choice", [None, "auto", "none"])
def test_no_call_can_be_chosen_where_there_are_no_tools(tool_choice: Any) -> None:
    assert normalize_tool_choice(tool_choice, []) == (tool_choice or "auto")


# The schema of calls


def call(name: str, arguments: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": name}, "parameters": arguments},
        "required": ["name", "parameters"],
        "additionalProperties": False,
    }


CLOSED = PARAMETERS | {"additionalProperties": False}


def test_the_schema_of_calls_is_that_of_each_tool_or_another() -> None:
    add_call, now = call("add", CLOSED), call("now", NO_PARAMETERS)
    tools = [of("add", PARAMETERS), of("now")]
    final = {"type": "object", "properties": {"x": {"$ref": "#/$defs/a"}}, "$defs": {"a": {}}}
    answer = {
        "type": "object",
        "properties": {"x": {"$ref": "#/$defs/final.a"}},
        "additionalProperties": False,
    }
    lists = {"type": "array", "minItems": 1, "items": {"anyOf": [add_call, now]}}
    assert tool_call_schema(tools[:1], arguments_key="parameters") == add_call
    assert tool_call_schema(tools, arguments_key="parameters") == {"anyOf": [add_call, now]}
    assert tool_call_schema(tools, arguments_key="parameters", several=True) == lists
    assert tool_call_schema(tools, arguments_key="parameters", final=final) == {
        "anyOf": [add_call, now, answer],
        "$defs": {"final.a": {}},
    }
    assert tool_call_schema(tools, arguments_key="parameters", final=final, several=True) == {
        "anyOf": [lists, answer],
        "$defs": {"final.a": {}},
    }


def test_a_call_of_nothing_cannot_be_demanded() -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="no tools"):
        tool_call_schema([], arguments_key="parameters", several=True)


def test_definitions_of_one_name_stay_separate() -> None:
    def having(kind: str) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {"x": {"$ref": "#/$defs/X"}},
            "required": ["x"],
            "$defs": {"X": {"type": kind}},
        }

    tools = [of("a", having("string")), of("b", having("integer"))]
    schema = tool_call_schema(tools, arguments_key="arguments", final=having("null"))
    check = jsonschema.Draft202012Validator(schema)
    values = [{"name": "a", "arguments": {"x": "1"}}, {"name": "b", "arguments": {"x": 1}}]
    assert all(map(check.is_valid, [*values, {"x": None}]))
    wrong = [{"name": "a", "arguments": {"x": 1}}, {"name": "b", "arguments": {"x": "1"}}]
    assert not any(map(check.is_valid, [*wrong, {"x": 1}]))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=6,
)
REFERENCES = st.sampled_from(
    ["#", "#/$defs/X", "#/$defs/Y~1z", "#/properties/a", "#/$defs/X/items"]
)


def within(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "properties": st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
            "required": st.lists(st.sampled_from("ab"), unique=True),
            "minProperties": st.integers(0, 2),
            "patternProperties": st.dictionaries(st.sampled_from(["a", "^b"]), inner, max_size=1),
            **dict.fromkeys(("anyOf", "oneOf", "allOf", "prefixItems"), some),
            **dict.fromkeys(("items", "contains", "if", "then", "else", "not"), inner),
            "maxContains": st.integers(1, 2),
            "dependentSchemas": st.dictionaries(st.sampled_from("ab"), inner, max_size=1),
            "enum": st.lists(VALUES, min_size=1, max_size=3),
            "default": VALUES,
        },
    )


LEAVES = st.sampled_from([{}, {"type": "integer"}, {"type": "object"}, {"type": "string"}])
SCHEMAS = st.recursive(LEAVES, within, max_leaves=6)
# References stand below the root, one property deep, so that none is about itself alone.
DOCUMENTS = st.fixed_dictionaries(
    {
        "type": st.just("object"),
        "properties": st.fixed_dictionaries(
            {"a": SCHEMAS},
            optional={
                "b": st.builds(lambda ref: {"items": {"$ref": ref}}, REFERENCES),
                "c": st.builds(lambda ref: {"properties": {"a": {"$ref": ref}}}, REFERENCES),
            },
        ),
        "$defs": st.fixed_dictionaries(
            {
                "X": st.builds(lambda inner: {"items": inner}, SCHEMAS),
                "Y/z": SCHEMAS,
            }
        ),
    }
)


def is_valid(value: Any, schema: Any) -> bool:
    return jsonschema.Draft202012Validator(schema).is_valid(value)


@given(DOCUMENTS, st.dictionaries(st.sampled_from("abc"), VALUES))
def test_arguments_fit_a_tool_just_when_the_call_fits(schema: Any, arguments: Any) -> None:
    tools = [of("other", PARAMETERS), of("f", schema)]
    calls = tool_call_schema(tools, arguments_key="arguments")
    made = {"name": "f", "arguments": arguments}
    assert is_valid(made, calls) == is_valid(arguments, close_objects(schema))
    final = tool_call_schema([of("f", PARAMETERS)], arguments_key="arguments", final=schema)
    assert is_valid(arguments, final) == is_valid(arguments, close_objects(schema))


@given(DOCUMENTS | SCHEMAS, VALUES)
def test_what_fits_a_closed_schema_fits_the_schema(schema: Any, value: Any) -> None:
    before = json.dumps(schema)
    assert not is_valid(value, close_objects(schema)) or is_valid(value, schema)
    assert json.dumps(schema) == before
