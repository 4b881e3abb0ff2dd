"""JSON as prompts and requests write it."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.tools.json_text import dumps

strings = st.lists(
    st.text(st.characters(), max_size=8)
    | st.sampled_from(["</s>", "[INST]", "<|eot_id|>", "\\", '"', "<", "["])
).map("".join)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | strings,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(strings, inner, max_size=3),
    max_leaves=8,
)


def test_json_is_written_as_the_templates_write_it() -> None:
    assert dumps({"city": "Zürich", "n": [1, 2.5, None, True]}) == (
        '{"city": "Zürich", "n": [1, 2.5, null, true]}'
    )


@given(values)
@example({"\ud800": "a\udfffb"})
def test_json_can_always_be_sent(value: object) -> None:
    """A lone surrogate, which UTF-8 cannot express, is escaped."""
    assert json.loads(dumps(value).encode()) == value


@pytest.mark.parametrize("value", [{1, 2}, {"when": object()}, {("a", "b"): 1}])
def test_what_json_cannot_express_is_an_error(value: object) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="JSON cannot express the tools: "):
        dumps(value, what="the tools")


def test_a_value_that_contains_itself_is_an_error() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(VoxtralInvalidRequestError, match="JSON cannot express the value: Circular"):
        dumps(loop)
