"""Content blocks of a LangChain message to texts and recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from langchain_core.messages import AIMessage, BaseMessage, ToolMessage

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages.audio_blocks import parse_audio_block
from langchain_voxtral.messages.result_audio import read_blocks
from langchain_voxtral.messages.text_blocks import DEFAULT_ADVICE, is_document, read_text
from langchain_voxtral.messages.turns import AudioPart, Role

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
    a text at any place (citations, streamed pieces), so anything between would change it. Only a
    document has a blank line between it and text beside it.
    """
    is_ai = role == "assistant"
    parts: list[str | AudioPart] = []
    has_tool_calls = was_document = False
    for index, block in enumerate(map(_unwrap, content)):
        place = f"{where}, block {index}"
        if isinstance(block, str):
            part: str | AudioPart = block
        elif not isinstance(block, Mapping):
            raise VoxtralInvalidRequestError(
                f"{place}: {type(block).__name__} is no content block; {DEFAULT_ADVICE}."
            )
        elif is_ai and block.get("type") in _TOOL_CALL_TYPES:
            has_tool_calls = True
            continue
        elif is_ai and block.get("type") in _PROVIDER_TYPES:
            continue
        else:
            part = _text_or_audio(block, place, role)
        if not part:
            continue
        is_apart = not isinstance(block, str) and is_document(block)
        are_texts = parts and isinstance(parts[-1], str) and isinstance(part, str)
        if are_texts and (is_apart or was_document):
            parts.append("\n\n")
        parts.append(part)
        was_document = is_apart
    return MessageContent(parts, has_tool_calls)


def _unwrap(block: object) -> object:
    """Return the block within a `non_standard` one, as `content_blocks` write unknown types."""
    if isinstance(block, Mapping) and block.get("type") == "non_standard":
        return block.get("value")
    return block


def _text_or_audio(block: Mapping[str, object], where: str, role: Role) -> str | AudioPart:
    audio = parse_audio_block(block, where)
    if audio is None:
        return read_text(block, where)
    if role not in {"user", "tool"}:
        raise VoxtralInvalidRequestError(
            f"{where}: a recording can only be in a user's message or a tool's result; put it "
            "into a HumanMessage, or its words here."
        )
    return audio


def with_plain_text(index: int, message: BaseMessage) -> BaseMessage:
    """Return the message of a number with its text as content; raise if it has more than text."""
    content = message.content
    if isinstance(message, ToolMessage) and isinstance(content, str):
        content = read_blocks(content) or content
    if isinstance(content, str):
        return message
    where = f"messages[{index}] ({message.type})"
    role: Role = "assistant" if isinstance(message, AIMessage) else "user"
    parsed = parse_content(content, where=where, role=role).content
    if not all(isinstance(part, str) for part in parsed):
        raise VoxtralInvalidRequestError(
            f"{where}: there is a recording, and an LLM sends a string: use ChatVoxtral, or have "
            "VoxtralTranscriber make text of it before."
        )
    return message.model_copy(update={"content": "".join(map(str, parsed))})
