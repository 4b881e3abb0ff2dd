"""What a minute of audio costs the parser of an actor, by format and length."""

import asyncio
import io
import time
from pathlib import Path

import av

from benchmarks.datasets.server import Server
from langchain_voxtral import VoxtralTranscriptionParser

_SPEECH = Path("tests/speech")
_RATE = 16_000
FORMATS = {
    "WAV": ("wav", "pcm_s16le"),
    "MP3": ("mp3", "libmp3lame"),
    "M4A": ("ipod", "aac"),
}
_REPEATS = {1: 10, 30: 1}
"""Minutes of a recording: how often it is transcribed."""


def encoded_minute(name: str) -> bytes:
    """Return a minute of speech in a format."""
    return _encode(_speech(60), *FORMATS[name])


def measure(server: Server) -> list[list[str]]:
    """Return rows: recording, MB that are sent a minute, requests, milliseconds of CPU a minute."""
    return asyncio.run(_measure(server))


async def _measure(server: Server) -> list[list[str]]:
    table = []
    speech = _speech(60)
    async with VoxtralTranscriptionParser(
        base_url=server.base_url, max_concurrency=1, on_error="mark", progress=False
    ) as parser:
        for minutes, repeats in _REPEATS.items():
            for name, form in FORMATS.items():
                recording = _encode(speech * minutes, *form)
                await parser.aparse(recording)  # imports, and opens the connection
                server.reset(0)
                start = time.process_time()
                for _ in range(repeats):
                    await parser.aparse(recording)
                each = (time.process_time() - start) / repeats / minutes * 1000
                stats = server.stats()
                megabytes = stats.received / repeats / minutes / 1e6
                title = f"{name}, {minutes} min"
                requests = f"{stats.requests / repeats:.0f}"
                table.append([title, f"{megabytes:.2f}", requests, f"{each:.1f}"])
    return table


def _speech(seconds: int) -> bytes:
    """Return samples of the repository's English recordings, 16 kHz, mono."""
    sound = b""
    for file in sorted(_SPEECH.glob("austen_*.flac")):
        resampler = av.AudioResampler(format="s16", layout="mono", rate=_RATE)
        with av.open(str(file)) as container:
            for frame in [*container.decode(audio=0), None]:
                for part in resampler.resample(frame):
                    sound += part.to_ndarray().tobytes()
    size = 2 * _RATE * seconds
    return (sound * (size // len(sound) + 1))[:size]


def _encode(sound: bytes, container: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=_RATE, layout="mono")
        whole = av.AudioFrame(format="s16", layout="mono", samples=len(sound) // 2)
        whole.sample_rate = _RATE
        whole.planes[0].update(sound)
        resampler = av.AudioResampler(
            format=stream.codec_context.format, frame_size=stream.codec_context.frame_size or 4096
        )
        for frame in [whole, None]:
            for part in resampler.resample(frame):
                output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return file.getvalue()
