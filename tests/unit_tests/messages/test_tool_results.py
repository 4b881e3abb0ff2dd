"""Tool calls and their results."""

from typing import Any

import pytest
from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    HumanMessage,
    InvalidToolCall,
    ToolMessage,
)
from langchain_core.messages.tool import invalid_tool_call

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import ToolCall, Turn, to_turns


def calling(*ids: str | None) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": call_id} for call_id in ids])


def result(call_id: str, text: str = "ok", **more: Any) -> ToolMessage:
    return ToolMessage(text, tool_call_id=call_id, **more)


def answered(messages: list[BaseMessage]) -> list[str | None]:
    return [turn.tool_call_id for turn in to_turns(messages) if turn.role == "tool"]


def failure(messages: list[BaseMessage]) -> str:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        to_turns(messages)
    return str(raised.value)


def test_results_never_merge() -> None:
    assert to_turns([calling("a", "b"), result("a", "1"), result("b", "2")])[1:] == [
        Turn("tool", "1", tool_call_id="a"),
        Turn("tool", "2", tool_call_id="b"),
    ]


def test_results_are_put_into_the_order_of_their_calls() -> None:
    messages = [calling("a", "b", "c"), result("c"), result("a"), result("b")]
    assert answered(messages) == ["a", "b", "c"]


def test_the_order_holds_when_ids_are_used_again() -> None:
    first = [calling("x", "y"), result("x"), result("y")]
    again = [HumanMessage("more"), calling("y", "z", "x"), result("x"), result("z"), result("y")]
    assert answered([*first, *again]) == ["x", "y", "y", "z", "x"]


def test_a_late_result_answers_an_earlier_call() -> None:
    messages = [calling("a"), HumanMessage("meanwhile"), AIMessage("wait"), result("a")]
    assert answered(messages) == ["a"]


def test_unanswered_calls_are_allowed() -> None:
    turns = to_turns([calling("a", "b"), HumanMessage("never mind")])
    assert [turn.role for turn in turns] == ["assistant", "user"]


def test_a_result_without_a_call_is_an_error() -> None:
    assert failure([calling("a"), result("a"), result("b")]) == (
        "messages[2] (tool) answers the call 'b', which no earlier message makes: put the "
        "AIMessage with that tool call before it, or leave the result out."
    )


def test_a_result_before_its_call_is_an_error() -> None:
    assert failure([result("a"), calling("a")]).startswith(
        "messages[0] (tool) answers the call 'a', which no earlier message makes"
    )


def test_a_result_that_names_no_call_is_an_error() -> None:
    assert failure([calling("a"), ChatMessage(content="ok", role="tool")]) == (
        "messages[1] (tool) answers the call None, which no earlier message makes: put the "
        "AIMessage with that tool call before it, or leave the result out."
    )


def test_two_calls_of_one_message_with_the_same_id_are_an_error() -> None:
    """It would be ambiguous which of them a result answers."""
    assert failure([HumanMessage("q"), calling("a", "b", "a"), result("a"), result("b")]) == (
        "messages[1] makes two calls with the id 'a': give each call an id of its own."
    )


def test_a_second_result_for_a_call_is_an_error() -> None:
    assert failure([calling("a"), result("a"), result("a")]) == (
        "messages[2] (tool) answers the call 'a', which has a result already: keep one."
    )


@pytest.mark.parametrize("after", [[], [HumanMessage("go on")], [AIMessage("done")]])
def test_calls_answered_in_part_are_an_error(after: list[BaseMessage]) -> None:
    assert failure([HumanMessage("q"), calling("a", "b"), result("a"), *after]) == (
        "messages[1] calls several tools, and only some of the calls are answered: add a "
        "ToolMessage with tool_call_id='b' for 'f'."
    )


def test_late_results_answer_all_calls_or_none() -> None:
    messages = [calling("a", "b"), HumanMessage("meanwhile"), result("a")]
    assert failure(messages).startswith("messages[0] calls several tools")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no such city", "Error: no such city"),
        ("", "Error: "),
        ("Error: no such city", "Error: no such city"),
        ("error invoking tool", "error invoking tool"),
    ],
)
def test_a_failed_result_is_marked(text: str, shown: str) -> None:
    turns = to_turns([calling("a"), result("a", text, status="error")])
    assert turns[1] == Turn("tool", shown, tool_call_id="a")


def test_calls_without_an_id_get_one_each() -> None:
    calls = to_turns([HumanMessage("q"), calling(None, None)])[1].tool_calls
    assert calls == (ToolCall("call_1_0", "f", {}), ToolCall("call_1_1", "f", {}))


def test_a_call_that_could_not_be_parsed_is_shown_with_its_text_and_can_be_answered() -> None:
    broken = invalid_tool_call(name="f", args='{"x": ', id="bad", error="not JSON")
    message = AIMessage(
        "", tool_calls=[{"name": "g", "args": {}, "id": "a"}], invalid_tool_calls=[broken]
    )
    failed = result("bad", "Error: not JSON", status="error")
    assert to_turns([message, result("a"), failed]) == [
        Turn(
            "assistant",
            "",
            (ToolCall("a", "g", {}), ToolCall("bad", "f", {"invalid_arguments": '{"x": '})),
        ),
        Turn("tool", "ok", tool_call_id="a"),
        Turn("tool", "Error: not JSON", tool_call_id="bad"),
    ]


def test_an_unparsed_call_may_lack_everything() -> None:
    nothing = InvalidToolCall(type="invalid_tool_call", name=None, args=None, id=None, error=None)
    assert to_turns([AIMessage("", invalid_tool_calls=[nothing])]) == [
        Turn("assistant", "", (ToolCall("call_0_0", "", {"invalid_arguments": ""}),))
    ]


def test_a_malformed_call_next_to_answered_ones_gets_its_error_as_result() -> None:
    """LangGraph's ToolNode answers only valid calls."""
    broken = invalid_tool_call(name="f", args="{", id="b", error="it was cut")
    called = AIMessage("", tool_calls=calling("a").tool_calls, invalid_tool_calls=[broken])
    assert to_turns([called, result("a", "1")])[1:] == [
        Turn("tool", "1", tool_call_id="a"),
        Turn("tool", "Error: it was cut", tool_call_id="b"),
    ]
    assert answered([called, result("a"), result("b", "mine")]) == ["a", "b"]
    assert answered([called, HumanMessage("Never mind.")]) == []
