"""Recordings: formats, decoding, chunks, prices and subtitles.

Formats, prices, subtitles and the headers of WAV and MP3 files need only the base install. Decoding
needs an extra: `pip install "langchain-voxtral[audio]"`.
"""

from langchain_voxtral.audio.decoder import Recording

__all__ = ["Recording"]
