"""Recordings in content blocks, in all the forms that LangChain and OpenAI have had for them."""

import base64
import binascii
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote_to_bytes

from langchain_voxtral.audio.decoder import Recording
from langchain_voxtral.audio.formats import detect_format
from langchain_voxtral.audio.source import AudioInput, AudioSource
from langchain_voxtral.errors import VoxtralAudioError, VoxtralInvalidRequestError
from langchain_voxtral.messages.turns import AudioPart

__all__ = ["audio_block", "is_audio_block", "normalize_mime_type", "parse_audio_block"]

_INSTEAD = "Send the recording itself: audio_block(path) makes a block of it"

_HOLDERS = {"input_audio": "input_audio", "audio_url": "audio_url"}
"""Types of blocks that hold the recording in a dict of their own, under a key."""
_BY_MIME_TYPE = frozenset({"file", "input_file", "media"})
"""Types of blocks that may be recordings: their media type tells."""
_DATA = ("base64", "data", "file_data")
_STORED = ("file_id", "file_uri")
"""Keys under which a file of a provider's store is named."""

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
}
"""Media types in use for which there is a usual one."""


def normalize_mime_type(mime_type: str) -> str:
    """Return a media type without parameters and under its usual name.

    Example:
        ```python
        from langchain_voxtral.messages.audio_blocks import normalize_mime_type

        assert normalize_mime_type("Audio/X-WAV; codecs=1") == "audio/wav"
        ```
    """
    plain = mime_type.partition(";")[0].strip().lower()
    return _SYNONYMS.get(plain, plain)


def audio_block(
    source: AudioInput,
    *,
    mime_type: str | None = None,
) -> dict[str, Any]:
    """Return a recording as a standard content block of LangChain, for a `HumanMessage`.

    Any format may be given; what the model's server does not take is converted when it is sent.

    Args:
        source: A path, the file's bytes, a file opened for reading bytes (it is read from where
            it stands, and not closed), or the URL of a recording: `https://...`, which only a
            model with `allow_audio_urls=True` fetches, or `data:...`.
        mime_type: Media type of what a URL leads to. Of a file its content tells it, which is
            believed more than a name or this.

    Raises:
        VoxtralAudioError: It cannot be read, is no recording of a known kind, or is cut off.

    Example:
        ```python
        from langchain_voxtral import audio_block
        from langchain_voxtral.audio.wav import wav_header

        block = audio_block(wav_header(4) + bytes(4))
        assert block["type"] == "audio" and block["mime_type"] == "audio/wav"
        ```
    """
    if isinstance(source, str) and _WEB.match(source):
        told = {"mime_type": normalize_mime_type(mime_type)} if mime_type else {}
        return {"type": "audio", "url": source, **told}
    recording = _open(source)
    return {
        "type": "audio",
        "base64": base64.b64encode(recording.read()).decode(),
        "mime_type": Recording(recording).format.mime_type,
    }


def _open(source: AudioInput) -> AudioSource:
    if isinstance(source, str) and _DATA_URL.match(source):
        return AudioSource(_of_data_url(source, "the data: URL"), name="the data: URL")
    try:
        with AudioSource(source, rewind=False) as recording:
            return AudioSource(recording.read(), name=recording.name)
    except VoxtralAudioError as error:
        error.message += " Give the path of an audio file, its bytes, or a URL."
        raise


def parse_audio_block(block: Mapping[str, object], where: str) -> AudioPart | None:
    """Return the recording that a content block is, or None if it is none.

    What the block says of itself (its media type, format, name) is not believed: the content
    tells what the recording is, when it is sent.

    Args:
        block: A content block.
        where: Which block of which message this is, for errors.

    Raises:
        VoxtralInvalidRequestError: It is one, and there is none in it, or more than one, or
            what there is cannot be read.

    Example:
        ```python
        from langchain_voxtral.messages.audio_blocks import parse_audio_block

        block = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
        assert parse_audio_block(block, "block 0").data == b"RIFF"
        assert parse_audio_block({"type": "text", "text": "Hello!"}, "block 0") is None
        ```
    """
    if not is_audio_block(block):
        return None
    kind = str(block["type"])
    held = block.get(_HOLDERS[kind], {}) if kind in _HOLDERS else block
    if isinstance(held, str):
        held = {"url" if kind == "audio_url" else "data": held}
    if not isinstance(held, Mapping):
        raise _wrong(where, f"the {kind!r} of the block must be a dict, not {type(held).__name__}")
    _refuse_stored(held, where)
    sources = _given(held, (*_DATA, "url"))
    if len(sources) != 1:
        found = f"has {' and '.join(map(repr, sources))}" if sources else "has no recording in it"
        raise _wrong(where, f"the block of type {kind!r} {found}: give one, 'base64' or 'url'")
    [source] = sources
    value = held[source]
    if not isinstance(value, str):
        raise _wrong(
            where,
            f"its {source!r} must be a string, not {type(value).__name__}. {_INSTEAD}",
        )
    value = value.strip()
    if _DATA_URL.match(value):
        data = _of_data_url(value, where)
        return AudioPart(data, detect_format(data), location=where)
    if source != "url":
        data = _of_base64(value, where)
        return AudioPart(data, detect_format(data), location=where)
    if not _WEB.match(value):
        raise _wrong(where, f"its URL is none of http:, https: and data:. {_INSTEAD}")
    return AudioPart(url=value, location=where)


def is_audio_block(block: Mapping[str, object]) -> bool:
    """Tell whether a content block is a recording, by what it says of itself.

    Example:
        ```python
        from langchain_voxtral.messages.audio_blocks import is_audio_block

        assert is_audio_block({"type": "file", "mime_type": "audio/wav", "base64": "UklGRg=="})
        assert not is_audio_block({"type": "file", "mime_type": "application/pdf", "base64": ""})
        ```
    """
    kind, mime_type = str(block.get("type")), block.get("mime_type")
    if kind == "audio" or kind in _HOLDERS:
        return True
    is_typed = kind in _BY_MIME_TYPE and isinstance(mime_type, str)
    return is_typed and normalize_mime_type(str(mime_type)).startswith("audio/")


def _given(held: Mapping[str, object], keys: Iterable[str]) -> list[str]:
    return [key for key in keys if held.get(key) is not None]


def _refuse_stored(held: Mapping[str, object], where: str) -> None:
    # In the first form of LangChain's blocks `source_type` tells what the id is of.
    by_id = held.get("source_type") == "id"
    stored = _given(held, _STORED) or (["id"] if by_id else [])
    if stored:
        raise _wrong(
            where,
            f"it names a file in a provider's store ({stored[0]}), which cannot be read from "
            f"here. {_INSTEAD}",
        )


def _of_base64(text: str, where: str) -> bytes:
    try:
        try:
            data = base64.b64decode(text, validate=True)
        except binascii.Error:
            data = base64.b64decode(_plain_base64(text), validate=True)
    except ValueError as error:
        raise _wrong(where, f"the recording is no base64 ({error}). {_INSTEAD}") from error
    if not data:
        raise _wrong(where, f"the recording is empty. {_INSTEAD}")
    return data


def _plain_base64(text: str) -> str:
    """Return base64 as it is mostly written: on one line, in the usual alphabet, padded.

    Mail breaks it into lines, and URLs have an alphabet of their own and no padding (RFC 4648,
    sections 3.2 and 5). None of it leaves a doubt about the bytes.
    """
    joined = "".join(text.split()).translate(_FROM_URL_ALPHABET)
    return joined + "=" * (-len(joined) % 4)


def _of_data_url(url: str, where: str) -> bytes:
    """Decode a `data:` URL (RFC 2397)."""
    head, _, data = url.partition(",")
    content = unquote_to_bytes(data)
    if not head.lower().endswith(";base64"):
        return content
    return _of_base64(content.decode("ascii", "replace"), where)


def _wrong(where: str, what: str) -> VoxtralInvalidRequestError:
    return VoxtralInvalidRequestError(f"{where}: {what}.")
