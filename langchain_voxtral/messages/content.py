"""Content blocks of a LangChain message to texts and recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages.audio_blocks import parse_audio_block
from langchain_voxtral.messages.turns import AudioPart, Role

_TEXT_KEYS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}

_TOOL_CALL_TYPES = frozenset(
    {
        "custom_tool_call",
        "function_call",
        "input_json_delta",
        "invalid_tool_call",
        "tool_call",
        "tool_call_chunk",
        "tool_use",
    }
)
"""Blocks of an AI message that are calls, which LangChain also keeps in `tool_calls`."""

_PROVIDER_TYPES = frozenset(
    {
        "reasoning",
        "reasoning_content",
        "redacted_thinking",
        "thinking",
        "bash_code_execution_tool_result",
        "code_execution_result",
        "code_execution_tool_result",
        "code_interpreter_call",
        "executable_code",
        "file_search_call",
        "mcp_call",
        "mcp_list_tools",
        "mcp_tool_result",
        "mcp_tool_use",
        "server_tool_call",
        "server_tool_call_chunk",
        "server_tool_result",
        "server_tool_use",
        "text_editor_code_execution_tool_result",
        "web_fetch_tool_result",
        "web_search_call",
        "web_search_tool_result",
    }
)
"""Blocks of an AI message with another model's reasoning, or what its server did by itself.

They are left out, so that a conversation can move from another model to this one: only their
own provider can read them, and the answer is in the text.
"""

_IMAGE = "the model takes no images: describe it in a text block"
_FILE = (
    "the model takes no files but recordings (audio_block(path) makes a block of one): put the "
    "file's text into a text block"
)
_ADVICE = {
    "image": _IMAGE,
    "image_url": _IMAGE,
    "input_image": _IMAGE,
    "video": "the model takes no video: describe it in a text block",
    "document": _FILE,
    "file": _FILE,
    "input_file": _FILE,
    "media": _FILE,
    "text-plain": _FILE,
    "tool_result": "give the result as a ToolMessage with its tool_call_id",
}
_DEFAULT_ADVICE = "only text can be sent: use {'type': 'text', 'text': ...}"


@dataclass(frozen=True, slots=True)
class MessageContent:
    """The content of a message: texts and recordings in order; blocks of calls are only noted."""

    content: Sequence[str | AudioPart]
    has_tool_calls: bool = False


def parse_content(
    content: list[str | dict[str, object]], *, where: str, role: Role
) -> MessageContent:
    """Return the texts and recordings of a message's content; raise for any other block.

    Texts are to be joined with nothing between, as LangChain's own `.text` does: providers split
    a text at any place (citations, streamed pieces), so anything between would change it.
    """
    is_ai = role == "assistant"
    parts: list[str | AudioPart] = []
    has_tool_calls = False
    for index, block in enumerate(content):
        place = f"{where}, block {index}"
        if isinstance(block, str):
            parts.append(block)
        elif not isinstance(block, Mapping):
            raise VoxtralInvalidRequestError(
                f"{place}: {type(block).__name__} is no content block; {_DEFAULT_ADVICE}."
            )
        elif is_ai and block.get("type") in _TOOL_CALL_TYPES:
            has_tool_calls = True
        elif not (is_ai and block.get("type") in _PROVIDER_TYPES):
            parts.append(_text_or_audio(block, place, role))
    return MessageContent(parts, has_tool_calls)


def _text_or_audio(block: Mapping[str, object], where: str, role: Role) -> str | AudioPart:
    audio = parse_audio_block(block, where)
    if audio is not None:
        if role != "user":
            raise VoxtralInvalidRequestError(
                f"{where}: a recording can only be in a user's message; put it into a "
                "HumanMessage, or its words here."
            )
        return audio
    block_type = str(block.get("type"))
    key = _TEXT_KEYS.get(block_type)
    if key is None:
        raise VoxtralInvalidRequestError(
            f"{where}: a block of type {block.get('type')!r} cannot be sent; "
            f"{_ADVICE.get(block_type, _DEFAULT_ADVICE)}."
        )
    text = block.get(key)
    if not isinstance(text, str):
        raise VoxtralInvalidRequestError(
            f"{where}: the {key!r} of a {block_type!r} block must be a string, not "
            f"{type(text).__name__}."
        )
    return text
