"""Grammars that constrain decoding."""

from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.prompting.json_grammar import UNCONSTRAINED, bound_schema, constrain
from langchain_voxtral.local.response_formats import JsonObject, JsonSchema, PlainText, Regex

BOUND = 10**9


def schema_format(schema: dict[str, Any]) -> JsonSchema:
    return JsonSchema.model_validate({"type": "json_schema", "json_schema": {"schema": schema}})


def obj(*required: str, **properties: object) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": [*required]}


BOUNDED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"type": "string"}, {"type": "string", "maxLength": 120}),
    ({"type": "string", "minLength": 200}, {"type": "string", "minLength": 200, "maxLength": 200}),
    ({"type": "string", "maxLength": 5}, {"type": "string", "maxLength": 5}),
    ({"type": "string", "enum": ["a"]}, {"type": "string", "enum": ["a"]}),
    ({"type": "string", "pattern": "^a$"}, {"type": "string", "pattern": "^a$"}),
    ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
    ({"type": "string", "format": "uri"}, {"type": "string", "maxLength": 120}),
    (
        {"type": "string", "format": "email"},
        {"type": "string", "format": "email", "maxLength": 120},
    ),
    ({"type": ["string", "null"]}, {"type": ["string", "null"], "maxLength": 120}),
    ({"type": "integer"}, {"type": "integer", "minimum": -BOUND, "maximum": BOUND}),
    (
        {"type": "integer", "minimum": 2 * BOUND},
        {"type": "integer", "minimum": 2 * BOUND, "maximum": 2 * BOUND},
    ),
    (
        {"type": "integer", "exclusiveMinimum": 3},
        {"type": "integer", "exclusiveMinimum": 3, "maximum": BOUND},
    ),
    (
        {"type": "number"},
        {"type": "number", "minimum": -BOUND, "maximum": BOUND, "multipleOf": 0.000001},
    ),
    (
        {"type": "array", "items": {"type": "string"}},
        {"type": "array", "items": {"type": "string", "maxLength": 120}, "maxItems": 8},
    ),
    ({"type": "array", "minItems": 9}, {"type": "array", "minItems": 9, "maxItems": 9}),
    (obj("a", a={"type": "null"}), {**obj("a", a={"type": "null"}), "additionalProperties": False}),
    (
        {**obj(a={"type": "null"}), "additionalProperties": True},
        {**obj(a={"type": "null"}), "additionalProperties": True},
    ),
    ({"type": "object"}, {"type": "object", "maxProperties": 8}),
    ({"uniqueItems": False}, {"uniqueItems": False}),
    ({"default": {"type": "string"}}, {"default": {"type": "string"}}),
    (
        {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/x"}], "$defs": {"x": {"type": "string"}}},
        {
            "anyOf": [{"type": "null"}, {"$ref": "#/$defs/x"}],
            "$defs": {"x": {"type": "string", "maxLength": 120}},
        },
    ),
]


@pytest.mark.parametrize(("schema", "bounded"), BOUNDED)
def test_bounds_are_added_where_there_are_none(
    schema: dict[str, Any], bounded: dict[str, Any]
) -> None:
    given_schema = deepcopy(schema)
    assert bound_schema(schema) == bounded
    assert schema == given_schema


def test_objects_that_are_intersected_stay_open_to_each_other() -> None:
    schema = {"allOf": [obj(a={"type": "null"}), obj(b={"type": "null"})]}
    assert bound_schema(schema) == schema
    beside = {**obj(a={"type": "null"}), "anyOf": [obj(b={"type": "null"}), {"required": ["a"]}]}
    assert bound_schema(beside) == beside


LEAVES = st.sampled_from([{"type": name} for name in ("string", "number", "integer", "boolean")])
PLAIN_SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: (
        st.builds(lambda x: {"type": "array", "items": x}, inner)
        | st.builds(lambda x: obj("a", a=x), inner)
        | st.builds(lambda x: {"anyOf": [x, {"type": "null"}]}, inner)
    ),
    max_leaves=4,
)
PLAIN_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("ab"), inner),
    max_leaves=8,
)


@given(PLAIN_SCHEMAS, PLAIN_VALUES)
def test_what_is_valid_against_the_bounded_schema_is_valid_against_the_users(
    schema: Any, value: Any
) -> None:
    is_bounded = Draft202012Validator(bound_schema(schema)).is_valid(value)
    assert not is_bounded or Draft202012Validator(schema).is_valid(value)


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"not": {}}, "response_format: schema.not is not supported by the embedded engine"),
    (
        obj(a={"type": "array", "uniqueItems": True}),
        "response_format: schema.properties.a.uniqueItems is not supported by the embedded engine",
    ),
    (
        {"$ref": "#/$defs/x"},
        (
            "response_format: The $ref '#/$defs/x' names nothing within its schema; a reference "
            'must point into the same schema, like "#/$defs/City".'
        ),
    ),
    ({"$ref": "#/enum/0", "enum": [{}]}, "response_format: the $ref '#/enum/0' names no schema"),
    ({"enum": [0] * 10_000}, "response_format: the schema has more than 10000 values"),
    ({"type": "text"}, "response_format: schema.type cannot be 'text'"),
    ({"type": ["string", 5]}, "response_format: schema.type cannot be ['string', 5]"),
    ({"properties": []}, "response_format: schema.properties cannot be []"),
    ({"items": {"minLength": "3"}}, "response_format: schema.items.minLength cannot be '3'"),
    ({"properties": {"not": 5}}, "response_format: schema.properties.not cannot be 5"),
    ({"multipleOf": 0}, "response_format: schema.multipleOf cannot be 0"),
]


@pytest.mark.parametrize(("schema", "message"), REFUSED)
def test_a_schema_that_cannot_be_enforced_is_refused(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(ErrorResponse) as caught:
        constrain(schema_format(schema))
    assert (caught.value.status, caught.value.body) == (400, {"error": {"message": message}})


def patterns(count: int) -> list[dict[str, Any]]:
    return [{"pattern": f".*a.{{{number}}}b"} for number in range(count)]


_CHAIN: dict[str, Any] = {
    f"n{number}": {**part, "$ref": f"#/$defs/n{number + 1}"}
    for number, part in enumerate(patterns(5))
}
TOO_COSTLY = {
    "a long constant": ({"const": "x" * 2**18}, "the schema has more than 262144 bytes"),
    "a long name": (obj(**{"x" * 2**18: {}}), "the schema has more than 262144 bytes"),
    "long choices": ({"enum": ["x" * 2**17, "y" * 2**17]}, "the schema has more than 262144 bytes"),
    "a constant that the answer has no place for": (
        {"const": "x" * 10_001},
        f"schema.const cannot be {'x' * 10_001!r:.80}",
    ),
    "such a choice": ({"enum": ["x" * 10_001]}, f"schema.enum.0 cannot be {'x' * 10_001!r:.80}"),
    "such a name": (
        obj(**{"x" * 10_001: {}}),
        f"schema.properties cannot be {'x' * 10_001!r:.80}",
    ),
    "many properties": (
        obj(**{f"p{number}": {} for number in range(2_000)}),
        "the schema has more than 2000 schemas in it",
    ),
    "many items of a tuple": (
        {"prefixItems": [{"type": "null"}] * 2_000},
        "the schema has more than 2000 schemas in it",
    ),
    "large arrays": (
        {"prefixItems": [{"type": "array", "maxItems": 16_384}] * 9},
        "its arrays may have more than 131072 items together",
    ),
    "a long pattern": (
        {"pattern": "a" * 10_001},
        f"schema.pattern cannot be {'a' * 10_001!r:.80}",
    ),
    "patterns in allOf": (
        {"type": "string", "allOf": patterns(5)},
        "it combines more than 4 patterns by allOf or $ref",
    ),
    "patterns beside references": (
        {"$ref": "#/$defs/n0", "$defs": {**_CHAIN, "n5": {}}},
        "it combines more than 4 patterns by allOf or $ref",
    ),
}


@pytest.mark.parametrize(("schema", "reason"), TOO_COSTLY.values(), ids=TOO_COSTLY)
def test_a_schema_whose_grammar_would_take_long_is_refused(
    schema: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ErrorResponse) as caught:
        constrain(schema_format(schema))
    message = f"response_format: {reason}"
    assert (caught.value.status, caught.value.body) == (400, {"error": {"message": message}})


@pytest.mark.parametrize(
    "schema",
    [
        {"enum": [f"choice {number}" for number in range(5_000)]},
        {"anyOf": patterns(20)},
        {"type": "string", "allOf": patterns(4)},
        {"type": "array", "maxItems": 16_384, "items": {"type": "integer"}},
    ],
)
def test_large_schemas_are_enforced(schema: dict[str, Any]) -> None:
    assert constrain(schema_format(schema)).is_json


def test_a_property_may_be_called_like_a_keyword() -> None:
    schema = obj(**{"not": {"type": "null"}, "$ref": {"type": "null"}})
    assert bound_schema(schema) == {**schema, "additionalProperties": False}


def test_an_answer_is_validated_against_the_users_schema() -> None:
    constraint = constrain(schema_format(obj("n", n={"type": "integer"})))
    assert constraint.is_satisfied('{"n": 1}')
    assert not any(map(constraint.is_satisfied, ('{"n": "1"}', "{}", '{"n": 1', "")))


def test_nothing_is_valid_against_a_schema_that_only_names_itself() -> None:
    assert not constrain(schema_format({"$ref": "#"})).is_satisfied("1")


def test_text_is_free() -> None:
    assert constrain(None) is UNCONSTRAINED
    assert constrain(PlainText(type="text")) is UNCONSTRAINED


def test_a_json_object_is_any_object() -> None:
    constraint = constrain(JsonObject(type="json_object"))
    assert constraint.is_satisfied('{"a": [1.5, null]}')
    assert not constraint.is_satisfied("[]")


@pytest.mark.parametrize(
    ("regex", "start"),
    [
        ("[0-9]{4}", "/[0-9]{4}/"),
        ("a/b", r"/a\/b/"),
        (r"a\/b", r"/a\/b/"),
        (r"\\/", r"/\\\//"),
    ],
)
def test_a_pattern_cannot_leave_its_slashes(regex: str, start: str) -> None:
    constraint = constrain(Regex(type="regex", regex=regex))
    assert constraint.fields == {"grammar": f"%llguidance {{}}\nstart: {start}"}


def test_a_pattern_matches_the_whole_text() -> None:
    constraint = constrain(Regex(type="regex", regex="[0-9]{4}"))
    assert constraint.is_satisfied("1969")
    assert not constraint.is_satisfied("in 1969")


def test_a_decimal_is_a_multiple_as_it_is_written() -> None:
    constraint = constrain(schema_format({"type": "number", "multipleOf": 0.01}))
    assert constraint.is_satisfied("0.07")
    assert not constraint.is_satisfied("0.075")


SLOW = "^(a+)+$"


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": SLOW},
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": {"pattern": SLOW}},
        {"patternProperties": {SLOW: {"type": "null"}}, "additionalProperties": False},
        {"$ref": "#/patternProperties/a", "patternProperties": {"a": {"pattern": SLOW}}},
        {"$schema": "http://json-schema.org/draft-07/schema#", "pattern": SLOW},
    ],
)
def test_no_pattern_can_keep_the_check_of_an_answer_busy(schema: dict[str, Any]) -> None:
    many = "a" * 60 + "!"
    for text in (f'"{many}"', f'["{many}"]', f'{{"{many}": null}}'):
        assert constrain(schema_format(schema)).is_satisfied(text) in {True, False}
    assert not constrain(Regex(type="regex", regex=SLOW)).is_satisfied(many)


@pytest.mark.parametrize("combiner", ["anyOf", "allOf"])
def test_references_that_double_at_each_step_cannot_either(combiner: str) -> None:
    double = {
        f"step{number}": {combiner: [{"$ref": f"#/$defs/step{number + 1}"}] * 2}
        for number in range(40)
    }
    schema = {"$ref": "#/$defs/step0", "$defs": {**double, "step40": {"type": "integer"}}}
    assert constrain(schema_format(schema)).is_satisfied('"1"' if combiner == "anyOf" else "1") in {
        True,
        False,
    }


def test_a_pattern_that_looks_around_is_satisfied_by_nothing() -> None:
    assert not constrain(Regex(type="regex", regex="(?=a)ab")).is_satisfied("ab")
