"""Content lists: text, ignored blocks and refused blocks."""

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import ToolCall, Turn, to_turns


def test_blocks_of_text_are_joined_with_nothing_between() -> None:
    content: list[str | dict[Any, Any]] = [
        "one",
        {"type": "text", "text": ", two", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "\n"},
    ]
    assert to_turns([SystemMessage(content), HumanMessage(content), AIMessage(content)]) == [
        Turn("system", "one, two\n"),
        Turn("user", "one, two\n"),
        Turn("assistant", "one, two\n"),
    ]


def test_an_empty_list_is_empty_text() -> None:
    assert to_turns([HumanMessage([])]) == [Turn("user", "")]


def test_results_of_tools_are_flattened_too() -> None:
    messages = [
        AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
        ToolMessage([{"type": "text", "text": "4"}, "2"], tool_call_id="1"),
    ]
    assert to_turns(messages)[1] == Turn("tool", "42", tool_call_id="1")


@pytest.mark.parametrize(
    "block",
    [
        {"type": "thinking", "thinking": "hm", "signature": "x"},
        {"type": "redacted_thinking", "data": "x"},
        {"type": "reasoning", "reasoning": "hm"},
        {"type": "reasoning_content", "reasoning_content": {"text": "hm"}},
        {"type": "server_tool_call", "name": "web_search", "args": {}, "id": "9"},
        {"type": "server_tool_result", "tool_call_id": "9", "status": "success"},
        {"type": "web_search_call", "id": "9", "status": "completed"},
    ],
    ids=lambda block: block["type"],
)
def test_what_only_another_provider_can_read_is_left_out(block: dict[str, Any]) -> None:
    message = AIMessage([block, {"type": "text", "text": "It is so."}])
    assert to_turns([message]) == [Turn("assistant", "It is so.")]


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_use", "id": "1", "name": "f", "input": {"x": 9}},
        {"type": "tool_call", "id": "1", "name": "f", "args": {"x": 9}},
        {"type": "tool_call_chunk", "id": "1", "name": "f", "args": '{"x":'},
        {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"},
    ],
    ids=lambda block: block["type"],
)
def test_calls_are_taken_from_tool_calls_and_not_from_the_content(block: dict[str, Any]) -> None:
    call = {"name": "f", "args": {"x": 1}, "id": "1"}
    message = AIMessage(["See: ", block], tool_calls=[call])
    assert to_turns([message]) == [Turn("assistant", "See: ", (ToolCall("1", "f", {"x": 1}),))]


NOT_IN_TOOL_CALLS = (
    "messages[0] (assistant) calls a tool in its content or additional_kwargs, and its "
    "tool_calls are empty: put the call there, as AIMessage(tool_calls=[...])."
)


@pytest.mark.parametrize(
    "message",
    [
        AIMessage([{"type": "tool_use", "id": "1", "name": "f", "input": {}}]),
        AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{}"}}),
    ],
    ids=["content", "function_call"],
)
def test_a_call_that_is_not_in_tool_calls_is_not_dropped(message: AIMessage) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        to_turns([message])
    assert str(raised.value) == NOT_IN_TOOL_CALLS


def test_a_refusal_is_text() -> None:
    message = AIMessage([{"type": "refusal", "refusal": "No."}])
    assert to_turns([message]) == [Turn("assistant", "No.")]


IMAGE = "the model takes no images: describe it in a text block"
FILE = (
    "the model takes no files but recordings (audio_block(path) makes a block of one): put the "
    "file's text into a text block"
)
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"type": "image", "url": "https://example.com/a.png"}, IMAGE),
    ({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}, IMAGE),
    ({"type": "file", "mime_type": "application/pdf", "base64": "AAAA"}, FILE),
    ({"type": "media", "mime_type": "video/mp4", "data": "AAAA"}, FILE),
    ({"type": "text-plain", "url": "https://example.com/a.txt", "mime_type": "text/plain"}, FILE),
    ({"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}}, FILE),
    (
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
        },
        FILE,
    ),
    ({"type": "search_result", "title": "Cities", "source": "https://example.com"}, FILE),
    (
        {"type": "video", "url": "https://example.com/a.mp4"},
        "the model takes no video: describe it in a text block",
    ),
    (
        {"type": "hologram", "light": 1},
        "only text can be sent: use {'type': 'text', 'text': ...}",
    ),
    ({"text": "hi"}, "only text can be sent: use {'type': 'text', 'text': ...}"),
    ({"type": ["text"]}, "only text can be sent: use {'type': 'text', 'text': ...}"),
]


@pytest.mark.parametrize(("block", "advice"), REFUSED)
def test_what_is_not_text_is_refused_with_its_place_and_advice(
    block: dict[str, Any], advice: str
) -> None:
    messages = [SystemMessage("s"), HumanMessage([{"type": "text", "text": "See:"}, block])]
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        to_turns(messages)
    assert str(raised.value) == (
        f"messages[1] (user), block 1: a block of type {block.get('type')!r} cannot be sent; "
        f"{advice}."
    )


def test_reasoning_is_refused_where_no_model_wrote_it() -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        to_turns([HumanMessage([{"type": "reasoning", "reasoning": "hm"}])])
    assert str(raised.value) == (
        "messages[0] (user), block 0: a block of type 'reasoning' cannot be sent; only text can "
        "be sent: use {'type': 'text', 'text': ...}."
    )


def test_a_text_block_without_text_is_refused() -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        to_turns([HumanMessage([{"type": "text", "text": None}])])
    assert str(raised.value) == (
        "messages[0] (user), block 0: the 'text' of a 'text' block must be a string, not NoneType."
    )


def test_a_malformed_block_is_refused() -> None:
    message = HumanMessage("x").model_copy(update={"content": [7]})
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        to_turns([message])
    assert str(raised.value) == (
        "messages[0] (user), block 0: int is no content block; only text can be sent: use "
        "{'type': 'text', 'text': ...}."
    )
