"""Turns to the `messages` of a chat completions request."""

from collections.abc import Sequence
from typing import Any

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages.turns import ToolCall, Turn
from langchain_voxtral.tools.ids import mistral_call_id
from langchain_voxtral.tools.safe_json import dumps

__all__ = ["to_openai"]


def to_openai(turns: Sequence[Turn], *, instruction: str = "") -> list[dict[str, Any]]:
    """Return a conversation as the messages of OpenAI's chat completions API.

    Each turn is a message. A last assistant turn stays last: DeepInfra continues it. Ids of
    calls are nine letters and digits, as a server's Mistral template demands them.

    Args:
        turns: The conversation, as `to_turns` makes it.
        instruction: Trusted text that ends the first message if that is a system message, else
            a system message of its own, such as the JSON schema of the answer for a server
            that cannot constrain it.

    Raises:
        VoxtralInvalidRequestError: Arguments of a call that JSON cannot express; a result
            without its call's id.

    Example:
        ```python
        from langchain_voxtral.messages import Turn, to_openai

        assert to_openai([Turn("user", "Hello!")], instruction="Be brief.") == [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hello!"},
        ]
        ```
    """
    messages = [_message(index, turn) for index, turn in enumerate(turns)]
    if not instruction:
        return messages
    if not (messages and messages[0]["role"] == "system"):
        return [{"role": "system", "content": instruction}, *messages]
    first, *others = messages
    content = "\n\n".join(filter(None, (first["content"], instruction)))
    return [{**first, "content": content}, *others]


def _message(index: int, turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.text}
    if turn.tool_calls:
        message["content"] = turn.text or None
        message["tool_calls"] = [_call(call) for call in turn.tool_calls]
    if turn.role == "tool":
        if turn.tool_call_id is None:
            raise VoxtralInvalidRequestError(
                f"Turn {index} (tool) has no tool_call_id: give the id of the call that it answers."
            )
        message["tool_call_id"] = mistral_call_id(turn.tool_call_id)
    return message


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = dumps(call.arguments, what=f"the arguments of the call of {call.name!r}")
    return {
        "id": mistral_call_id(call.id),
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }
