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


def test_each_tool_gets_examples_with_all_arguments_with_required_and_with_empty_ones() -> None:
    assert call_examples([WEATHER, NOW], "parameters") == (
        Turn("user", "Get the weather: city Alpha, unit C"),
        Turn("assistant", '{"name": "get_weather", "parameters": {"city": "Alpha", "unit": "C"}}'),
        Turn("user", "tell time"),
        Turn("assistant", '{"name": "tell_time", "parameters": {}}'),
        Turn("user", "Get the weather: city Delta"),
        Turn("assistant", '{"name": "get_weather", "parameters": {"city": "Delta"}}'),
        Turn("user", "tell time"),
        Turn("assistant", '{"name": "tell_time", "parameters": {}}'),
        Turn("user", "Get the weather"),
        Turn("assistant", '{"name": "get_weather", "parameters": {"city": ""}}'),
        Turn("user", "tell time"),
        Turn("assistant", '{"name": "tell_time", "parameters": {}}'),
    )


def arguments(parameters: dict[str, Any], **definitions: object) -> list[Any]:
    """Return the arguments of the three examples."""
    function = {"name": "f", "parameters": parameters}
    turns = call_examples([function], "arguments", definitions)
    return [json.loads(answer.text)["arguments"] for answer in turns[1::2]]


@pytest.mark.parametrize(
    ("schema", "values"),
    [
        (INTEGER, [8, 5, 0]),
        ({"type": "integer", "minimum": 10}, [10, 10, 10]),
        ({"type": "integer", "maximum": 3}, [3, 3, 0]),
        ({"type": "number"}, [8.5, 5.5, 0]),
        ({"type": "boolean"}, [True, True, False]),
        ({"type": "null"}, [None, None, None]),
        ({"const": "x"}, ["x", "x", "x"]),
        (TEXT, ["Alpha", "Delta", ""]),
        ({"type": "string", "minLength": 1}, ["Alpha", "Delta", "Omega"]),
        ({"type": "string", "pattern": "[A-Z]"}, ["Alpha", "Delta", "Omega"]),
        ({"type": "string", "format": "date"}, ["2001-02-03", "1998-07-06", "0001-01-01"]),
        ({"type": ["string", "null"]}, ["Alpha", "Delta", ""]),
        ({"anyOf": [INTEGER, {"type": "null"}]}, [8, 5, 0]),
        ({"type": "array", "items": TEXT}, [["Alpha"], ["Delta"], []]),
        ({"type": "array", "items": TEXT, "minItems": 1}, [["Alpha"], ["Delta"], [""]]),
        (
            {"type": "array", "prefixItems": [TEXT, INTEGER]},
            [["Alpha", 8], ["Delta", 5], ["", 0]],
        ),
        (obj("b", b=INTEGER), [{"b": 8}, {"b": 5}, {"b": 0}]),
        ({"$ref": "#/$defs/Place"}, [{"at": "Alpha"}, {"at": "Delta"}, {"at": ""}]),
        ({}, ["Alpha", "Delta", ""]),
        (True, ["Alpha", "Delta", "Omega"]),
    ],
)
def test_values_are_of_their_schema(schema: Any, values: list[object]) -> None:
    created = arguments(obj("a", a=schema), Place=obj("at", at=TEXT))
    assert created == [{"a": value} for value in values]


def test_a_recursive_schema_terminates() -> None:
    node = obj("next", value=INTEGER, next={"$ref": "#/$defs/Node"})
    first, *_ = arguments(obj("a", a={"$ref": "#/$defs/Node"}), Node=node)
    assert "Alpha" in json.dumps(first)


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
    assert texts[0] == "add: a 14, b 2, to Delta"


def test_for_a_question_in_another_script_the_values_are_of_other_scripts() -> None:
    question, *_ = call_examples([WEATHER], "arguments", question="天气")
    assert question.text == "Get the weather: city 春天集团, unit C"


@given(st.text(max_size=3))
def test_a_description_may_be_anything(description: str) -> None:
    turns = call_examples([{"name": "f", "description": description}], "arguments")
    assert [turn.role for turn in turns] == ["user", "assistant"] * 3
