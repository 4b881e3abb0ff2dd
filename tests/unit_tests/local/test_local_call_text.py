"""The text of a call, as it comes token by token."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.local.prompting.call_text import CallText
from langchain_voxtral.tools.call_accumulator import ToolCallChunk

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
objects = st.dictionaries(st.text(max_size=3), values, max_size=3)


def parts_of(*pieces: str) -> tuple[list[ToolCallChunk], bool]:
    call = CallText()
    parts = [part for piece in pieces for part in call.feed(piece)]
    return [*parts, *call.end()], call.whole


@given(
    name=st.text(min_size=1), arguments=objects, array=st.booleans(), cuts=st.lists(st.integers(0))
)
def test_however_a_call_comes_its_parts_add_up(
    name: str, arguments: dict[str, object], array: bool, cuts: list[int]
) -> None:
    call = {"name": name, "arguments": arguments}
    text = json.dumps([call] if array else call)
    places = sorted(cut % len(text) for cut in cuts)
    pieces = [text[a:b] for a, b in zip([0, *places], [*places, None], strict=True)]
    [first, *rest], whole = parts_of(*pieces)
    assert (first.index, first.name, first.arguments) == (0, name, "")
    assert {(part.index, part.id, part.name) for part in rest} == {(0, None, None)}
    assert "".join(part.arguments for part in rest) == json.dumps(arguments)
    assert whole


@given(arguments=objects, cut=st.integers(0))
def test_of_a_call_that_was_cut_all_arguments_are_told(
    arguments: dict[str, object], cut: int
) -> None:
    written = json.dumps(arguments)
    cut %= len(written)
    parts, whole = parts_of('{"name": "f", "arguments": ', written[:cut])
    assert "".join(part.arguments for part in parts) == written[:cut]
    assert not whole


@pytest.mark.parametrize("text", ["", "{", '{"name": "get_wea', '{"name": "f", "arguments": '])
def test_of_a_call_whose_arguments_never_came_nothing_is_told(text: str) -> None:
    assert parts_of(text) == ([], False)


def test_a_call_is_whole_when_its_arguments_are() -> None:
    parts, whole = parts_of('{"name": "f", "parameters": {"a": [{}]}')
    assert ("".join(part.arguments for part in parts), whole) == ('{"a": [{}]}', True)


def test_arguments_are_told_as_soon_as_they_come() -> None:
    call = CallText()
    told = [
        "".join(part.arguments for part in call.feed(piece))
        for piece in ('{"name": "f", ', '"arguments": {"a', '": {}', ', "b', '": 1}', "}")
    ]
    assert told == ["", '{"a', '": {', '}, "b', '": 1', ""]


def test_each_call_has_an_id_of_its_own() -> None:
    text = '{"name": "f", "arguments": {}}'
    first, second = (parts_of(text)[0][0].id for _ in range(2))
    assert first != second
    assert {len(first or ""), len(second or "")} == {9}
