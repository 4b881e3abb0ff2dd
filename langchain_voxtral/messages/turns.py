"""Turns: what a conversation is once LangChain's many message shapes are left behind."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool by the model.

    Args:
        id: The call's id, as the message carried it.
        name: The tool's name.
        arguments: Its arguments by name, JSON values.
    """

    id: str
    name: str
    arguments: dict[str, object]


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of a conversation.

    Args:
        role: Who speaks; `tool` is the result of a call.
        text: What is said, one string.
        tool_calls: Calls that an assistant turn makes.
        tool_call_id: For a tool turn, the id of the call it answers.
    """

    role: Role
    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
