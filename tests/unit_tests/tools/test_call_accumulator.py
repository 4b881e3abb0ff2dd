"""Chunks of tool calls for LangChain: they merge, and nothing is guessed."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk

from langchain_voxtral.tools.call_accumulator import (
    ParsedToolCall,
    ToolCallAccumulator,
    ToolCallChunk,
    assemble_calls,
)
from langchain_voxtral.tools.call_ids import to_mistral_call_id

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=5), VALUES, min_size=1, max_size=3)


def merged(parts: Sequence[ToolCallChunk]) -> AIMessageChunk:
    """Return langchain-core's message of these parts, one chunk each."""
    message = AIMessageChunk(content="")
    for part in parts:
        chunk = tool_call_chunk(name=part.name, args=part.arguments, id=part.id, index=part.index)
        message += AIMessageChunk(content="", tool_call_chunks=[chunk])
    return message


def assembled(
    *parts: ToolCallChunk, cut: bool = False
) -> tuple[AIMessageChunk, list[ParsedToolCall]]:
    calls = ToolCallAccumulator()
    sent = [ready for part in parts for ready in calls.feed([part])] + calls.close(cut=cut)
    return merged(sent), calls.finished()


def test_the_first_part_of_a_call_has_its_id_and_name() -> None:
    calls = ToolCallAccumulator()
    assert calls.feed([ToolCallChunk(0, id="abcdef123")]) == []
    assert calls.feed(
        [ToolCallChunk(0, name="f"), ToolCallChunk(0, name="g", arguments='{"a"')]
    ) == [ToolCallChunk(0, id="abcdef123", name="f")]
    assert calls.feed([ToolCallChunk(0, arguments=": 1}")]) == []
    assert calls.close() == [ToolCallChunk(0, arguments='{"a": 1}')]
    assert calls.finished() == [ParsedToolCall("abcdef123", "f", '{"a": 1}', {"a": 1})]


@pytest.mark.parametrize("names", [["get_weather"], ["get_weather", "get"]])
def test_a_name_in_pieces_is_sent_whole(names: list[str]) -> None:
    calls = ToolCallAccumulator(names)
    assert calls.feed([ToolCallChunk(0, id="1", name="get"), ToolCallChunk(0, name="_")]) == []
    named = [ToolCallChunk(0, id="1", name="get_weather")]
    assert calls.feed([ToolCallChunk(0, name="weather")]) == named
    assert calls.feed([ToolCallChunk(1, id="2", name="get_w")]) == []
    another = ToolCallChunk(2, id="3", name="get_weather")
    assert calls.feed([another]) == [ToolCallChunk(1, id="2", name="get_w"), another]


def test_a_call_in_one_part_is_sent_in_one() -> None:
    part = ToolCallChunk(0, id="abcdef123", name="f", arguments='{"a": 1}')
    calls = ToolCallAccumulator()
    assert (calls.feed([part]), calls.close()) == ([part], [])


def test_a_missing_or_duplicate_id_is_generated() -> None:
    ids = [
        call.id
        for call in assemble_calls(
            [
                ToolCallChunk(index, id=given, name="f")
                for index, given in enumerate((None, "", "1", "1"))
            ]
        )
    ]
    assert ids[2] == "1"
    assert len(set(ids)) == 4
    made_up = [ids[0], ids[1], ids[3]]
    assert made_up == [to_mistral_call_id(call_id) for call_id in made_up]


def test_another_call_flushes_the_one_before() -> None:
    calls = ToolCallAccumulator()
    calls.feed([ToolCallChunk(0, id="1", name="f"), ToolCallChunk(0, arguments="{}")])
    assert calls.feed([ToolCallChunk(1, id="2", name="g")]) == [
        ToolCallChunk(0, arguments="{}"),
        ToolCallChunk(1, id="2", name="g"),
    ]


def test_chunks_grow_so_that_they_are_few() -> None:
    arguments = json.dumps({"text": "word " * 4000})
    calls = ToolCallAccumulator()
    sent = calls.feed([ToolCallChunk(0, name="f")])
    for character in arguments:
        sent += calls.feed([ToolCallChunk(0, arguments=character)])
    sent += calls.close()
    sizes = [len(part.arguments) for part in sent]
    assert (sizes[:4], len(sizes)) == ([0, 32, 32, 32], 18)
    assert "".join(part.arguments for part in sent) == arguments


@pytest.mark.parametrize(
    ("arguments", "cut", "error"),
    [
        ('{"a": 1', False, "the arguments are not JSON: Expecting ',' delimiter: line 1"),
        ('{"a": 1', True, "the answer was cut within the call"),
        ("", True, "the answer was cut within the call"),
        ("[1]", False, "the arguments are JSON, but no object: list"),
        ("null", False, "the arguments are JSON, but no object: NoneType"),
        ('"{}"', False, "the arguments are JSON, but no object: str"),
        ('{"a": NaN}', False, "the arguments are not JSON: NaN is no JSON value"),
        ('{"a": -Infinity}', False, "the arguments are not JSON: -Infinity is no JSON value"),
        ('{"a": "\n"}', False, "the arguments are not JSON: Invalid control character"),
        ('{"a": 1} x', False, "the arguments are not JSON: Extra data"),
        ('{"a": "\\', True, "the answer was cut within the call"),
        ('{"a": ["{", "\\"', True, "the answer was cut within the call"),
        ("{]", False, "the arguments are not JSON: Expecting property name"),
        ("[" * 100_000, False, "the arguments are not JSON: maximum recursion depth exceeded"),
    ],
)
def test_arguments_that_are_not_an_object_make_an_invalid_call(
    arguments: str, cut: bool, error: str
) -> None:
    message, (call,) = assembled(
        ToolCallChunk(0, id="1", name="f"), ToolCallChunk(0, arguments=arguments), cut=cut
    )
    assert message.tool_calls == []
    (invalid,) = message.invalid_tool_calls
    assert (invalid["id"], invalid["name"]) == ("1", "f")
    assert (call.raw_arguments, call.arguments) == (arguments, None)
    assert (call.error or "").startswith(error)
    # The bridge of stream_events() parses with json.loads, which takes any JSON.
    with pytest.raises((ValueError, RecursionError)):
        json.loads(invalid["args"] or "")


def test_what_nothing_can_repair_is_sent_as_it_is() -> None:
    message, _ = assembled(ToolCallChunk(0, id="1", name="f", arguments='{"a": [}'))
    assert message.invalid_tool_calls == [
        invalid_tool_call(name="f", args='{"a": [}', id="1", error=None)
    ]


@pytest.mark.parametrize("cut", [False, True])
def test_a_call_without_a_name_is_invalid(cut: bool) -> None:
    message, calls = assembled(ToolCallChunk(0, id="1", arguments='{"a": 1}'), cut=cut)
    assert message.tool_calls == []
    assert message.invalid_tool_calls == [
        invalid_tool_call(name="", args='{"a": 1}}', id="1", error=None)
    ]
    assert calls == [ParsedToolCall("1", "", '{"a": 1}', None, "the call has no name")]


@pytest.mark.parametrize("arguments", ["", " \n"])
def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    message, calls = assembled(ToolCallChunk(0, id="1", name="f", arguments=arguments))
    assert message.tool_calls == [tool_call(name="f", args={}, id="1")]
    assert message.tool_call_chunks[0]["args"] == arguments + "{}"
    assert calls == [ParsedToolCall("1", "f", arguments + "{}", {})]


def test_a_cut_breaks_only_an_incomplete_last_call() -> None:
    first, last = ToolCallChunk(0, id="1", name="f"), ToolCallChunk(1, id="2", name="g")
    message, _ = assembled(first, last, cut=True)
    assert message.tool_calls == [tool_call(name="f", args={}, id="1")]
    assert message.invalid_tool_calls == [invalid_tool_call(name="g", args="}", id="2", error=None)]
    message, _ = assembled(first, last, ToolCallChunk(1, arguments="{}"), cut=True)
    assert [call["id"] for call in message.tool_calls] == ["1", "2"]


@given(arguments=OBJECTS, ascii_only=st.booleans(), cut=st.booleans(), data=st.data())
@example(arguments={"a": '"\\'}, ascii_only=True, cut=True, data=None)
def test_arguments_cut_anywhere_are_never_a_valid_call(
    arguments: dict[str, object], ascii_only: bool, cut: bool, data: st.DataObject | None
) -> None:
    text = json.dumps(arguments, ensure_ascii=ascii_only)
    ends = range(1, len(text)) if data is None else [data.draw(st.integers(1, len(text) - 1))]
    for end in ends:
        message, (call,) = assembled(
            ToolCallChunk(0, id="1", name="f"),
            *(ToolCallChunk(0, arguments=character) for character in text[:end]),
            cut=cut,
        )
        assert message.tool_calls == []
        assert [(one["id"], one["name"]) for one in message.invalid_tool_calls] == [("1", "f")]
        assert (call.raw_arguments, call.arguments) == (text[:end], None)


@given(st.lists(OBJECTS, max_size=3), st.integers(1, 50), st.booleans())
def test_complete_arguments_are_valid_calls(
    all_arguments: list[dict[str, object]], size: int, cut: bool
) -> None:
    parts = []
    for index, arguments in enumerate(all_arguments):
        text = json.dumps(arguments)
        parts.append(ToolCallChunk(index, id=f"id{index}", name=f"f{index}"))
        parts += [
            ToolCallChunk(index, arguments=text[at : at + size]) for at in range(0, len(text), size)
        ]
    message, calls = assembled(*parts, cut=cut)
    assert message.invalid_tool_calls == []
    assert message.tool_calls == [
        tool_call(name=f"f{index}", args=arguments, id=f"id{index}")
        for index, arguments in enumerate(all_arguments)
    ]
    assert calls == assemble_calls(parts, cut=cut)
    assert [call.arguments for call in calls] == all_arguments


@given(st.text('{}[]":,\\ a1\n', max_size=30), st.booleans())
@example('{"a": 1}}', False)
def test_any_text_is_a_valid_call_only_if_it_is_a_json_object(text: str, cut: bool) -> None:
    message, (call,) = assembled(ToolCallChunk(0, id="1", name="f", arguments=text), cut=cut)
    try:
        value = json.loads(text) if cut or text.strip() else {}
    except ValueError:
        value = None
    expected = value if isinstance(value, dict) else None
    assert call.arguments == expected
    assert [one["args"] for one in message.tool_calls] == ([] if expected is None else [expected])
    assert len(message.invalid_tool_calls) == (expected is None)
