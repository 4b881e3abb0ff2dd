"""Content of a LangChain message to one string."""

from collections.abc import Mapping
from dataclasses import dataclass

from langchain_voxtral.errors import VoxtralInvalidRequestError

__all__ = ["Flattened", "flatten"]

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

_AUDIO = "this version sends text only: transcribe the recording first and send its text"
_IMAGE = "the model takes no images: describe it in a text block"
_FILE = "the model takes no files: put the file's text into a text block"
_ADVICE = {
    "audio": _AUDIO,
    "audio_url": _AUDIO,
    "input_audio": _AUDIO,
    "image": _IMAGE,
    "image_url": _IMAGE,
    "input_image": _IMAGE,
    "video": "the model takes no video: describe it in a text block",
    "document": _FILE,
    "file": _FILE,
    "input_file": _FILE,
    "text-plain": _FILE,
    "tool_result": "give the result as a ToolMessage with its tool_call_id",
}
_ELSE = "only text can be sent: use {'type': 'text', 'text': ...}"


@dataclass(frozen=True, slots=True)
class Flattened:
    """The text of a message.

    Args:
        text: Its text, the blocks joined.
        has_calls: Whether there were blocks that are tool calls.
    """

    text: str
    has_calls: bool = False


def flatten(content: str | list[str | dict[str, object]], *, where: str, by_ai: bool) -> Flattened:
    """Return the text of a message's content.

    Blocks are joined with nothing between, as LangChain's own `.text` does: providers split a
    text at any place (citations, streamed pieces), so anything between would change it.

    Args:
        content: A string, or a list of strings and content blocks.
        where: Which message this is, for errors.
        by_ai: Whether a model wrote it: then its reasoning, and what its provider's server did
            by itself, is left out, and calls are only noted.

    Raises:
        VoxtralInvalidRequestError: A block is not text.
    """
    if isinstance(content, str):
        return Flattened(content)
    texts: list[str] = []
    has_calls = False
    for index, block in enumerate(content):
        if isinstance(block, str):
            texts.append(block)
            continue
        if not isinstance(block, Mapping):
            raise VoxtralInvalidRequestError(
                f"{where}, block {index}: {type(block).__name__} is no content block; {_ELSE}."
            )
        kind = str(block.get("type"))
        if by_ai and kind in _CALLS:
            has_calls = True
        elif not (by_ai and kind in _PROVIDERS_OWN):
            texts.append(_text(block, kind, f"{where}, block {index}"))
    return Flattened("".join(texts), has_calls)


def _text(block: Mapping[str, object], kind: str, where: str) -> str:
    key = _TEXT_KEYS.get(kind)
    if key is None:
        is_audio = str(block.get("mime_type")).startswith("audio/")
        advice = _AUDIO if is_audio else _ADVICE.get(kind, _ELSE)
        raise VoxtralInvalidRequestError(
            f"{where}: a block of type {block.get('type')!r} cannot be sent; {advice}."
        )
    text = block.get(key)
    if not isinstance(text, str):
        raise VoxtralInvalidRequestError(
            f"{where}: the {key!r} of a {kind!r} block must be a string, not {type(text).__name__}."
        )
    return text
