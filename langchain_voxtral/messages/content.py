"""Content of a LangChain message to texts and recordings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages.audio_blocks import parse_audio_block
from langchain_voxtral.messages.turns import AudioPart, Role

_TEXT_KEYS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}

_CALLS = frozenset(
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
"""In an AI message: calls, which LangChain also keeps in `tool_calls`."""

_PROVIDERS_OWN = frozenset(
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
"""In an AI message: what another provider's model thought and what its server did by itself.

Only that provider can read it; the answer it led to is in the text. It is left out, so that
a conversation can move from another model to this one.
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
_ELSE = "only text can be sent: use {'type': 'text', 'text': ...}"


@dataclass(frozen=True, slots=True)
class MessageContent:
    """What a message says.

    Args:
        content: Its texts and recordings, in order.
        has_calls: Whether there were blocks that are tool calls.
    """

    content: Sequence[str | AudioPart]
    has_calls: bool = False


def parse_content(
    content: str | list[str | dict[str, object]], *, where: str, role: Role
) -> MessageContent:
    """Return what a message's content says.

    Texts are to be joined with nothing between, as LangChain's own `.text` does: providers split a
    text at any place (citations, streamed pieces), so anything between would change it.

    Args:
        content: A string, or a list of strings and content blocks.
        where: Which message this is, for errors.
        role: Whose it is. Of what a model wrote, its reasoning, and what its provider's server
            did by itself, is left out, and calls are only noted.

    Raises:
        VoxtralInvalidRequestError: A block is neither text nor a recording, or is a recording
            that no user sends.
    """
    if isinstance(content, str):
        return MessageContent([content])
    by_ai = role == "assistant"
    said: list[str | AudioPart] = []
    has_calls = False
    for index, block in enumerate(content):
        if isinstance(block, str):
            said.append(block)
            continue
        if not isinstance(block, Mapping):
            raise VoxtralInvalidRequestError(
                f"{where}, block {index}: {type(block).__name__} is no content block; {_ELSE}."
            )
        kind = str(block.get("type"))
        if by_ai and kind in _CALLS:
            has_calls = True
        elif not (by_ai and kind in _PROVIDERS_OWN):
            place = f"{where}, block {index}"
            heard = parse_audio_block(block, place)
            if heard is not None and role != "user":
                raise VoxtralInvalidRequestError(
                    f"{place}: a recording can only be in a user's message; put it into a "
                    "HumanMessage, or its words here."
                )
            said.append(_text(block, kind, place) if heard is None else heard)
    return MessageContent(said, has_calls)


def _text(block: Mapping[str, object], kind: str, where: str) -> str:
    key = _TEXT_KEYS.get(kind)
    if key is None:
        raise VoxtralInvalidRequestError(
            f"{where}: a block of type {block.get('type')!r} cannot be sent; "
            f"{_ADVICE.get(kind, _ELSE)}."
        )
    text = block.get(key)
    if not isinstance(text, str):
        raise VoxtralInvalidRequestError(
            f"{where}: the {key!r} of a {kind!r} block must be a string, not {type(text).__name__}."
        )
    return text
