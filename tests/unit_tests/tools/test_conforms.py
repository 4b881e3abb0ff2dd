"""The check of JSON against a schema."""

import json
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.tools.conforms import conforms, misfit, resolve

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-20, 20)
    | st.sampled_from([0.5, -1.25, 2.0])
    | st.text("ab1", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=5,
)
NAMES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
SIZES = st.integers(0, 3)
NUMBERS = st.integers(-5, 5)
KEYWORDS: dict[str, st.SearchStrategy[Any]] = {
    "type": NAMES | st.lists(NAMES, min_size=1, unique=True),
    "enum": st.lists(VALUES, min_size=1, max_size=3),
    "const": VALUES,
    "required": st.lists(st.sampled_from("abc"), unique=True),
    "pattern": st.sampled_from(["a", "^b", "1$", "^[ab]*$"]),
    "minLength": SIZES,
    "maxLength": SIZES,
    "minItems": SIZES,
    "maxItems": SIZES,
    "minProperties": SIZES,
    "maxProperties": SIZES,
    "minimum": NUMBERS,
    "maximum": NUMBERS,
    "exclusiveMinimum": NUMBERS,
    "exclusiveMaximum": NUMBERS,
    "multipleOf": st.sampled_from([2, 0.25, 3]),
}


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    some = st.lists(inner, min_size=1, max_size=2)
    named = st.dictionaries(st.sampled_from("abc"), inner, max_size=2)
    return st.fixed_dictionaries(
        {},
        optional={
            "type": NAMES,
            "properties": named,
            "patternProperties": st.dictionaries(st.sampled_from(["a", "^b"]), inner),
            "additionalProperties": inner | st.booleans(),
            "items": inner | st.booleans(),
            "prefixItems": some,
            "anyOf": some,
            "oneOf": some,
            "allOf": some,
        },
    )


SCHEMAS = st.recursive(
    st.fixed_dictionaries({}, optional=KEYWORDS), containers, max_leaves=4
) | st.just({"$defs": {"x": {"type": "integer"}}, "items": {"$ref": "#/$defs/x"}})


def exact(value: object) -> Any:
    return json.loads(json.dumps(value), parse_float=Decimal)


@given(VALUES, SCHEMAS)
def test_the_verdict_is_that_of_the_reference_implementation(value: Any, schema: Any) -> None:
    expected = jsonschema.Draft202012Validator(schema).is_valid(value)
    assert conforms(exact(value), schema) == expected


def test_decimals_are_exact() -> None:
    assert conforms(exact(61.57), {"multipleOf": 0.01})
    assert not conforms(exact(61.575), {"multipleOf": 0.01})


def test_a_reference_may_name_its_own_document() -> None:
    schema = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["n"]}
    assert conforms({"n": 1, "next": {"n": 2}}, schema)
    assert not conforms({"n": 1, "next": {}}, schema)


def test_a_reference_is_unescaped() -> None:
    assert resolve("#/$defs/a~1b~0", {"$defs": {"a/b~": 1}}) == 1
    assert resolve("#/$defs/a%20b", {"$defs": {"a b": 1}}) == 1
    assert resolve("#/anyOf/1", {"anyOf": [2, 3]}) == 3


def test_a_number_of_many_digits_is_checked_at_once() -> None:
    """A model may write it; as an int it would fill the memory."""
    huge = json.loads("1e999999999999", parse_float=Decimal)
    assert conforms(huge, {"type": "integer"})
    assert misfit(huge, {"type": "integer", "maximum": 9}) == "$: must have maximum 9, is Infinity"


@pytest.mark.parametrize("reference", ["#/nope", "https://example.com/schema"])
def test_a_reference_to_elsewhere_is_a_key_error(reference: str) -> None:
    with pytest.raises(KeyError):
        resolve(reference, {})


# Why not


@given(VALUES, SCHEMAS)
def test_there_is_a_reason_just_when_a_value_does_not_conform(value: Any, schema: Any) -> None:
    reason = misfit(exact(value), schema)
    assert (reason is None) == conforms(exact(value), schema)
    assert reason is None or reason.startswith("$")


CALL = {
    "anyOf": [
        {"properties": {"name": {"const": name}, "arguments": {"required": [argument]}}}
        for name, argument in (("weather", "city"), ("add", "a"))
    ]
}


@pytest.mark.parametrize(
    ("value", "schema", "reason"),
    [
        ({}, {"required": ["city"]}, "$.city: is required"),
        (0.5, {"type": "integer"}, '$: must have type "integer", is 0.5'),
        ([1, "x"], {"items": {"type": "integer"}}, '$[1]: must have type "integer", is "x"'),
        (
            {"a": [{"b": 1}]},
            {"properties": {"a": {"items": {"required": ["c"]}}}},
            "$.a[0].c: is required",
        ),
        ({"x": 1}, {"additionalProperties": False}, "$.x: must not be there"),
        (3, {"$defs": {"x": {"minimum": 5}}, "$ref": "#/$defs/x"}, "$: must have minimum 5, is 3"),
        ({"name": "add", "arguments": {}}, CALL, "$.arguments.a: is required"),
        (3, {"oneOf": [{}, True]}, "$: fits more than one of the alternatives"),
        (3, False, "$: must not be there"),
        ("x" * 99, {"maxLength": 9}, f'$: must have maxLength 9, is "{"x" * 79}...'),
    ],
)
def test_a_reason_names_the_place(value: Any, schema: Any, reason: str) -> None:
    assert misfit(exact(value), schema) == reason
