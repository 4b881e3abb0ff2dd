"""Turns as the messages of chat completions."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.conversations import conversations

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import ToolCall, Turn, to_openai

TURNS = [
    Turn("system", "Be brief."),
    Turn("user", "Weather?"),
    Turn(
        "assistant",
        "",
        (ToolCall("abcdef123", "weather", {"city": "Zürich"}), ToolCall("call_8Yx2mQ", "now", {})),
    ),
    Turn("tool", "22", tool_call_id="abcdef123"),
    Turn("tool", "noon", tool_call_id="call_8Yx2mQ"),
    Turn("assistant", "I look again.", (ToolCall("abcdef124", "now", {}),)),
    Turn("tool", "", tool_call_id="abcdef124"),
    Turn("assistant", "It is "),
]
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Weather?"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "abcdef123",
                "type": "function",
                "function": {"name": "weather", "arguments": '{"city": "Zürich"}'},
            },
            {
                "id": "bEdjymAQt",
                "type": "function",
                "function": {"name": "now", "arguments": "{}"},
            },
        ],
    },
    {"role": "tool", "content": "22", "tool_call_id": "abcdef123"},
    {"role": "tool", "content": "noon", "tool_call_id": "bEdjymAQt"},
    {
        "role": "assistant",
        "content": "I look again.",
        "tool_calls": [
            {
                "id": "abcdef124",
                "type": "function",
                "function": {"name": "now", "arguments": "{}"},
            }
        ],
    },
    {"role": "tool", "content": "", "tool_call_id": "abcdef124"},
    {"role": "assistant", "content": "It is "},
]


def test_each_turn_is_a_message_and_the_answers_beginning_stays_last() -> None:
    assert to_openai(TURNS) == MESSAGES


def test_an_empty_answer_is_empty_and_not_null() -> None:
    assert to_openai([Turn("user", ""), Turn("assistant", "")]) == [
        {"role": "user", "content": ""},
        {"role": "assistant", "content": ""},
    ]


@pytest.mark.parametrize(
    ("turns", "messages"),
    [
        (
            TURNS[:2],
            [{"role": "system", "content": "Be brief.\n\nAnswer in JSON."}, *MESSAGES[1:2]],
        ),
        (TURNS[1:2], [{"role": "system", "content": "Answer in JSON."}, *MESSAGES[1:2]]),
        (
            [Turn("system", ""), TURNS[1]],
            [{"role": "system", "content": "Answer in JSON."}, *MESSAGES[1:2]],
        ),
        (
            [TURNS[1], TURNS[0]],
            [{"role": "system", "content": "Answer in JSON."}, MESSAGES[1], MESSAGES[0]],
        ),
        ([], [{"role": "system", "content": "Answer in JSON."}]),
    ],
    ids=["system", "none", "empty", "later", "nothing"],
)
def test_an_instruction_ends_the_system_message_that_comes_first(
    turns: list[Turn], messages: list[dict[str, Any]]
) -> None:
    assert to_openai(turns, instruction="Answer in JSON.") == messages


short = st.text(st.characters(codec="utf-8"), max_size=5)


@given(conversations(texts=short, names=short, results=short))
def test_results_name_their_calls_and_arguments_parse_back(turns: list[Turn]) -> None:
    messages = to_openai(turns)
    assert [message["role"] for message in messages] == [turn.role for turn in turns]
    assert [message["content"] or "" for message in messages] == [turn.text for turn in turns]
    calls = [call for message in messages for call in message.get("tool_calls", ())]
    given_calls = [call for turn in turns for call in turn.tool_calls]
    assert [
        (call["function"]["name"], json.loads(call["function"]["arguments"])) for call in calls
    ] == [(call.name, call.arguments) for call in given_calls]
    results = [message["tool_call_id"] for message in messages if message["role"] == "tool"]
    assert results == [call["id"] for call in calls]


def test_arguments_that_are_not_json_are_an_error_that_names_the_call() -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        to_openai([Turn("assistant", "", (ToolCall("a", "add", {"x": {1, 2}}),))])
    assert str(raised.value) == (
        "JSON cannot express the arguments of the call of 'add': Object of type set is not JSON "
        "serializable. Use strings, numbers, booleans, None, lists, and dicts with string keys."
    )


def test_a_result_without_its_calls_id_is_an_error() -> None:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        to_openai([Turn("user", "q"), Turn("tool", "2")])
    assert str(raised.value) == (
        "Turn 1 (tool) has no tool_call_id: give the id of the call that it answers."
    )
