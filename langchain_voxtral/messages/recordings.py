"""`audio_block`: a recording as a content block, with the sound or by reference."""

import base64
from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePath
from typing import Any

from langchain_voxtral.audio.source import AudioInput, AudioSource
from langchain_voxtral.audio_store import AudioStore, file_id_of, open_store, to_key
from langchain_voxtral.errors import (
    VoxtralAudioError,
    VoxtralInvalidRequestError,
    VoxtralMissingAudioExtraError,
)
from langchain_voxtral.messages.audio_blocks import (
    DATA_URL,
    WEB_URL,
    decode_data_url,
    is_audio_block,
    normalize_mime_type,
    stated_facts,
)


def audio_block(
    source: AudioInput,
    *,
    mime_type: str | None = None,
    store: AudioStore | None = None,
    transcript: str | None = None,
) -> dict[str, Any]:
    """Return a recording as a standard content block of LangChain, for a `HumanMessage`.

    The recording may have any format; it is converted when it is sent, if the server needs that.

    With a store the recording is put into it, and the block names it by its SHA-256 hash: the
    messages stay small, in checkpoints, traces and counts. A model with that store as its
    `audio_store` reads it when a request is made. Without a store the block holds the recording.

    Args:
        source: A path, the file's bytes, a file opened for reading bytes (it is read from its
            current position, and not closed), or a URL: `https://...`, which only a model with
            `allow_audio_urls=True` fetches, or `data:...`.
        mime_type: Media type of the recording at a URL. That of a file is detected from its
            content, whatever its name or this says.
        store: Where the recording is put: a `BaseStore[str, bytes]` (`LocalFileStore` of
            `langchain-classic`, `InMemoryByteStore`, ...), or `"cache"`: a folder in the user's
            cache directory, which `VOXTRAL_CACHE` moves.
        transcript: What is said in it, if that is known. `describe_audio(block)` puts it into words
            for the messages.

    Returns:
        The block. Its `extras` have the `transcript`, and with a store the `name` of the file and
        the `seconds` that it lasts, as far as they are known.

    Raises:
        VoxtralAudioError: It cannot be read, is no recording of a known format, or is cut off.
        VoxtralInvalidRequestError: The store is none, a web address is to be put into one, or
            the transcript is no text.

    Example:
        ```python
        from langchain_core.messages import HumanMessage
        from langchain_voxtral import ChatVoxtral, audio_block

        question = {"type": "text", "text": "What is said?"}
        chat = ChatVoxtral(base_url="local", audio_store="cache")
        chat.invoke([HumanMessage([audio_block("talk.mp3"), question])])

        stored = audio_block("talk.mp3", store="cache")
        chat.invoke([HumanMessage([stored, question])])
        ```
    """
    if store is not None:
        opened = open_store(store)
        block, data = read_for_store(source, transcript)
        opened.mset([(to_key(block["file_id"]), data)])
        return block
    extras = _stated(transcript=transcript)
    if isinstance(source, str) and WEB_URL.match(source):
        type_field = {"mime_type": normalize_mime_type(mime_type)} if mime_type else {}
        return {"type": "audio", "url": source, **type_field, **extras}
    from langchain_voxtral.audio.decoder import Recording  # noqa: PLC0415 - large, rarely needed

    recording = _read_source(source)
    return {
        "type": "audio",
        "base64": base64.b64encode(recording.read()).decode(),
        "mime_type": Recording(recording).format.mime_type,
        **extras,
    }


def describe_audio(block: Mapping[str, Any]) -> dict[str, str]:
    """Return a text block that says what a recording is, and what is said in it if that is known.

    Put it beside the recording's block: LangChain's summaries read texts, and none of a block's
    `extras`, so without it the words are lost when the message is summed up. It is sent to the
    model too, as any text.

    Args:
        block: The block of a recording, as `audio_block` makes it.

    Raises:
        VoxtralInvalidRequestError: It is no block of a recording.

    Example:
        ```python
        from langchain_voxtral import describe_audio

        extras = {"name": "talk.mp3", "seconds": 2.5, "transcript": "Hello."}
        block = {"type": "audio", "file_id": f"sha256:{'0' * 64}", "extras": extras}
        text = "(Recording talk.mp3, 2.5 s. Transcript: Hello.)"
        assert describe_audio(block) == {"type": "text", "text": text}
        ```
    """
    is_block = isinstance(block, Mapping)
    if not is_block or not is_audio_block(block):
        given = f"block of type {block.get('type')!r}" if is_block else type(block).__name__
        raise VoxtralInvalidRequestError(f"A {given} is no recording: give what audio_block made.")
    name, seconds, transcript = stated_facts(block)
    title = "Recording" if name is None else f"Recording {name}"
    length = "" if seconds is None else f", {seconds:.1f} s"
    words = "" if transcript is None else f" Transcript: {transcript}"
    return {"type": "text", "text": f"({title}{length}.{words})"}


def read_for_store(source: AudioInput, transcript: str | None) -> tuple[dict[str, Any], bytes]:
    """Return the block of a recording that is put into a store, and the recording."""
    from langchain_voxtral.audio.decoder import Recording  # noqa: PLC0415 - large, rarely needed

    if isinstance(source, str) and WEB_URL.match(source):
        raise VoxtralInvalidRequestError(
            f"{source[:200]!r} is an address, which is not fetched for a store: download the "
            "recording, and give its path or its bytes."
        )
    read = _read_source(source)
    recording, data = Recording(read), read.read()
    seconds = None
    with suppress(VoxtralMissingAudioExtraError):
        seconds = recording.duration
    name = None if read.name == _DATA_URL_NAME else read.name
    block = {
        "type": "audio",
        "file_id": file_id_of(data),
        "mime_type": recording.format.mime_type,
        **_stated(name=name, seconds=seconds, transcript=transcript),
    }
    return block, data


def _stated(
    *, name: str | None = None, seconds: float | None = None, transcript: str | None
) -> dict[str, Any]:
    """Return the `extras` of a block, if there are any."""
    if not isinstance(transcript, str | None):
        raise VoxtralInvalidRequestError(
            f"transcript= must be a string, not {type(transcript).__name__}; of a Document give "
            "its page_content."
        )
    # No message can carry the bytes of a name that is no UTF-8.
    plain_name = PurePath(name or "").name.encode(errors="replace").decode()
    facts = {"name": plain_name or None, "seconds": seconds, "transcript": transcript}
    extras = {key: value for key, value in facts.items() if value is not None}
    return {"extras": extras} if extras else {}


_DATA_URL_NAME = "the data: URL"


def _read_source(source: AudioInput) -> AudioSource:
    if isinstance(source, str) and DATA_URL.match(source):
        data, _ = decode_data_url(source, _DATA_URL_NAME)
        return AudioSource(data, name=_DATA_URL_NAME)
    try:
        with AudioSource(source, rewind=False) as recording:
            return AudioSource(recording.read(), name=recording.name)
    except VoxtralAudioError as error:
        error.message += " Give the path of an audio file, its bytes, or a URL."
        raise
