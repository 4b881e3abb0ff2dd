"""Turns to the `messages` of a chat completions request."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages.mistral_order import arrange_for_mistral, with_valid_tool_names
from langchain_voxtral.messages.turns import AudioPart, ToolCall, Turn
from langchain_voxtral.providers import TurnOrder
from langchain_voxtral.tools.call_ids import to_mistral_call_id
from langchain_voxtral.tools.json_text import dumps

AudioPartEncoder = Callable[[bytes, str, str], dict[str, Any]]
"""Returns the content part for a recording, given its bytes, the short name of its format, and its
base64, if that is known."""


def to_openai(
    turns: Sequence[Turn],
    *,
    instruction: str = "",
    audio_part: AudioPartEncoder | None = None,
    turn_order: TurnOrder = "any",
) -> list[dict[str, Any]]:
    """Return a conversation as the messages of OpenAI's chat completions API.

    Each turn is a message. A last assistant turn stays last: servers continue it. Ids of calls
    are nine letters and digits, as a server's Mistral template demands them. The content of a
    turn with recordings is a list of parts in their order.

    Args:
        turns: The conversation.
        instruction: Trusted text that ends the first message if that is a system message, else
            a system message of its own, such as the JSON schema of the answer for a server
            that cannot constrain it. Beside recordings, which models take without system messages,
            it begins the user's messages like their text.
        audio_part: Encodes a recording as the server takes it; None if it takes none.
        turn_order: The order that the server takes.
    """
    if instruction:
        turns = _add_instruction(turns, Turn("system", instruction))
    keeps_system = not any(turn.audio for turn in turns)
    if turn_order == "mistral":
        arranged = arrange_for_mistral(turns, keeps_system=keeps_system)
        turns = [with_valid_tool_names(turn) for turn in arranged]
    elif not keeps_system:
        turns = merge_system_into_user(turns)
    return [_message(index, turn, audio_part) for index, turn in enumerate(turns)]


def merge_system_into_user(turns: Sequence[Turn]) -> list[Turn]:
    """Return a conversation whose system turns begin the user turns that follow, or are some.

    Voxtral's tokenizer rejects system turns beside audio (mistral-common, before tokenizer
    version 13).
    """
    merged: list[Turn] = []
    pending = Turn("user")
    for turn in turns:
        if turn.role == "system":
            pending = replace(turn, role="user").merged_after(pending)
        elif turn.role == "user":
            _append_user(merged, turn.merged_after(pending))
            pending = Turn("user")
        else:
            merged.append(turn)
    if pending.content:
        _append_user(merged, pending)
    return merged


def _append_user(turns: list[Turn], turn: Turn) -> None:
    # Without the system turn that stood between them, two user turns may meet.
    if turns and turns[-1].role == "user":
        turn = turn.merged_after(turns.pop())
    turns.append(turn)


def _add_instruction(turns: Sequence[Turn], instruction: Turn) -> Sequence[Turn]:
    if not (turns and turns[0].role == "system"):
        return [instruction, *turns]
    return [instruction.merged_after(turns[0]), *turns[1:]]


def _message(index: int, turn: Turn, audio_part: AudioPartEncoder | None) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.text}
    if turn.parts:
        message["content"] = [_part(part, audio_part) for part in turn.parts]
    if turn.tool_calls:
        message["content"] = turn.text or None
        message["tool_calls"] = [_call(call) for call in turn.tool_calls]
    if turn.role == "tool":
        if turn.tool_call_id is None:
            raise VoxtralInvalidRequestError(
                f"Turn {index} (tool) has no tool_call_id: give the id of the call that it answers."
            )
        message["tool_call_id"] = to_mistral_call_id(turn.tool_call_id)
    return message


def _part(part: str | AudioPart, audio_part: AudioPartEncoder | None) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    if audio_part is None or part.format is None:
        problem = "the server takes no recordings" if part.format else "it has not been loaded"
        raise VoxtralInvalidRequestError(f"{part.location}: a recording cannot be sent: {problem}.")
    return audio_part(part.data, part.format.name, part.base64)


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = dumps(call.arguments, what=f"the arguments of the call of {call.name!r}")
    return {
        "id": to_mistral_call_id(call.id),
        "type": "function",
        "function": {"name": call.name, "arguments": arguments},
    }
