"""LangChain messages to turns: roles, merging, names."""

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    ChatMessageChunk,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    SystemMessageChunk,
    ToolMessage,
    ToolMessageChunk,
)

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import Role, ToolCall, Turn, to_turns

CALL = {"name": "add", "args": {"x": 1}, "id": "1", "type": "tool_call"}


def test_each_kind_of_message_has_its_role() -> None:
    assert to_turns(
        [
            SystemMessage("s"),
            HumanMessage("u"),
            AIMessage("a", tool_calls=[CALL]),
            ToolMessage("2", tool_call_id="1"),
            AIMessage("done"),
        ]
    ) == [
        Turn("system", "s"),
        Turn("user", "u"),
        Turn("assistant", "a", (ToolCall("1", "add", {"x": 1}),)),
        Turn("tool", "2", tool_call_id="1"),
        Turn("assistant", "done"),
    ]


def test_streamed_chunks_are_messages() -> None:
    call = AIMessageChunk(
        content="a",
        tool_call_chunks=[
            {
                "name": "add",
                "args": '{"x": 1}',
                "id": "1",
                "index": 0,
                "type": "tool_call_chunk",
            }
        ],
    )
    assert to_turns(
        [
            SystemMessageChunk(content="s"),
            HumanMessageChunk(content="u"),
            call,
            ToolMessageChunk(content="2", tool_call_id="1"),
            ChatMessageChunk(content="v", role="user"),
        ]
    ) == [
        Turn("system", "s"),
        Turn("user", "u"),
        Turn("assistant", "a", (ToolCall("1", "add", {"x": 1}),)),
        Turn("tool", "2", tool_call_id="1"),
        Turn("user", "v"),
    ]


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("user", "user"),
        ("human", "user"),
        ("assistant", "assistant"),
        ("ai", "assistant"),
        ("system", "system"),
        ("developer", "system"),
    ],
)
def test_chat_messages_of_known_roles_are_taken(name: str, role: Role) -> None:
    assert to_turns([ChatMessage(content="x", role=name)]) == [Turn(role, "x")]


def test_a_chat_message_can_be_a_result() -> None:
    messages = [
        AIMessage("", tool_calls=[CALL]),
        ChatMessage.model_validate({"content": "2", "role": "tool", "tool_call_id": "1"}),
    ]
    assert to_turns(messages)[1] == Turn("tool", "2", tool_call_id="1")


@pytest.mark.parametrize(
    ("kind", "role"),
    [(HumanMessage, "user"), (SystemMessage, "system"), (AIMessage, "assistant")],
)
def test_messages_of_one_role_become_one_turn_with_blank_lines(
    kind: type[BaseMessage], role: Role
) -> None:
    messages = [kind(content=text) for text in ("one", "two\n", "three")]
    assert to_turns(messages) == [Turn(role, "one\n\ntwo\n\n\nthree")]


def test_an_empty_message_adds_nothing_to_its_neighbours() -> None:
    messages = [HumanMessage(""), HumanMessage("a"), HumanMessage(""), HumanMessage("b")]
    assert to_turns(messages) == [Turn("user", "a\n\nb")]


def test_an_empty_message_alone_is_an_empty_turn() -> None:
    assert to_turns([HumanMessage("a"), AIMessage(""), HumanMessage("b")]) == [
        Turn("user", "a"),
        Turn("assistant", ""),
        Turn("user", "b"),
    ]


def test_system_messages_stay_where_they_are() -> None:
    messages = [
        SystemMessage("s"),
        HumanMessage("u"),
        AIMessage("a"),
        SystemMessage("t"),
        HumanMessage("v"),
    ]
    assert [turn.role for turn in to_turns(messages)] == [
        "system",
        "user",
        "assistant",
        "system",
        "user",
    ]


def test_calls_join_the_text_before_them_and_nothing_joins_calls() -> None:
    """Text after calls would be read as text before them."""
    call = ToolCall("1", "add", {"x": 1})
    assert to_turns(
        [
            HumanMessage("u"),
            AIMessage("a"),
            AIMessage("b", tool_calls=[CALL]),
            AIMessage("c"),
            AIMessage("d"),
        ]
    ) == [
        Turn("user", "u"),
        Turn("assistant", "a\n\nb", (call,)),
        Turn("assistant", "c\n\nd"),
    ]


def test_a_persons_name_goes_before_the_text_of_each_message() -> None:
    messages = [
        HumanMessage("Hi!", name="Ada"),
        HumanMessage([{"type": "text", "text": "Hello."}], name="Bob"),
        ChatMessage(content="Hey.", role="user", name="Cy"),
    ]
    assert to_turns(messages) == [Turn("user", "Ada: Hi!\n\nBob: Hello.\n\nCy: Hey.")]


@pytest.mark.parametrize("kind", [AIMessage, SystemMessage])
def test_other_names_are_not_shown(kind: type[BaseMessage]) -> None:
    assert to_turns([kind(content="Hi!", name="agent")])[0].text == "Hi!"


def failure(messages: list[object]) -> str:
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        to_turns(messages)  # type: ignore[arg-type] # mistakes are the point
    return str(raised.value)


def test_no_messages_are_an_error() -> None:
    assert failure([]) == "There are no messages: give at least one."


@pytest.mark.parametrize(
    ("wrong", "kind"), [("hello", "str"), ({"role": "user"}, "dict"), (None, "NoneType")]
)
def test_an_invalid_message_is_an_error(wrong: object, kind: str) -> None:
    assert failure([HumanMessage("a"), wrong]) == (
        f"messages[1] is a {kind}, not a LangChain message: use HumanMessage, AIMessage, "
        "SystemMessage or ToolMessage."
    )


def test_an_unknown_role_is_an_error_that_names_the_known() -> None:
    assert failure([ChatMessage(content="x", role="narrator")]) == (
        "messages[0] is a ChatMessage of the unknown role 'narrator': use one of user, human, "
        "assistant, ai, system, developer, tool."
    )


class _OwnMessage(BaseMessage):
    type: str = "own"


def test_a_custom_message_class_is_an_error() -> None:
    assert failure([_OwnMessage(content="x")]) == (
        "messages[0] is a _OwnMessage of the unknown role 'own': use one of user, human, "
        "assistant, ai, system, developer, tool."
    )


def test_an_instruction_to_remove_a_message_is_an_error() -> None:
    assert failure([HumanMessage("a"), RemoveMessage(id="7")]) == (
        "messages[1] is a RemoveMessage and cannot be sent; it is an instruction to LangGraph's "
        "add_messages: apply it first."
    )


def test_a_function_message_is_an_error() -> None:
    assert failure([FunctionMessage(name="add", content="2")]) == (
        "messages[0] is a FunctionMessage and cannot be sent; it names no call that it answers: "
        "use ToolMessage with tool_call_id."
    )
