"""Recordings in content blocks, in all forms that LangChain and OpenAI have had for them."""

import base64
import binascii
import re
from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from langchain_voxtral.audio.formats import OTHER_FORMATS, detect_format
from langchain_voxtral.audio_store import is_file_id, is_like_file_id
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages.turns import AudioPart

_ADVICE = "Send the recording itself: audio_block(path) makes a block of it"

_NESTED = frozenset({"input_audio", "audio_url"})
"""Types of blocks with the recording in a dict under the type's name."""
_WITH_MIME_TYPE = frozenset({"file", "input_file", "media"})
"""Types of blocks that are recordings if their media type is one."""
_OTHER_AUDIO_TYPES = frozenset(audio_format.mime_type for audio_format in OTHER_FORMATS)
"""Media types of recordings that are no `audio/`."""
RECORDING_KEYS = ("base64", "data", "file_data", "url")

_MAX_NAME = 200
"""Characters of a name that errors show."""
_MAX_SECONDS = 1e9
"""No recording is as long."""

_FROM_URL_ALPHABET = str.maketrans("-_", "+/")

DATA_URL = re.compile(r"data:(?P<type>[^,]*),", re.IGNORECASE)
WEB_URL = re.compile(r"https?://", re.IGNORECASE)

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
    block_type, content = str(block["type"]), content_of(block)
    if not isinstance(content, Mapping):
        raise _block_error(
            where, f"the {block_type!r} of the block must be a dict, not {type(content).__name__}"
        )
    file_id = _stored_id(content, where)
    keys = [key for key in RECORDING_KEYS if content.get(key) is not None]
    if file_id is not None and not keys:
        name, seconds, _ = stated_facts(block)
        place = where if name is None else f"{where} ({name[:_MAX_NAME]})"
        return AudioPart(file_id=file_id, name=name, seconds=seconds, location=place)
    keys += ["file_id"] if file_id is not None else []
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
    is_data_url = DATA_URL.match(value)
    if key == "url" and not is_data_url:
        if not WEB_URL.match(value):
            raise _block_error(where, f"its URL is none of http:, https: and data:. {_ADVICE}")
        return AudioPart(url=value, location=where)
    decode = decode_data_url if is_data_url else _decode_base64
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


def content_of(block: Mapping[str, object]) -> object:
    """Return what has the recording of an audio block: the block, or what is in it."""
    block_type = str(block["type"])
    content = block.get(block_type, {}) if block_type in _NESTED else block
    if isinstance(content, str):
        return {"url" if block_type == "audio_url" else "data": content}
    return content


def _stored_id(content: Mapping[str, object], where: str) -> str | None:
    """Return the id by which a block names a recording in a store of ours, if it does."""
    # LangChain's first blocks had an id with this source type.
    key = "id" if content.get("source_type") == "id" else "file_id"
    file_id = content.get(key)
    if isinstance(file_id, str) and is_file_id(file_id):
        return file_id
    if isinstance(file_id, str) and is_like_file_id(file_id):
        raise _block_error(
            where,
            f"its {key} {file_id[:100]!r} is no 'sha256:' with 64 lower-case hexadecimal digits, "
            "as audio_block(path, store=...) writes it",
        )
    key = key if file_id is not None else "file_uri"
    if content.get(key) is not None:
        raise _block_error(
            where,
            f"it names a file in a provider's store ({key}), which cannot be read from here. "
            f"{_ADVICE}",
        )
    return None


def stated_facts(block: Mapping[str, object]) -> tuple[str | None, float | None, str | None]:
    """Return name, seconds and transcript of a recording, as far as its block states them.

    The name has one line, so that it forges no line of an error or of a description.
    """
    extras = block.get("extras")
    stated = extras if isinstance(extras, Mapping) else {}
    name, seconds, transcript = map(stated.get, ("name", "seconds", "transcript"))
    return (
        " ".join(name.split()) if isinstance(name, str) else None,
        seconds if isinstance(seconds, int | float) and 0 < seconds < _MAX_SECONDS else None,
        transcript if isinstance(transcript, str) else None,
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


def decode_data_url(url: str, where: str) -> tuple[bytes, str]:
    """Decode a `data:` URL (RFC 2397); return what `_decode_base64` does."""
    head, _, data = url.partition(",")
    content = unquote_to_bytes(data)
    if not head.lower().endswith(";base64"):
        return content, ""
    return _decode_base64(content.decode("ascii", "replace"), where)


def _block_error(where: str, what: str) -> VoxtralInvalidRequestError:
    return VoxtralInvalidRequestError(f"{where}: {what}.")
