"""Recordings in a conversation, made ready to be sent: fetched, checked, converted."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from langchain_voxtral.audio_store import (
    AudioStore,
    aread_recordings,
    file_id_of,
    read_recordings,
)
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import AudioPart, Turn
from langchain_voxtral.providers import Provider
from langchain_voxtral.transport import FetchPolicy, fetch_url, to_thread

if TYPE_CHECKING:
    from langchain_voxtral.audio.upload import EncodedAudio

_MAX_CACHED_BYTES = 64_000_000
"""Bytes: half an hour of sound, about what the model's context holds."""


AudioKey = tuple[Provider, AudioStore | None, str]
"""The server, the store of a recording that a message names, and the recording's id.

What was read from one store cannot be named in another, though copies of a model share a cache.
"""


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
        self._kept: tuple[tuple[AudioKey, EncodedAudio], ...] = ()

    def get(self, part: AudioPart, server: Provider) -> "EncodedAudio":
        """Return a recording as a server takes it.

        Raises:
            VoxtralInvalidRequestError: It cannot be read, or is too long.
            VoxtralMissingAudioExtraError: It must be converted, and the libraries are not
                installed.
        """
        from langchain_voxtral.audio import upload  # noqa: PLC0415 - large

        # Hashing takes as long as finding out that a file can be sent as it is.
        limits = _limits(server, part.location)
        unchanged = upload.find_unchanged(part.data, **limits)
        if unchanged is not None:
            return unchanged
        key = (server, None, file_id_of(part.data))
        return self.find(key) or self.encode(key, part.data, part.location)

    def find(self, key: AudioKey) -> "EncodedAudio | None":
        """Return a recording that was converted before."""
        audio = next((audio for known, audio in self._kept if known == key), None)
        if audio is not None:
            self._keep(key, audio)
        return audio

    def encode(self, key: AudioKey, data: bytes, place: str) -> "EncodedAudio":
        """Return the recording of a key as its server takes it; see `get`."""
        from langchain_voxtral.audio import upload  # noqa: PLC0415 - large

        audio = upload.encode_for_upload(data, **_limits(key[0], place))
        self._keep(key, audio)
        return audio

    def _keep(self, key: AudioKey, audio: "EncodedAudio") -> None:
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


def _limits(server: Provider, place: str) -> dict[str, Any]:
    return {
        "name": place,
        "accepted_formats": server.audio_formats,
        "max_seconds": server.max_audio_seconds,
    }


def load_audio(
    turns: Sequence[Turn],
    server: Provider,
    policy: FetchPolicy | None = None,
    cache: AudioCache | None = None,
    store: AudioStore | None = None,
) -> Sequence[Turn]:
    """Return a conversation with its recordings as the server takes them.

    Args:
        turns: The conversation.
        server: The server.
        policy: What may be fetched from the web; None: nothing.
        cache: What was converted before.
        store: Where recordings are that are named by ids; None: nowhere.

    Raises:
        VoxtralInvalidRequestError: A recording cannot be read, is too long, is a URL that may
            not be fetched, or is not in the store; the error says where it is named.
        VoxtralMissingAudioExtraError: It must be converted, and the libraries are not installed.
        VoxtralConnectionError: It cannot be fetched.
        VoxtralTimeoutError: Fetching it took too long.
    """
    stored = StoredAudio(_recordings(turns), server, cache or AudioCache(), store)
    return _load(turns, policy, stored, stored.read())


async def aload_audio(
    turns: Sequence[Turn],
    server: Provider,
    policy: FetchPolicy | None = None,
    cache: AudioCache | None = None,
    store: AudioStore | None = None,
) -> Sequence[Turn]:
    """Do what `load_audio` does; neither reading, fetching nor decoding blocks the event loop."""
    stored = StoredAudio(_recordings(turns), server, cache or AudioCache(), store)
    return await to_thread(_load, turns, policy, stored, await stored.aread())


def with_seconds(
    turns: Sequence[Turn], server: Provider, cache: AudioCache, store: AudioStore | None = None
) -> Sequence[Turn]:
    """Return a conversation whose recordings say how long they are.

    One that is named by its id is as long as its block says; if that says nothing, it is read.

    Raises:
        VoxtralInvalidRequestError: One is a URL, which is not fetched for that; or it cannot be
            read, is too long, or is not in the store.
        VoxtralMissingAudioExtraError: It must be decoded, and the libraries are not installed.
    """
    parts = _recordings(turns)
    if not parts:
        return turns
    for part in parts:
        if part.url is not None:
            raise VoxtralInvalidRequestError(
                f"{part.location}: the recording is a URL, and how long it is is not known before "
                "it is fetched: send the recording itself (audio_block(path))."
            )
    stored = StoredAudio([part for part in parts if not part.seconds], server, cache, store)
    stored.add(stored.read())

    def measure(part: str | AudioPart) -> str | AudioPart:
        if isinstance(part, str) or part.seconds:
            return part
        return replace(part, seconds=stored.get(part).seconds)

    return [turn.with_content(map(measure, turn.parts)) if turn.parts else turn for turn in turns]


class StoredAudio:
    """Recordings as the server takes them; those that are named by ids are read from a store.

    Args:
        parts: The recordings of a conversation.
        server: The server.
        cache: What was read and converted before, and is not read again.
        store: Where they are.
    """

    def __init__(
        self,
        parts: Iterable[AudioPart],
        server: Provider,
        cache: AudioCache,
        store: AudioStore | None,
    ) -> None:
        self.server, self._cache, self._store = server, cache, store
        self._ready: dict[str, EncodedAudio] = {}
        self._places: dict[str, str] = {}  # of those that are to be read
        for part in parts:
            if part.file_id is None or part.file_id in self._ready:
                continue
            # Without a store nothing can be named, what was sent in a block before included.
            kept = cache.find(self._key(part.file_id)) if store is not None else None
            if kept is not None:
                self._ready[part.file_id] = kept
            else:
                self._places.setdefault(part.file_id, part.location)

    def read(self) -> dict[str, bytes]:
        """Return those that are to be read, by their ids."""
        return read_recordings(self._store, self._places)

    async def aread(self) -> dict[str, bytes]:
        """Do what `read` does, asynchronously."""
        return await aread_recordings(self._store, self._places)

    def add(self, recordings: dict[str, bytes]) -> None:
        """Convert what was read."""
        for file_id, data in recordings.items():
            place = self._places[file_id]
            self._ready[file_id] = self._cache.encode(self._key(file_id), data, place)

    def get(self, part: AudioPart) -> "EncodedAudio":
        """Return a recording as the server takes it."""
        known = self._ready[part.file_id] if part.file_id is not None else None
        return known or self._cache.get(part, self.server)

    def _key(self, file_id: str) -> AudioKey:
        return (self.server, self._store, file_id)


def _recordings(turns: Iterable[Turn]) -> list[AudioPart]:
    return [part for turn in turns for part in turn.audio]


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


def _load(
    turns: Sequence[Turn],
    policy: FetchPolicy | None,
    stored: StoredAudio,
    recordings: dict[str, bytes],
) -> Sequence[Turn]:
    fetched = {
        url: fetch_url(url, name=where, policy=allowed)
        for url, where, allowed in _urls_to_fetch(turns, policy)
    }
    stored.add(recordings)

    def load(part: str | AudioPart) -> str | AudioPart:
        if isinstance(part, str):
            return part
        if part.url is not None:
            part = replace(part, data=fetched[part.url], url=None)
        return _to_upload(part, stored)

    return [turn.with_content(map(load, turn.parts)) if turn.parts else turn for turn in turns]


def _to_upload(part: AudioPart, stored: StoredAudio) -> AudioPart:
    audio, server = stored.get(part), stored.server
    if len(audio.data) > server.max_audio_bytes:
        raise VoxtralInvalidRequestError(
            f"{part.location}: the recording has {len(audio.data):,} bytes, and "
            f"{server.max_audio_bytes:,} can be sent: compress or shorten it, or transcribe it in "
            "pieces and send the text."
        )
    base64 = part.base64 if audio.data is part.data else ""
    return replace(
        part,
        data=audio.data,
        format=audio.format,
        base64=base64,
        file_id=None,
        seconds=audio.seconds,
    )
