"""The rule by which the embedded engine calls tools."""

from typing import Any

import pytest

from langchain_voxtral.local.prompting.tool_selection import (
    content_words,
    last_question,
    select_required_tools,
    select_tools,
)
from langchain_voxtral.messages.result_audio import INTRODUCTION
from langchain_voxtral.messages.turns import ToolCall, Turn


def tool(name: str, description: str = "", **properties: object) -> dict[str, Any]:
    function = {
        "name": name,
        "description": description,
        "parameters": {"type": "object", "properties": properties},
    }
    return {"type": "function", "function": function}


WEATHER = tool("get_weather", "Get the current weather.", city={"type": "string"})
ADD = tool("add", "Add two numbers.", a={"type": "integer"}, b={"type": "integer"})
LIGHT = tool("switch", "Turn it on.", room={"enum": ["kitchen", "bathroom"]}, lamp={})
REPORT = tool("WeatherReport", "What to say in the end.")
FINAL = tool("FinalAnswer")
TOOLS = [WEATHER, ADD, LIGHT]
BOTH = "What is the weather in Paris and what is 3+4?"


def called(*names: str) -> list[Turn]:
    return [
        turn
        for name in names
        for turn in (Turn("assistant", "", (ToolCall("c", name, {}),)), Turn("tool", "Done"))
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("get_weather", {"weather"}),
        ("getUserReports2", {"report"}),
        ("HTTPStatus-codes", {"http", "statu", "code"}),
        ("The songs and their bus lines", {"song", "bu", "line"}),
        ("a I it's über", {"über"}),
        ("", set()),
    ],
)
def test_content_words_have_no_s_at_their_end_and_are_no_stop_words(
    text: str, words: set[str]
) -> None:
    assert content_words(text) == words


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ("Hello!", ()),
        ("Get me the current city.", ()),
        ("Weather?", ("get_weather",)),
        ("How are the WEATHERS?", ("get_weather",)),
        ("What is 3 + 4?", ("add",)),
        ("The 3-4 of us", ()),
        ("C++ or a+b", ()),
        (BOTH, ("get_weather", "add")),
        ("Light in the kitchen, please", ()),
        ("The lamp in the kitchen", ("switch",)),
        ("Turn the lamp", ("switch",)),
    ],
)
def test_a_tool_is_called_for_by_a_word_of_its_name_or_two_of_its_description(
    question: str, names: tuple[str, ...]
) -> None:
    assert select_tools(TOOLS, [Turn("user", question)]) == names


def test_what_was_called_since_the_last_user_turn_is_not_called_for_again() -> None:
    asked = [Turn("user", BOTH)]
    assert select_tools(TOOLS, [*asked, *called("get_weather")]) == ("add",)
    assert select_tools(TOOLS, [*asked, *called("get_weather", "add")]) == ()
    assert select_tools(TOOLS, [*asked, *called("get_weather"), *asked]) == ("get_weather", "add")


def test_a_recording_that_a_tool_returned_is_no_question() -> None:
    said = INTRODUCTION.format(12) + '\nThe recording says: "Turn the lamp."'
    asked = [Turn("user", BOTH), *called("get_weather"), Turn("user", said)]
    assert select_tools(TOOLS, asked) == ("add",)
    assert last_question(asked) == BOTH
    meanwhile = [*asked, Turn("assistant", "OK."), Turn("user", f"{said}\nWeather?")]
    assert select_tools(TOOLS, meanwhile) == ("get_weather",)
    assert last_question(meanwhile) == "Weather?"
    assert last_question([Turn("user", "")]) == ""


def test_only_the_last_user_turn_counts() -> None:
    turns = [Turn("user", BOTH), Turn("assistant", "Rain, 7."), Turn("user", "Thanks!")]
    assert select_tools(TOOLS, turns) == ()
    assert select_tools(TOOLS, [Turn("system", BOTH)]) == ()


def test_a_tool_that_is_described_badly_is_known_by_its_name() -> None:
    parameters: list[object] = [None, [], {"properties": []}]
    parameters.append({"properties": {"a": {"enum": 3}, "b": 1}})
    odd = [{"function": {"name": "clock", "description": 5, "parameters": p}} for p in parameters]
    assert select_tools(odd, [Turn("user", "The clock?")]) == ("clock",) * 4


def test_an_agent_that_must_call_comes_to_the_tool_that_ends_it() -> None:
    tools = [FINAL, LIGHT, WEATHER, ADD]
    turns = [Turn("user", BOTH)]
    offered = []
    for name in ("get_weather", "add", "switch", "FinalAnswer"):
        offered.append(select_required_tools(tools, turns))
        turns += called(name)
    assert offered == [
        ("get_weather", "add"),
        ("add",),
        ("FinalAnswer", "switch"),
        ("FinalAnswer",),
    ]
    assert select_required_tools(tools, turns) == ("FinalAnswer", "switch", "get_weather", "add")


def test_a_tool_that_is_named_wholly_comes_first() -> None:
    turns = [Turn("user", "What is the weather in Paris?")]
    assert select_required_tools([REPORT, WEATHER], turns) == ("get_weather",)
    assert select_required_tools([REPORT, WEATHER], [*turns, *called("get_weather")]) == (
        "WeatherReport",
    )
