"""Recordings in content blocks, in all forms that LangChain and OpenAI have had for them."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from langchain_voxtral.audio.formats import OTHER_FORMATS, detect_format
from langchain_voxtral.audio.source import AudioInput, AudioSource
from langchain_voxtral.errors import VoxtralAudioError, VoxtralInvalidRequestError
from langchain_voxtral.messages.turns import AudioPart

_ADVICE = "Send the recording itself: audio_block(path) makes a block of it"

_NESTED = frozenset({"input_audio", "audio_url"})
"""Types of blocks with the recording in a dict under the type's name."""
_WITH_MIME_TYPE = frozenset({"file", "input_file", "media"})
"""Types of blocks that are recordings if their media type is one."""
_OTHER_AUDIO_TYPES = frozenset(audio_format.mime_type for audio_format in OTHER_FORMATS)
"""Media types of recordings that are no `audio/`."""
_DATA_KEYS = ("base64", "data", "file_data")
_STORE_KEYS = ("file_id", "file_uri")
"""Keys that name a file in a provider's store."""

_FROM_URL_ALPHABET = str.maketrans("-_", "+/")

_DATA_URL = re.compile(r"data:(?P<type>[^,]*),", re.IGNORECASE)
_WEB = re.compile(r"https?://", re.IGNORECASE)

_SYNONYMS = {
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/mp3": "audio/mpeg",
    "audio/mpeg3": "audio/mpeg",
    "audio/x-mp3": "audio/mpeg",
    "audio/x-mpeg": "audio/mpeg",
    "audio/mpga": "audio/mpeg",
    "audio/x-flac": "audio/flac",
    "audio/x-aiff": "audio/aiff",
    "audio/aif": "audio/aiff",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "audio/mp4a-latm": "audio/mp4",
    "audio/opus": "audio/ogg",
    "audio/vorbis": "audio/ogg",
    "application/ogg": "audio/ogg",
    "audio/x-aac": "audio/aac",
    "audio/aacp": "audio/aac",
    "audio/x-matroska": "audio/matroska",
    "audio/amr-wb": "audio/amr",
    "audio/x-amr": "audio/amr",
    "audio/wma": "audio/x-ms-wma",
    "video/x-ms-asf": "audio/x-ms-wma",
    "video/x-ms-wmv": "audio/x-ms-wma",
    "video/avi": "video/x-msvideo",
    "video/mpeg2": "video/mpeg",
}
"""Media types in use, and the usual ones."""


def normalize_mime_type(mime_type: str) -> str:
    """Return a media type without parameters and under its usual name."""
    plain = mime_type.partition(";")[0].strip().lower()
    return _SYNONYMS.get(plain, plain)


def audio_block(source: AudioInput, *, mime_type: str | None = None) -> dict[str, Any]:
    """Return a recording as a standard content block of LangChain, for a `HumanMessage`.

    The recording may have any format; it is converted when it is sent, if the server needs that.

    Args:
        source: A path, the file's bytes, a file opened for reading bytes (it is read from its
            current position, and not closed), or a URL: `https://...`, which only a model with
            `allow_audio_urls=True` fetches, or `data:...`.
        mime_type: Media type of the recording at a URL. That of a file is detected from its
            content, whatever its name or this says.

    Raises:
        VoxtralAudioError: It cannot be read, is no recording of a known format, or is cut off.

    Example:
        ```python
        from langchain_core.messages import HumanMessage
        from langchain_voxtral import ChatVoxtral, audio_block

        question = {"type": "text", "text": "What is said?"}
        ChatVoxtral().invoke([HumanMessage([audio_block("talk.mp3"), question])])
        ```
    """
    if isinstance(source, str) and _WEB.match(source):
        type_field = {"mime_type": normalize_mime_type(mime_type)} if mime_type else {}
        return {"type": "audio", "url": source, **type_field}
    from langchain_voxtral.audio.decoder import Recording  # noqa: PLC0415 - large, rarely needed

    recording = _read_source(source)
    return {
        "type": "audio",
        "base64": base64.b64encode(recording.read()).decode(),
        "mime_type": Recording(recording).format.mime_type,
    }


def _read_source(source: AudioInput) -> AudioSource:
    if isinstance(source, str) and _DATA_URL.match(source):
        data, _ = _decode_data_url(source, "the data: URL")
        return AudioSource(data, name="the data: URL")
    try:
        with AudioSource(source, rewind=False) as recording:
            return AudioSource(recording.read(), name=recording.name)
    except VoxtralAudioError as error:
        error.message += " Give the path of an audio file, its bytes, or a URL."
        raise


def parse_audio_block(block: Mapping[str, object], where: str) -> AudioPart | None:
    """Return the recording in a content block, or None if it is no audio block.

    The content tells its format, whatever the block's media type or name says. `where` names the
    block in errors.

    Raises:
        VoxtralInvalidRequestError: There is no recording in it, or more than one, or it cannot be
            read.
    """
    if not is_audio_block(block):
        return None
    block_type = str(block["type"])
    content = block.get(block_type, {}) if block_type in _NESTED else block
    if isinstance(content, str):
        content = {"url" if block_type == "audio_url" else "data": content}
    if not isinstance(content, Mapping):
        raise _block_error(
            where, f"the {block_type!r} of the block must be a dict, not {type(content).__name__}"
        )
    _reject_stored(content, where)
    keys = _present(content, (*_DATA_KEYS, "url"))
    if len(keys) != 1:
        found = f"has {' and '.join(map(repr, keys))}" if keys else "has no recording in it"
        raise _block_error(
            where, f"the block of type {block_type!r} {found}: give one, 'base64' or 'url'"
        )
    [key] = keys
    value = content[key]
    if not isinstance(value, str):
        raise _block_error(
            where, f"its {key!r} must be a string, not {type(value).__name__}. {_ADVICE}"
        )
    value = value.strip()
    is_data_url = _DATA_URL.match(value)
    if key == "url" and not is_data_url:
        if not _WEB.match(value):
            raise _block_error(where, f"its URL is none of http:, https: and data:. {_ADVICE}")
        return AudioPart(url=value, location=where)
    decode = _decode_data_url if is_data_url else _decode_base64
    data, encoded = decode(value, where)
    return AudioPart(data, detect_format(data), base64=encoded, location=where)


def is_audio_block(block: Mapping[str, object]) -> bool:
    """Return whether a content block says that it is a recording."""
    block_type, mime_type = str(block.get("type")), block.get("mime_type")
    if block_type == "audio" or block_type in _NESTED:
        return True
    if block_type not in _WITH_MIME_TYPE or not isinstance(mime_type, str):
        return False
    usual = normalize_mime_type(mime_type)
    return usual.startswith("audio/") or usual in _OTHER_AUDIO_TYPES


def _present(content: Mapping[str, object], keys: Iterable[str]) -> list[str]:
    return [key for key in keys if content.get(key) is not None]


def _reject_stored(content: Mapping[str, object], where: str) -> None:
    # LangChain's first blocks had an id with this source type.
    stored = _present(content, _STORE_KEYS) or (
        ["id"] if content.get("source_type") == "id" else []
    )
    if stored:
        raise _block_error(
            where,
            f"it names a file in a provider's store ({stored[0]}), which cannot be read from "
            f"here. {_ADVICE}",
        )


def _decode_base64(text: str, where: str) -> tuple[bytes, str]:
    """Return the bytes, and the text if encoding them would make it again."""
    is_plain = True
    try:
        try:
            data = base64.b64decode(text, validate=True)
        except binascii.Error:
            is_plain = False
            data = base64.b64decode(_normalize_base64(text), validate=True)
    except ValueError as error:
        raise _block_error(where, f"the recording is no base64 ({error}). {_ADVICE}") from error
    if not data:
        raise _block_error(where, f"the recording is empty. {_ADVICE}")
    last = (len(data) - 1) // 3 * 3  # its unused bits may differ
    is_plain = is_plain and text.endswith(base64.b64encode(data[last:]).decode())
    return data, text if is_plain else ""


def _normalize_base64(text: str) -> str:
    """Return base64 on one line, in the standard alphabet, padded (RFC 4648, sections 3.2 and 5).

    Mail breaks it into lines; URLs have an alphabet of their own and no padding.
    """
    joined = "".join(text.split()).translate(_FROM_URL_ALPHABET)
    return joined + "=" * (-len(joined) % 4)


def _decode_data_url(url: str, where: str) -> tuple[bytes, str]:
    """Decode a `data:` URL (RFC 2397); return what `_decode_base64` does."""
    head, _, data = url.partition(",")
    content = unquote_to_bytes(data)
    if not head.lower().endswith(";base64"):
        return content, ""
    return _decode_base64(content.decode("ascii", "replace"), where)


def _block_error(where: str, what: str) -> VoxtralInvalidRequestError:
    return VoxtralInvalidRequestError(f"{where}: {what}.")
