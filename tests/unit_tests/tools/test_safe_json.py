"""JSON without control markers."""

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.prompts.escaping import escape_json, is_json
from langchain_voxtral.prompts.special_tokens import find_special_token, may_become_special_token
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


@given(values)
def test_escaped_json_has_no_marker_and_parses_to_the_same_value(value: object) -> None:
    text = escape_json(dumps(value))
    assert find_special_token(text) is None
    assert json.loads(text) == value


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


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("{}", True),
        ('"<s>"', True),
        ("22", True),
        ("<s>", False),
        ("", False),
        ("[" * 99999, False),
    ],
)
def test_json_is_told_from_text(text: str, answer: bool) -> None:
    assert is_json(text) is answer


@pytest.mark.parametrize(
    ("first", "rest", "answer"),
    [
        ("<", "", True),
        ("<", "/", True),
        ("<", "|eot_id|", True),
        ("<", "SPECIAL_", True),
        ("<", "SPECIAL_99", True),
        ("<", "SPECIAL_99999", False),
        ("<", "s>", False),
        ("<", "||", False),
        ("<", "x", False),
        ("[", "/INST", True),
        ("[", "INST]", False),
        ("(", "", False),
        ("", "", False),
    ],
)
def test_the_beginning_of_a_marker_is_recognised(first: str, rest: str, answer: bool) -> None:
    assert may_become_special_token(first, rest) is answer
