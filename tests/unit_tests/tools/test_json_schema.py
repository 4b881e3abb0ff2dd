"""Which objects of a schema are closed, and schemas moved into another document."""

from typing import Any

import pytest

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.tools.json_schema import close_objects, relocate_definitions

A: dict[str, Any] = {"properties": {"a": {}}}
B: dict[str, Any] = {"properties": {"b": {}}}
CLOSED_A = A | {"additionalProperties": False}
REF = {"$ref": "#/$defs/x"}
DISCRIMINATOR = {"discriminator": {"propertyName": "a"}}


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (A, CLOSED_A),
        ({"properties": {}}, {"properties": {}, "additionalProperties": False}),
        (
            {"properties": {"properties": A}},
            {"properties": {"properties": CLOSED_A}} | {"additionalProperties": False},
        ),
        *(
            ({keyword: A}, {keyword: CLOSED_A})
            for keyword in ("items", "additionalProperties", "additionalItems")
        ),
        *(
            ({keyword: [A, {"type": "null"}]}, {keyword: [CLOSED_A, {"type": "null"}]})
            for keyword in ("anyOf", "prefixItems", "items")
        ),
        ({"allOf": [A], "description": "?"}, {"allOf": [CLOSED_A], "description": "?"}),
        ({"oneOf": [A]} | DISCRIMINATOR, {"oneOf": [CLOSED_A]} | DISCRIMINATOR),
        (REF | {"$defs": {"x": A}}, REF | {"$defs": {"x": CLOSED_A}}),
    ],
)
def test_an_object_that_declares_its_properties_takes_no_others(
    schema: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert close_objects(schema) == expected


@pytest.mark.parametrize(
    "schema",
    [
        A | {"additionalProperties": True},
        A | {"additionalProperties": {"type": "string"}},
        A | {"unevaluatedProperties": False},
        A | {"required": ["b"]},
        A | {"minProperties": 2},
        {"type": "object"},
        *({keyword: [A]} for keyword in ("enum", "examples")),
        *({keyword: A} for keyword in ("const", "default", "not", "if", "contains")),
        {"allOf": [A, B]},
        {"allOf": [A, {"required": ["b"]}]},
        {"oneOf": [A, B]},
        {"anyOf": [A], "required": ["b"]},
        {"dependentSchemas": {"b": A}},
        A | {"anyOf": [B]},
        A | {"allOf": [B]},
        A | REF | {"$defs": {"x": B}},
        {"allOf": [A, REF], "$defs": {"x": B}},
        {"allOf": [{"items": A}, {"items": B}]},
        {"items": A, "contains": B},
        {"patternProperties": {"a": A}, "properties": {}},
        {"properties": {"a": {"properties": {}}, "b": {"allOf": [A, B]}}},
    ],
)
def test_an_object_stays_open_where_closing_would_change_its_meaning(
    schema: dict[str, Any],
) -> None:
    assert close_objects(schema) == schema


def test_a_definition_stays_open_if_one_of_its_uses_needs_it() -> None:
    lone = {"properties": {"p": REF}, "$defs": {"x": A}}
    assert close_objects(lone)["$defs"] == {"x": CLOSED_A}
    both = {"properties": {"p": REF, "q": {"allOf": [REF, B]}}, "$defs": {"x": A}}
    assert close_objects(both)["$defs"] == {"x": A}


def test_a_reference_to_nothing_is_an_error() -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="'#/\\$defs/x' names nothing"):
        relocate_definitions(REF, "t")


def test_definitions_move_with_the_references_to_them() -> None:
    schema = {"$id": "https://example.com/x", "$schema": "?", "items": REF}
    schema |= {"$defs": {"x": {"anyOf": [REF, {"$ref": "#/$defs/a~1b"}]}, "a/b": True}}
    assert relocate_definitions(schema, "t") == (
        {"items": {"$ref": "#/$defs/t.x"}},
        {"t.x": {"anyOf": [{"$ref": "#/$defs/t.x"}, {"$ref": "#/$defs/t.a~1b"}]}, "t.a/b": True},
    )


def test_a_schema_that_names_itself_becomes_a_definition() -> None:
    schema = {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#/properties/a"}, "$ref": {}}}
    part = {"a": {"$ref": "#/$defs/t"}, "b": {"$ref": "#/$defs/t/properties/a"}, "$ref": {}}
    assert relocate_definitions(schema, "t") == ({"$ref": "#/$defs/t"}, {"t": {"properties": part}})
