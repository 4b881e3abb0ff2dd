"""The messages of a chat completion request, and the conversation that they make."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_core import from_json

from langchain_voxtral.local.api.requests import StrictModel
from langchain_voxtral.local.prompting.prompt_reader import ParsedPrompt
from langchain_voxtral.messages.turns import ToolCall, Turn

__all__ = ["Messages", "to_reading", "without_nulls"]


def without_nulls(value: Any) -> Any:
    """Return an object without its fields that are null: in OpenAI's schema they say nothing.

    Its SDK sends the answers of a model back with `"refusal": null, "audio": null`.
    """
    if not isinstance(value, dict):
        return value
    return {name: given for name, given in value.items() if given is not None}


def _joined(content: Any) -> Any:
    """Return a content of parts as one string."""
    if not isinstance(content, list):
        return content
    return "".join(_part_text(index, part) for index, part in enumerate(content))


def _part_text(index: int, part: Any) -> str:
    match part:
        case {"type": "text", "text": str(text)}:
            return text
        case {"type": str(kind)} if kind != "text":
            raise ValueError(f"part {index} is {kind!r}: the embedded engine reads text only")
        case _:
            raise ValueError(f'part {index} is not {{"type": "text", "text": "..."}}')


def _arguments(text: Any) -> Any:
    if not isinstance(text, str):
        raise ValueError("arguments are a string: the text of a JSON object")  # noqa: TRY004
    try:
        arguments = from_json(text or "{}", allow_inf_nan=False)
    except ValueError as error:
        raise ValueError(f"the arguments are no JSON: {error}") from error
    if not isinstance(arguments, dict):
        raise ValueError("the arguments are no JSON object")  # noqa: TRY004 - pydantic's way
    return arguments


Name = Annotated[str, Field(min_length=1)]
Content = Annotated[str, BeforeValidator(_joined)]


class CalledFunction(StrictModel):
    """What a call calls, and with what."""

    name: Name
    arguments: Annotated[dict[str, Any], BeforeValidator(_arguments)]


class Call(StrictModel):
    """A call of a tool by the model; `index` stands in calls that come from a stream."""

    id: Name
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None


class SystemMessage(StrictModel):
    """Instructions."""

    role: Literal["system"]
    content: Content
    name: str | None = None

    def turn(self) -> Turn:
        """Return what it says."""
        return Turn("system", self.content)


class UserMessage(StrictModel):
    """What a user says; a name goes before it, as prompts have no other place for it."""

    role: Literal["user"]
    content: Content
    name: str | None = None

    def turn(self) -> Turn:
        """Return what it says."""
        return Turn("user", f"{self.name}: {self.content}" if self.name else self.content)


class AssistantMessage(StrictModel):
    """An earlier answer; the model's own name is not shown to it, or it would imitate it."""

    role: Literal["assistant"]
    content: Content | None = None
    tool_calls: tuple[Call, ...] = ()
    name: str | None = None

    _drop_nulls = model_validator(mode="before")(without_nulls)

    @model_validator(mode="after")
    def _check_said(self) -> "AssistantMessage":
        if self.content is None and not self.tool_calls:
            raise ValueError("an assistant message has content, or tool_calls")
        return self

    def turn(self) -> Turn:
        """Return what it says and calls."""
        calls = (
            ToolCall(call.id, call.function.name, call.function.arguments)
            for call in self.tool_calls
        )
        return Turn("assistant", self.content or "", tuple(calls))


class ToolMessage(StrictModel):
    """The result of a call."""

    role: Literal["tool"]
    content: Content
    tool_call_id: Name
    name: str | None = None

    def turn(self) -> Turn:
        """Return what it says, and which call it answers."""
        return Turn("tool", self.content, tool_call_id=self.tool_call_id)


Message = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]


def _check_conversation(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    if not messages:
        raise ValueError("there are no messages")
    unanswered: set[str] = set()
    for index, message in enumerate(messages):
        if isinstance(message, AssistantMessage):
            unanswered |= {call.id for call in message.tool_calls}
        elif isinstance(message, ToolMessage):
            if message.tool_call_id not in unanswered:
                raise ValueError(
                    f"message {index} answers the call {message.tool_call_id!r}, "
                    "which no message before it makes, or which has its result"
                )
            unanswered.remove(message.tool_call_id)
    return messages


Messages = Annotated[tuple[Message, ...], AfterValidator(_check_conversation)]
"""A conversation of at least one message, in which every result answers a call."""


def to_reading(
    messages: Sequence[Message], tools: Sequence[dict[str, object]] = ()
) -> ParsedPrompt:
    """Return the conversation that messages make.

    A last message of the assistant without calls is the beginning of the answer, which the
    model continues (a prefill, as DeepInfra documents it).

    Args:
        messages: The messages.
        tools: Tools on offer, in OpenAI's form.

    Example:
        ```python
        from langchain_voxtral.local.api.chat_messages import UserMessage, to_reading
        from langchain_voxtral.messages import Turn

        reading = to_reading([UserMessage(role="user", content="Hi")])
        assert reading.turns == (Turn("user", "Hi"),)
        ```
    """
    turns = [message.turn() for message in messages]
    prefill = ""
    if turns[-1].role == "assistant" and not turns[-1].tool_calls:
        prefill = turns.pop().text
    return ParsedPrompt("chat", tuple(turns), prefill, tuple(tools))
