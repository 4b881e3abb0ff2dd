"""OpenAI's messages to conversations."""

import pytest
from pydantic import ValidationError

from langchain_voxtral.local.api.chat_requests import ChatRequest
from langchain_voxtral.local.prompting.prompt_reader import ParsedPrompt
from langchain_voxtral.messages.turns import ToolCall, Turn

ASKED = {"role": "user", "content": "Weather?"}


def reading(*messages: object) -> ParsedPrompt:
    return parse(*messages).conversation()


def parse(*messages: object, **fields: object) -> ChatRequest:
    return ChatRequest.model_validate({"model": "m", "messages": messages, **fields})


def faults(*messages: object) -> list[tuple[tuple[int | str, ...], str]]:
    with pytest.raises(ValidationError) as caught:
        parse(*messages)
    return [(fault["loc"][1:], fault["msg"]) for fault in caught.value.errors()]


def called(arguments: object = '{"city": "Paris"}', call_id: str = "c1") -> dict[str, object]:
    function = {"name": "get_weather", "arguments": arguments}
    calls = [{"id": call_id, "type": "function", "function": function}]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(call_id: str = "c1") -> dict[str, object]:
    return {"role": "tool", "tool_call_id": call_id, "content": "Sunny"}


def test_a_conversation_of_all_roles() -> None:
    assert reading(
        {"role": "system", "content": "Be brief."}, ASKED, called(), result()
    ) == ParsedPrompt(
        "chat",
        (
            Turn("system", "Be brief."),
            Turn("user", "Weather?"),
            Turn("assistant", "", (ToolCall("c1", "get_weather", {"city": "Paris"}),)),
            Turn("tool", "Sunny", tool_call_id="c1"),
        ),
    )


def test_tools_are_offered() -> None:
    tool: dict[str, object] = {"type": "function", "function": {"name": "f"}}
    assert parse(ASKED, tools=[tool]).conversation().tools == (tool,)


def test_a_last_answer_is_a_prefill() -> None:
    prefill = {"role": "assistant", "content": "It is"}
    assert reading(ASKED, prefill) == ParsedPrompt("chat", (Turn("user", "Weather?"),), "It is")


def test_a_last_call_is_no_prefill() -> None:
    assert reading(ASKED, called()).prefill == ""


def test_text_parts_are_joined() -> None:
    parts = [{"type": "text", "text": "Wea"}, {"type": "text", "text": "ther?"}]
    assert reading({"role": "user", "content": parts}) == reading(ASKED)
    parsed = reading(ASKED, called(), {**result(), "content": [{"type": "text", "text": "Sunny"}]})
    assert parsed.turns[-1].text == "Sunny"


def test_a_users_name_is_shown_and_no_others() -> None:
    turns = reading(
        {"role": "system", "content": "Be brief.", "name": "boss"},
        {"role": "assistant", "content": "Hello", "name": "bot"},
        {"role": "user", "content": "Hi", "name": "Ann"},
    ).turns
    assert [turn.text for turn in turns] == ["Be brief.", "Hello", "Ann: Hi"]


def test_what_a_model_answered_can_be_sent_back() -> None:
    """The SDK writes all of its fields."""
    nulls = dict.fromkeys(["refusal", "audio", "function_call", "annotations", "content"])
    assert reading(ASKED, called() | nulls) == reading(ASKED, called())
    plain: dict[str, object] = {"role": "assistant", **nulls, "tool_calls": None}
    plain["content"] = "Hello"
    assert reading(plain, ASKED).turns[0] == Turn("assistant", "Hello")


def test_a_call_without_arguments() -> None:
    assert reading(ASKED, called("")).turns[-1].tool_calls == (ToolCall("c1", "get_weather", {}),)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("image_url", "part 1 is 'image_url': the embedded engine reads text only"),
        (
            "input_audio",
            "part 1 is 'input_audio': the embedded engine reads text only",
        ),
        ("text", 'part 1 is not {"type": "text", "text": "..."}'),
        (None, 'part 1 is not {"type": "text", "text": "..."}'),
    ],
)
def test_content_that_is_not_text_is_refused(kind: object, message: str) -> None:
    parts = [{"type": "text", "text": "Look:"}, {"type": kind, "data": "x"}]
    assert faults({"role": "user", "content": parts}) == [
        ((0, "user", "content"), f"Value error, {message}")
    ]


@pytest.mark.parametrize("role", ["developer", "function", None])
def test_roles_are_the_documented_ones(role: object) -> None:
    [(where, _)] = faults({"role": role, "content": "Hi"})
    assert where == (0,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("[]", "the arguments are no JSON object"),
        ("{", "the arguments are no JSON: EOF while parsing an object at line 1 column 1"),
        ({"a": 1}, "arguments are a string: the text of a JSON object"),
    ],
)
def test_arguments_that_are_not_an_object_are_refused(arguments: object, message: str) -> None:
    where = (1, "assistant", "tool_calls", 0, "function", "arguments")
    assert faults(ASKED, called(arguments)) == [(where, f"Value error, {message}")]


@pytest.mark.parametrize(
    "messages",
    [
        (ASKED, result()),
        (ASKED, called(), result("c2")),
        (ASKED, result(), called()),
        (ASKED, called(), result(), result()),
    ],
)
def test_a_result_answers_a_call(messages: tuple[object, ...]) -> None:
    [(where, message)] = faults(*messages)
    assert where == ()
    assert "which no message before it makes, or which has its result" in message


def test_an_id_may_be_used_again() -> None:
    assert len(reading(ASKED, called(), result(), called(), result()).turns) == 5


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ((), "Value error, there are no messages"),
        (({"role": "assistant"},), "Value error, an assistant message has content, or tool_calls"),
    ],
)
def test_empty_messages_are_refused(messages: tuple[object, ...], message: str) -> None:
    assert [prefill for _, prefill in faults(*messages)] == [message]
