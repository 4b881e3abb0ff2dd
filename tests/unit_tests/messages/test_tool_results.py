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

from langchain_voxtral.messages import ToolCall, Turn, to_turns
from langchain_voxtral.messages.results import MISSING_RESULT


def calling(*ids: str | None) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": call_id} for call_id in ids])


def result(call_id: str, text: str = "ok", **more: Any) -> ToolMessage:
    return ToolMessage(text, tool_call_id=call_id, **more)


def answered(messages: list[BaseMessage]) -> list[str | None]:
    return [turn.tool_call_id for turn in to_turns(messages) if turn.role == "tool"]


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


def orphan(name: str, call_id: str, text: str) -> str:
    return f"Result of {name} for an earlier call (id {call_id!r}):\n{text}"


@pytest.mark.parametrize(
    ("messages", "turns"),
    [
        (
            [result("a", "1", name="search"), HumanMessage("q")],
            [Turn("user", orphan("the tool 'search'", "a", "1") + "\n\nq")],
        ),
        (
            [HumanMessage("q"), result("a", "1"), AIMessage("done")],
            [
                Turn("user", "q\n\n" + orphan("a tool", "a", "1")),
                Turn("assistant", "done"),
            ],
        ),
        (
            [calling("a", "b"), result("a", "1"), result("x", "no", status="error"), result("b")],
            [
                Turn("assistant", "", (ToolCall("a", "f", {}), ToolCall("b", "f", {}))),
                Turn("tool", "1", tool_call_id="a"),
                Turn("tool", "ok", tool_call_id="b"),
                Turn("user", orphan("a tool", "x", "Error: no")),
            ],
        ),
        (
            [result("a", "1"), calling("a")],
            [
                Turn("user", orphan("a tool", "a", "1")),
                Turn("assistant", "", (ToolCall("a", "f", {}),)),
            ],
        ),
        (
            [calling("a"), result("a", "1"), result("a", "2")],
            [
                Turn("assistant", "", (ToolCall("a", "f", {}),)),
                Turn("tool", "1", tool_call_id="a"),
                Turn("user", orphan("the tool 'f'", "a", "2")),
            ],
        ),
        (
            [ChatMessage(content="1", role="tool"), HumanMessage("q")],
            [Turn("user", "Result of a tool for an earlier call:\n1\n\nq")],
        ),
    ],
    ids=["first", "in the middle", "among results", "before its call", "second", "no id"],
)
def test_a_result_that_no_call_waits_for_is_text_of_the_user(
    messages: list[BaseMessage], turns: list[Turn], caplog: pytest.LogCaptureFixture
) -> None:
    """Its call was summed up or trimmed away, which the user of an agent cannot mend."""
    assert to_turns(messages) == turns
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert "is sent as text of the user" in record.getMessage()


def test_the_warning_of_such_a_result_names_the_tool_and_the_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    to_turns([result("call_7", name="search")])
    [message] = caplog.messages
    assert message.startswith(
        "The result of the tool 'search' (tool_call_id='call_7') does not follow a call that waits"
    )


def test_calls_of_one_message_with_the_same_id_get_different_ones_and_results_in_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    messages = [calling("a", "b", "a"), result("a", "1"), result("b", "2"), result("a", "3")]
    assert to_turns(messages) == [
        Turn("assistant", "", tuple(ToolCall(call_id, "f", {}) for call_id in ("a", "b", "a_2"))),
        Turn("tool", "1", tool_call_id="a"),
        Turn("tool", "2", tool_call_id="b"),
        Turn("tool", "3", tool_call_id="a_2"),
    ]
    [message] = caplog.messages
    assert message.startswith("messages[0] makes several calls with the id 'a': their results are")


@pytest.mark.parametrize("after", [[], [HumanMessage("go on")], [AIMessage("done")]])
def test_calls_answered_in_part_get_results_that_say_so(
    after: list[BaseMessage], caplog: pytest.LogCaptureFixture
) -> None:
    turns = to_turns([HumanMessage("q"), calling("a", "b"), result("b", "2"), *after])
    assert turns[2:4] == [
        Turn("tool", MISSING_RESULT, tool_call_id="a"),
        Turn("tool", "2", tool_call_id="b"),
    ]
    assert len(turns) == 4 + len(after)
    [message] = caplog.messages
    assert message.startswith(
        "The call of the tool 'f' (id 'a') has no result, and is sent with one"
    )


def test_late_results_answer_all_calls_or_the_others_are_said_to_have_none() -> None:
    messages = [calling("a", "b"), HumanMessage("meanwhile"), result("a", "1")]
    assert to_turns(messages)[1:] == [
        Turn("user", "meanwhile"),
        Turn("tool", "1", tool_call_id="a"),
        Turn("tool", MISSING_RESULT, tool_call_id="b"),
    ]
    messages += [AIMessage("so"), result("b", "2")]
    assert to_turns(messages)[-1] == Turn("user", orphan("the tool 'f'", "b", "2"))


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
