"""Recordings in a conversation, made ready to be sent: fetched, checked, converted."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace

from langchain_voxtral.audio.sending import clip_for
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import AudioPart, Turn
from langchain_voxtral.transport import FetchRules, afetch, fetch
from langchain_voxtral.wire.servers import Server

__all__ = ["ahear", "hear"]


def hear(turns: Sequence[Turn], server: Server, rules: FetchRules | None = None) -> Sequence[Turn]:
    """Return a conversation with its recordings as the server takes them.

    Args:
        turns: The conversation.
        server: Who is to hear them.
        rules: What may be fetched from the web; None: nothing.

    Raises:
        VoxtralInvalidRequestError: A recording cannot be read, is too long, or is a URL that may
            not be fetched; the error says where it is.
        VoxtralMissingAudioExtraError: It must be converted, and the libraries are not installed.
        VoxtralConnectionError: It cannot be fetched.
        VoxtralTimeoutError: Fetching it took too long.
    """
    fetched = {
        url: fetch(url, name=where, rules=allowed) for url, where, allowed in _links(turns, rules)
    }
    return _ready(turns, server, fetched)


async def ahear(
    turns: Sequence[Turn], server: Server, rules: FetchRules | None = None
) -> Sequence[Turn]:
    """Do what `hear` does; neither fetching nor decoding blocks the event loop."""
    if not any(turn.parts for turn in turns):
        return turns
    fetched = {
        url: await afetch(url, name=where, rules=allowed)
        for url, where, allowed in _links(turns, rules)
    }
    return await asyncio.to_thread(_ready, turns, server, fetched)


def _links(turns: Sequence[Turn], rules: FetchRules | None) -> list[tuple[str, str, FetchRules]]:
    """Return each URL of a recording once, with its first place and what may be fetched."""
    places: dict[str, str] = {}
    for turn in turns:
        for part in turn.recordings:
            if part.url is not None:
                places.setdefault(part.url, part.where)
    if places and rules is None:
        raise VoxtralInvalidRequestError(
            f"{next(iter(places.values()))}: the recording is a URL, and URLs are not fetched: "
            "pass allow_audio_urls=True to the model if whoever writes messages may have it fetch "
            "from the web, or send the recording itself (audio_block(path))."
        )
    return [(url, where, rules) for url, where in places.items() if rules is not None]


def _ready(turns: Sequence[Turn], server: Server, fetched: Mapping[str, bytes]) -> Sequence[Turn]:
    return [_turn(turn, server, fetched) if turn.parts else turn for turn in turns]


def _turn(turn: Turn, server: Server, fetched: Mapping[str, bytes]) -> Turn:
    return turn.saying(
        part if isinstance(part, str) else _sendable(part, server, fetched) for part in turn.parts
    )


def _sendable(part: AudioPart, server: Server, fetched: Mapping[str, bytes]) -> AudioPart:
    data = part.data if part.url is None else fetched[part.url]
    clip = clip_for(
        data, takes=server.audio_formats, name=part.where, longest=server.longest_seconds
    )
    if len(clip.data) > server.most_bytes:
        raise VoxtralInvalidRequestError(
            f"{part.where}: the recording has {len(clip.data):,} bytes, and {server.most_bytes:,} "
            "can be sent: compress or shorten it, or transcribe it in pieces and send the text."
        )
    return replace(part, data=clip.data, kind=clip.kind, url=None)
