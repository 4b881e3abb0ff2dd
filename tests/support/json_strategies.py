"""Hypothesis strategies for JSON values, schemas and response formats."""

import json

from hypothesis import strategies as st

HUGE = "@1e400"
"""A placeholder for a number that is valid JSON but too large for a float."""
texts = st.text(max_size=20)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0, 1, -1, 0.5, 2**31, 2**63, 2**64, 10**9, 10**30, -(10**30), 1e308, 5e-324, HUGE]
)  # fmt: skip
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
KEYWORDS = (
    *("type", "properties", "required", "items", "prefixItems", "anyOf", "allOf", "oneOf", "enum"),
    *("const", "$ref", "$defs", "pattern", "patternProperties", "additionalProperties", "format"),
    *("minimum", "maximum", "exclusiveMinimum", "multipleOf", "minLength", "maxLength"),
    *("minItems", "maxItems", "minProperties", "maxProperties", "not", "default", "x-guidance"),
)
schema_values = values | st.sampled_from(
    ["object", "array", "integer", "number", "string", "#", "#/$defs/a", "date", "[a-z]+", "("]
)
schemas = st.recursive(
    st.dictionaries(st.sampled_from(KEYWORDS), schema_values, max_size=4),
    lambda inner: st.dictionaries(
        st.sampled_from(KEYWORDS),
        inner | schema_values | st.lists(inner, max_size=2) | st.dictionaries(texts, inner),
        max_size=3,
    ),
    max_leaves=4,
)
response_formats = st.one_of(
    values,
    st.fixed_dictionaries({"type": st.just("regex"), "regex": texts}),
    st.fixed_dictionaries(
        {
            "type": st.just("json_schema"),
            "json_schema": st.fixed_dictionaries({"schema": schemas}, optional={"name": values}),
        }
    ),
)


def written(body: object) -> str:
    return json.dumps(body).replace(f'"{HUGE}"', "1e400")
