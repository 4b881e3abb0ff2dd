"""Content blocks with text: running text, and documents, whose titles and sources are kept."""

import base64
import re
from collections.abc import Callable, Mapping

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.tools.json_text import dumps

_TEXT_KEYS = {"text": "text", "input_text": "text", "output_text": "text", "refusal": "refusal"}

_HEADINGS = {
    "id": "Id",
    "title": "Title",
    "filename": "File",
    "name": "File",
    "source": "Source",
    "url": "Source",
    "context": "Context",
}
"""What a document says of itself, and how that is written before its text."""
_DATA_KEYS = ("base64", "data")
_TEXT_TYPES = re.compile(r"text/|application/(.*\+)?(json|xml|yaml)\b", re.IGNORECASE)
"""Media types whose files are text."""

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
    "search_result": _FILE,
    "text-plain": _FILE,
    "tool_result": "give the result as a ToolMessage with its tool_call_id",
}
DEFAULT_ADVICE = "only text can be sent: use {'type': 'text', 'text': ...}"


def read_text(block: Mapping[str, object], where: str) -> str:
    """Return the text of a block; raise if it has none. `where` names the block in errors."""
    block_type = str(block.get("type"))
    if is_document(block):
        text = _DOCUMENTS[block_type](block, where)
    elif block_type in _TEXT_KEYS:
        key = _TEXT_KEYS[block_type]
        text = _string(block.get(key), f"{where}: the {key!r} of a {block_type!r} block")
    else:
        text = None
    if text is None:
        raise VoxtralInvalidRequestError(
            f"{where}: a block of type {block.get('type')!r} cannot be sent; "
            f"{_ADVICE.get(block_type, DEFAULT_ADVICE)}."
        )
    return text


def is_document(block: Mapping[str, object]) -> bool:
    """Return whether a block is text of its own: not to be joined with text beside it."""
    return str(block.get("type")) in _DOCUMENTS


def _read_file(block: Mapping[str, object], where: str) -> str | None:
    """Return the text of LangChain's or Google's block of a file, if the file is text."""
    text = block.get("text")
    if text is None and block.get("source_type") == "text":
        text = block.get("url")  # LangChain's first blocks had the text there
        block = {**block, "url": None}
    if text is None:
        default_type = "text/plain" if block.get("type") == "text-plain" else None
        text = _decode(block, block.get("mime_type") or default_type, where)
    return _with_headings(block, text, where)


def _read_document(block: Mapping[str, object], where: str) -> str | None:
    """Return the text of a document of Anthropic (with a `source`) or Cohere (`document`)."""
    source, document = block.get("source"), block.get("document")
    if isinstance(source, Mapping):
        if source.get("type") == "text":
            text = source.get("data")
        elif source.get("type") == "content":
            text = _join(source.get("content"), where)
        else:
            text = _decode(source, source.get("media_type"), where)
        return _with_headings(block, text, where)
    if isinstance(document, Mapping):
        data = document.get("data", document)
        text = data if isinstance(data, str) else dumps(data, what="the data of the document")
        return _with_headings(document if "data" in document else {}, text, where, shows_id=True)
    return _with_headings(block, document or block.get("text"), where)


def _read_search_result(block: Mapping[str, object], where: str) -> str | None:
    return _with_headings(block, _join(block.get("content"), where), where)


def _read_json(block: Mapping[str, object], where: str) -> str:
    if "json" not in block:
        raise VoxtralInvalidRequestError(f"{where}: the block of type 'json' has no 'json' in it.")
    value = block["json"]
    return value if isinstance(value, str) else dumps(value, what=f"the value of {where}")


def _read_output(block: Mapping[str, object], where: str) -> str | None:
    return _join(block.get("output"), where)


_DOCUMENTS: dict[str, Callable[[Mapping[str, object], str], str | None]] = {
    "custom_tool_call_output": _read_output,
    "document": _read_document,
    "file": _read_file,
    "json": _read_json,
    "media": _read_file,
    "search_result": _read_search_result,
    "text-plain": _read_file,
}


def _join(content: object, where: str) -> str | None:
    """Return a text, or the texts of blocks, each on lines of its own."""
    if not isinstance(content, list):
        return None if content is None else _string(content, f"{where}: the content")
    return "\n".join(_piece(piece, f"{where}, part {index}") for index, piece in enumerate(content))


def _piece(piece: object, where: str) -> str:
    if isinstance(piece, Mapping) and not is_document(piece):
        return read_text(piece, where)
    return _string(piece, f"{where}: the content")


def _decode(content: Mapping[str, object], media_type: object, where: str) -> str | None:
    """Return the text of a file in base64; None if it is no text."""
    data = next((content[key] for key in _DATA_KEYS if content.get(key) is not None), None)
    if data is None or not _TEXT_TYPES.match(str(media_type)):
        return None
    encoded = "".join(_string(data, f"{where}: the data").split())
    try:
        return base64.b64decode(encoded, validate=True).decode()
    except ValueError as error:
        raise VoxtralInvalidRequestError(
            f"{where}: the file is not UTF-8 text in base64 ({error}): put its text into a text "
            "block."
        ) from error


def _with_headings(
    content: Mapping[str, object], text: object, where: str, *, shows_id: bool = False
) -> str | None:
    """Return a document's text with what it says of itself before it; None if it has no text."""
    if text is None:
        return None
    extras = content.get("extras")
    known = {**(extras if isinstance(extras, Mapping) else {}), **content}
    lines = [
        f"{heading}: {known[key]}"
        for key, heading in _HEADINGS.items()
        if isinstance(known.get(key), str | int) and known[key] != "" and (key != "id" or shows_id)
    ]
    text = _string(text, f"{where}: the text")
    return "\n".join([*lines, "", text]) if lines else text


def _string(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise VoxtralInvalidRequestError(f"{what} must be a string, not {type(value).__name__}.")
    return value
