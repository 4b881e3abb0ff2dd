"""Recordings in a conversation, made ready to be sent: fetched, checked, converted."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

from langchain_voxtral.audio.formats import WAV
from langchain_voxtral.audio.upload import EncodedAudio, encode_for_upload
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import AudioPart, Turn
from langchain_voxtral.providers import Provider
from langchain_voxtral.transport import FetchPolicy, fetch_url

__all__ = ["AudioCache", "ahear", "hear", "seconds_heard"]

_MOST_KEPT = 64_000_000
"""Bytes: half an hour of sound, about what the model's context holds."""


class AudioCache:
    """Recordings as they were sent, so that a conversation that goes on converts none again.

    Converting five minutes takes a quarter of a second (flac) to one and a half (opus). The
    latest used are kept, by the hash of what they were made of. Threads need no lock: what is kept
    is replaced as a whole, and two at once make a clip twice at worst. Pickles and deep copies
    begin with none; all are equal, so that models are that hold them.

    Args:
        most_bytes: How much is kept at most.

    Example:
        ```python
        from langchain_voxtral.audio.wav import wav_header
        from langchain_voxtral.messages import AudioPart
        from langchain_voxtral.completions.audio_inputs import AudioCache
        from langchain_voxtral.providers import PROVIDERS

        part = AudioPart(wav_header(32_000) + bytes(32_000))
        assert AudioCache().clip(part, PROVIDERS["vllm"]).seconds == 1.0
        ```
    """

    def __init__(self, most_bytes: int = _MOST_KEPT) -> None:
        self._most_bytes = most_bytes
        self._kept: tuple[tuple[object, EncodedAudio], ...] = ()

    def clip(self, part: AudioPart, server: Provider) -> EncodedAudio:
        """Return a recording as a server takes it.

        Raises:
            VoxtralInvalidRequestError: It cannot be read, or is too long.
            VoxtralMissingAudioExtraError: It must be converted, and the libraries are not
                installed.
        """
        key = (server, sha256(part.data).digest())
        clip = next((clip for known, clip in self._kept if known == key), None)
        if clip is None:
            clip = encode_for_upload(
                part.data,
                accepted_formats=server.audio_formats,
                name=part.location,
                max_seconds=server.longest_seconds,
            )
        if clip.data is not part.data or clip.format != WAV:  # such a file is looked at in no time
            self._keep(key, clip)
        return clip

    def _keep(self, key: object, clip: EncodedAudio) -> None:
        kept, left = [], self._most_bytes
        for entry in [(key, clip), *(entry for entry in self._kept if entry[0] != key)]:
            if len(entry[1].data) <= left:
                left -= len(entry[1].data)
                kept.append(entry)
        self._kept = tuple(kept)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AudioCache)

    def __hash__(self) -> int:
        return hash(AudioCache)

    def __reduce__(self) -> tuple[Any, ...]:
        return AudioCache, (self._most_bytes,)


def hear(
    turns: Sequence[Turn],
    server: Provider,
    rules: FetchPolicy | None = None,
    clips: AudioCache | None = None,
) -> Sequence[Turn]:
    """Return a conversation with its recordings as the server takes them.

    Args:
        turns: The conversation.
        server: Who is to hear them.
        rules: What may be fetched from the web; None: nothing.
        clips: What was converted before.

    Raises:
        VoxtralInvalidRequestError: A recording cannot be read, is too long, or is a URL that may
            not be fetched; the error says where it is.
        VoxtralMissingAudioExtraError: It must be converted, and the libraries are not installed.
        VoxtralConnectionError: It cannot be fetched.
        VoxtralTimeoutError: Fetching it took too long.
    """
    fetched = {
        url: fetch_url(url, name=where, policy=allowed)
        for url, where, allowed in _links(turns, rules)
    }
    return _ready(turns, server, fetched, clips or AudioCache())


async def ahear(
    turns: Sequence[Turn],
    server: Provider,
    rules: FetchPolicy | None = None,
    clips: AudioCache | None = None,
) -> Sequence[Turn]:
    """Do what `hear` does; neither fetching nor decoding blocks the event loop."""
    if not any(turn.parts for turn in turns):
        return turns
    return await asyncio.to_thread(hear, turns, server, rules, clips)


def seconds_heard(turn: Turn, server: Provider, clips: AudioCache) -> list[float]:
    """Return how long the recordings of a turn are.

    Raises:
        VoxtralInvalidRequestError: One is a URL, which is not fetched for that; or it cannot be
            read, or is too long.
        VoxtralMissingAudioExtraError: It must be decoded, and the libraries are not installed.
    """
    for part in turn.audio:
        if part.url is not None:
            raise VoxtralInvalidRequestError(
                f"{part.location}: the recording is a URL, and how long it is is not known before "
                "it is fetched: send the recording itself (audio_block(path))."
            )
    return [clips.clip(part, server).seconds for part in turn.audio]


def _links(turns: Sequence[Turn], rules: FetchPolicy | None) -> list[tuple[str, str, FetchPolicy]]:
    """Return each URL of a recording once, with its first place and what may be fetched."""
    places: dict[str, str] = {}
    for turn in turns:
        for part in turn.audio:
            if part.url is not None:
                places.setdefault(part.url, part.location)
    if places and rules is None:
        raise VoxtralInvalidRequestError(
            f"{next(iter(places.values()))}: the recording is a URL, and URLs are not fetched: "
            "pass allow_audio_urls=True to the model if whoever writes messages may have it fetch "
            "from the web, or send the recording itself (audio_block(path))."
        )
    return [(url, where, rules) for url, where in places.items() if rules is not None]


def _ready(
    turns: Sequence[Turn], server: Provider, fetched: Mapping[str, bytes], clips: AudioCache
) -> Sequence[Turn]:
    def ready(part: str | AudioPart) -> str | AudioPart:
        if isinstance(part, str):
            return part
        if part.url is not None:
            part = replace(part, data=fetched[part.url], url=None)
        return _sendable(part, server, clips)

    return [turn.with_content(map(ready, turn.parts)) if turn.parts else turn for turn in turns]


def _sendable(part: AudioPart, server: Provider, clips: AudioCache) -> AudioPart:
    clip = clips.clip(part, server)
    if len(clip.data) > server.most_bytes:
        raise VoxtralInvalidRequestError(
            f"{part.location}: the recording has {len(clip.data):,} bytes, and "
            f"{server.most_bytes:,} can be sent: compress or shorten it, or transcribe it in "
            "pieces and send the text."
        )
    return replace(part, data=clip.data, format=clip.format)
