"""Example calls, generated from schemas."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.local.prompting.few_shot import call_examples
from langchain_voxtral.messages.turns import Turn


def obj(*required: str, **properties: object) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*required]}


TEXT, INTEGER = {"type": "string"}, {"type": "integer"}
WEATHER = {
    "name": "get_weather",
    "description": "Get the weather.\n\nArgs: a city",
    "parameters": obj("city", city=TEXT, unit={"enum": ["C", "F"]}),
}
NOW = {"name": "tell_time"}


def test_each_tool_gets_two_examples_the_second_without_what_is_optional() -> None:
    assert call_examples([WEATHER, NOW], "parameters") == (
        Turn("user", "Get the weather: city Alpha, unit C"),
        Turn("assistant", '{"name": "get_weather", "parameters": {"city": "Alpha", "unit": "C"}}'),
        Turn("user", "tell time"),
        Turn("assistant", '{"name": "tell_time", "parameters": {}}'),
        Turn("user", "Get the weather: city Zulu"),
        Turn("assistant", '{"name": "get_weather", "parameters": {"city": "Zulu"}}'),
        Turn("user", "tell time"),
        Turn("assistant", '{"name": "tell_time", "parameters": {}}'),
    )


def arguments(parameters: dict[str, Any], **definitions: object) -> Any:
    function = {"name": "f", "parameters": parameters}
    _, answer, *_ = call_examples([function], "arguments", definitions)
    return json.loads(answer.text)["arguments"]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (INTEGER, 8),
        ({"type": "integer", "minimum": 10}, 10),
        ({"type": "integer", "maximum": 3}, 3),
        ({"type": "number"}, 8.5),
        ({"type": "boolean"}, True),
        ({"type": "null"}, None),
        ({"const": "x"}, "x"),
        ({"type": "string", "format": "date"}, "2001-02-03"),
        ({"type": ["string", "null"]}, "Alpha"),
        ({"anyOf": [INTEGER, {"type": "null"}]}, 8),
        ({"type": "array", "items": TEXT}, ["Alpha"]),
        ({"type": "array", "prefixItems": [TEXT, INTEGER]}, ["Alpha", 8]),
        (obj("b", b=INTEGER), {"b": 8}),
        ({"$ref": "#/$defs/Place"}, {"at": "Alpha"}),
        ({}, "Alpha"),
        (True, "Alpha"),
    ],
)
def test_a_value_is_of_its_schema(schema: Any, value: object) -> None:
    assert arguments(obj("a", a=schema), Place=obj("at", at=TEXT)) == {"a": value}


def test_a_recursive_schema_terminates() -> None:
    node = obj("next", value=INTEGER, next={"$ref": "#/$defs/Node"})
    assert "Alpha" in json.dumps(arguments(obj("a", a={"$ref": "#/$defs/Node"}), Node=node))


def test_a_wide_schema_that_contains_itself_takes_no_time() -> None:
    node = {"$ref": "#/$defs/Node"}
    wide = obj(**{f"part_{number}": node for number in range(1000)})
    assert call_examples([{"name": "f", "parameters": node}], "arguments", {"Node": wide}) == ()


def test_examples_stay_within_the_context() -> None:
    wide = [
        {"name": f"tool_{number}", "description": "x " * 500, "parameters": obj(text=TEXT)}
        for number in range(100)
    ]
    turns = call_examples(wide, "arguments")
    assert 3500 < sum(len(turn.text) for turn in turns) <= 4000
    assert len({turn.text for turn in turns if turn.role == "assistant"}) * 2 == len(turns)


def test_values_are_others_than_those_of_the_question() -> None:
    add = {"name": "add", "parameters": obj(a=INTEGER, b=INTEGER, to=TEXT)}
    texts = [turn.text for turn in call_examples([add], "x", question="35 and 80 to Alpha")]
    assert texts[0] == "add: a 14, b 2, to Zulu"


def test_for_a_question_in_another_script_the_values_are_of_other_scripts() -> None:
    question, *_ = call_examples([WEATHER], "arguments", question="天气")
    assert question.text == "Get the weather: city 春天集团, unit C"


@given(st.text(max_size=3))
def test_a_description_may_be_anything(description: str) -> None:
    turns = call_examples([{"name": "f", "description": description}], "arguments")
    assert [turn.role for turn in turns] == ["user", "assistant"] * 2
