"""Recordings in a conversation, made ready to be sent: fetched, checked, converted."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import AudioPart, Turn
from langchain_voxtral.providers import Provider
from langchain_voxtral.transport import FetchPolicy, fetch_url, to_thread

if TYPE_CHECKING:
    from langchain_voxtral.audio.upload import EncodedAudio

_MAX_CACHED_BYTES = 64_000_000
"""Bytes: half an hour of sound, about what the model's context holds."""


class AudioCache:
    """Converted recordings, so that a conversation that goes on converts none again.

    Converting five minutes takes a quarter of a second (flac) to one and a half (opus). The
    latest used are kept, by the hash of what they were made of. Threads need no lock: what is kept
    is replaced as a whole, and two at once convert one twice at worst. Pickles and deep copies
    begin with none; all are equal, so that models are that hold them.

    Args:
        max_bytes: How much is kept at most.

    Example:
        ```python
        from langchain_voxtral.audio.wav import wav_header
        from langchain_voxtral.messages import AudioPart
        from langchain_voxtral.completions.audio_inputs import AudioCache
        from langchain_voxtral.providers import PROVIDERS

        part = AudioPart(wav_header(32_000) + bytes(32_000))
        assert AudioCache().get(part, PROVIDERS["vllm"]).seconds == 1.0
        ```
    """

    def __init__(self, max_bytes: int = _MAX_CACHED_BYTES) -> None:
        self._max_bytes = max_bytes
        self._kept: tuple[tuple[object, EncodedAudio], ...] = ()

    def get(self, part: AudioPart, server: Provider) -> "EncodedAudio":
        """Return a recording as a server takes it.

        Raises:
            VoxtralInvalidRequestError: It cannot be read, or is too long.
            VoxtralMissingAudioExtraError: It must be converted, and the libraries are not
                installed.
        """
        from langchain_voxtral.audio import upload  # noqa: PLC0415 - large

        data, formats = part.data, server.audio_formats
        limits: Any = {"name": part.location, "max_seconds": server.max_audio_seconds}
        # Hashing takes as long as finding out that a file can be sent as it is.
        unchanged = upload.find_unchanged(data, accepted_formats=formats, **limits)
        if unchanged is not None:
            return unchanged
        key = (server, sha256(data).digest())
        audio = next((audio for known, audio in self._kept if known == key), None)
        if audio is None:
            audio = upload.encode_for_upload(data, accepted_formats=formats, **limits)
        self._keep(key, audio)
        return audio

    def _keep(self, key: object, audio: "EncodedAudio") -> None:
        kept, left = [], self._max_bytes
        for entry in [(key, audio), *(entry for entry in self._kept if entry[0] != key)]:
            if len(entry[1].data) <= left:
                left -= len(entry[1].data)
                kept.append(entry)
        self._kept = tuple(kept)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, AudioCache)

    def __hash__(self) -> int:
        return hash(AudioCache)

    def __reduce__(self) -> tuple[Any, ...]:
        return AudioCache, (self._max_bytes,)


def load_audio(
    turns: Sequence[Turn],
    server: Provider,
    policy: FetchPolicy | None = None,
    cache: AudioCache | None = None,
) -> Sequence[Turn]:
    """Return a conversation with its recordings as the server takes them.

    Args:
        turns: The conversation.
        server: The server.
        policy: What may be fetched from the web; None: nothing.
        cache: What was converted before.

    Raises:
        VoxtralInvalidRequestError: A recording cannot be read, is too long, or is a URL that may
            not be fetched; the error says where it is.
        VoxtralMissingAudioExtraError: It must be converted, and the libraries are not installed.
        VoxtralConnectionError: It cannot be fetched.
        VoxtralTimeoutError: Fetching it took too long.
    """
    fetched = {
        url: fetch_url(url, name=where, policy=allowed)
        for url, where, allowed in _urls_to_fetch(turns, policy)
    }
    return _with_audio(turns, server, fetched, cache or AudioCache())


async def aload_audio(
    turns: Sequence[Turn],
    server: Provider,
    policy: FetchPolicy | None = None,
    cache: AudioCache | None = None,
) -> Sequence[Turn]:
    """Do what `load_audio` does; neither fetching nor decoding blocks the event loop."""
    return await to_thread(load_audio, turns, server, policy, cache)


def audio_durations(turns: Sequence[Turn], server: Provider, cache: AudioCache) -> list[float]:
    """Return the seconds of each recording of a conversation.

    Raises:
        VoxtralInvalidRequestError: One is a URL, which is not fetched for that; or it cannot be
            read, or is too long.
        VoxtralMissingAudioExtraError: It must be decoded, and the libraries are not installed.
    """
    parts = [part for turn in turns for part in turn.audio]
    for part in parts:
        if part.url is not None:
            raise VoxtralInvalidRequestError(
                f"{part.location}: the recording is a URL, and how long it is is not known before "
                "it is fetched: send the recording itself (audio_block(path))."
            )
    return [cache.get(part, server).seconds for part in parts]


def _urls_to_fetch(
    turns: Sequence[Turn], policy: FetchPolicy | None
) -> list[tuple[str, str, FetchPolicy]]:
    """Return each URL of a recording once, with its first place and what may be fetched."""
    places: dict[str, str] = {}
    for turn in turns:
        for part in turn.audio:
            if part.url is not None:
                places.setdefault(part.url, part.location)
    if places and policy is None:
        raise VoxtralInvalidRequestError(
            f"{next(iter(places.values()))}: the recording is a URL, and URLs are not fetched: "
            "pass allow_audio_urls=True to the model if whoever writes messages may have it fetch "
            "from the web, or send the recording itself (audio_block(path))."
        )
    return [(url, where, policy) for url, where in places.items() if policy is not None]


def _with_audio(
    turns: Sequence[Turn], server: Provider, fetched: Mapping[str, bytes], cache: AudioCache
) -> Sequence[Turn]:
    def load(part: str | AudioPart) -> str | AudioPart:
        if isinstance(part, str):
            return part
        if part.url is not None:
            part = replace(part, data=fetched[part.url], url=None)
        return _to_upload(part, server, cache)

    return [turn.with_content(map(load, turn.parts)) if turn.parts else turn for turn in turns]


def _to_upload(part: AudioPart, server: Provider, cache: AudioCache) -> AudioPart:
    audio = cache.get(part, server)
    if len(audio.data) > server.max_audio_bytes:
        raise VoxtralInvalidRequestError(
            f"{part.location}: the recording has {len(audio.data):,} bytes, and "
            f"{server.max_audio_bytes:,} can be sent: compress or shorten it, or transcribe it in "
            "pieces and send the text."
        )
    base64 = part.base64 if audio.data is part.data else ""
    return replace(part, data=audio.data, format=audio.format, base64=base64)
