"""Request bodies: JSON values to bytes."""

import json
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.protocol.json_body import encode_request

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


def test_a_body_is_compact_json_in_utf_8() -> None:
    body = {"input": 'Hé "\n\u2028', "stop": ("a",), "top_p": 0.95, "seed": 2**64 - 1, "n": None}
    expected = '{"input":"Hé \\"\\n\u2028","stop":["a"],"top_p":0.95,"seed":18446744073709551615,'
    assert encode_request(body) == f'{expected}"n":null}}'.encode()


def test_a_read_only_mapping_is_a_body_too() -> None:
    assert encode_request(MappingProxyType({"a": MappingProxyType({"b": 1})})) == b'{"a":{"b":1}}'


@given(st.dictionaries(st.text(), VALUES, max_size=4))
def test_a_body_parses_back_to_the_same_values(body: dict[str, object]) -> None:
    assert json.loads(encode_request(body)) == body


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"input": {1}}, "input is of type set, which JSON does not have"),
        ({"input": b"x"}, "input is of type bytes, which JSON does not have"),
        ({"top_p": float("nan")}, "top_p is nan, which JSON does not have"),
        ({"top_p": float("-inf")}, "top_p is -inf, which JSON does not have"),
        ({"stop": ["a", object()]}, "stop[1] is of type object, which JSON does not have"),
        (
            {"response_format": {"schema": {"properties": {1: {}}}}},
            "response_format.schema.properties has the key 1, which is no string",
        ),
        (
            {"input": "ab\ud83d"},
            "input has a lone surrogate at character 2, which UTF-8 cannot encode",
        ),
        (
            {"a": {"\ud83d": 1}},
            "a has a lone surrogate at character 0, which UTF-8 cannot encode",
        ),
    ],
)
def test_values_outside_json_are_an_error_that_names_the_field(
    body: dict[str, object], problem: str
) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as caught:
        encode_request(body)
    assert caught.value.message == f"The request cannot be written as JSON: {problem}."


def test_a_body_that_contains_itself_or_is_nested_too_deep_is_an_error() -> None:
    endless: dict[str, object] = {}
    endless["again"] = endless
    deep: object = []
    for _ in range(500):
        deep = [deep]
    for body in (endless, {"input": deep}):
        with pytest.raises(VoxtralInvalidRequestError, match="nested too deep"):
            encode_request(body)
