"""Recordings: formats, decoding, chunks, prices and subtitles.

Formats, prices, subtitles and the headers of WAV and MP3 files need only the base install. Decoding
needs an extra: `pip install "langchain-voxtral[audio]"`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langchain_voxtral.audio.decoder import Recording

__all__ = ["Recording"]


def __getattr__(name: str) -> Any:
    if name == "Recording":  # on first use: conversations without recordings need no decoder
        from langchain_voxtral.audio.decoder import Recording  # noqa: PLC0415

        return Recording
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
