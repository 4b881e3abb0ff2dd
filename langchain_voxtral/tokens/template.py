"""The model's own template (Tekken, version 7) as tokens, as `mistral-common` encodes it.

`MISTRAL` writes the same template as a string, in which a user's `[INST]` looks like a token. Here
special tokens are numbers and everything else is text, so that they cannot be taken for another.
"""

from collections.abc import Iterator, Mapping, Sequence

from langchain_voxtral.audio.pricing import audio_tokens
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages.turns import AudioPart, Turn
from langchain_voxtral.prompts.formats import MISTRAL
from langchain_voxtral.prompts.render import render_calls
from langchain_voxtral.tools.call_ids import to_mistral_call_id
from langchain_voxtral.tools.json_text import dumps

_BOS, _EOS = 1, 2
_AROUND = {"system": (17, 18), "user": (3, 4), "tool": (7, 8)}
"""The tokens around turns: `[SYSTEM_PROMPT]`, `[INST]`, `[TOOL_RESULTS]` and their ends."""
_TOOLS, _END_OF_TOOLS = 5, 6
_TOOL_CALLS = 9
_TOOL_CONTENT = 19
_AUDIO, _BEGIN_AUDIO = 24, 25

Tools = Sequence[Mapping[str, object]]
"""Tools in OpenAI's form."""


def token_parts(turns: Sequence[Turn], tools: Tools = ()) -> Iterator[int | str]:
    """Yield the special tokens of a conversation as their ids, and the texts between them.

    Each text is encoded on its own. The order of the turns is not checked. Tools stand before the
    last user turn, and at the end if there is none; a recording must say how long it is.

    Args:
        turns: The conversation; a last assistant turn without calls is continued by the answer.
        tools: Tools on offer.

    Raises:
        VoxtralInvalidRequestError: JSON cannot express a call or a tool, or the length of a
            recording is not known.
    """
    last_user = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=-1)
    yield _BOS
    for index, turn in enumerate(turns):
        if index == last_user:
            yield from _offered(tools)
        if turn.role != "assistant":
            opening, closing = _AROUND[turn.role]
            yield opening
            yield from _content(turn)
            yield closing
            continue
        yield turn.text.rstrip(" ")  # as the encoder does
        if turn.tool_calls:
            yield _TOOL_CALLS
            yield from render_calls(turn.tool_calls, MISTRAL.calls)
        if turn.tool_calls or index < len(turns) - 1:
            yield _EOS
    if last_user < 0:
        yield from _offered(tools)


def _offered(tools: Tools) -> Iterator[int | str]:
    if tools:
        yield _TOOLS
        yield dumps([_full(tool) for tool in tools], what="the tools")
        yield _END_OF_TOOLS


def _full(tool: Mapping[str, object]) -> object:
    """Return a tool with the fields that `mistral-common` writes."""
    function = tool.get("function")
    if not isinstance(function, Mapping) or "name" not in function:
        return tool
    described = {
        "name": function["name"],
        "description": function.get("description") or "",
        "parameters": function.get("parameters") or {},
    }
    return {"type": "function", "function": described}


def _content(turn: Turn) -> Iterator[int | str]:
    if turn.role == "tool":
        yield to_mistral_call_id(turn.tool_call_id or "")
        yield _TOOL_CONTENT
    for part in turn.content:
        if isinstance(part, str):
            yield part
        else:
            yield _BEGIN_AUDIO
            yield from [_AUDIO] * (audio_tokens(_seconds(part)) - 1)


def _seconds(recording: AudioPart) -> float:
    if recording.seconds is None:
        raise VoxtralInvalidRequestError(
            f"{recording.location}: how long the recording is is not known."
        )
    return recording.seconds
