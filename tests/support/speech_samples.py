"""Real speech in other formats, rates, lengths and states, made in memory.

The speech is that of the recordings in `tests/speech`.
"""

import atexit
import functools
import io
import shutil
import struct
import tempfile
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from langchain_voxtral.audio import Recording
from langchain_voxtral.audio.source import AudioInput
from langchain_voxtral.audio.wav import wav_header

Sound = NDArray[np.float32]

_BY_SOUNDFILE = {
    "wav": ("WAV", "PCM_16"),
    "wav 24-bit": ("WAV", "PCM_24"),
    "wav float": ("WAV", "FLOAT"),
    "wav mu-law": ("WAV", "ULAW"),
    "wav adpcm": ("WAV", "IMA_ADPCM"),
    "wav extensible": ("WAVEX", "PCM_16"),
    "wav rf64": ("RF64", "PCM_16"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
}
_BY_FFMPEG: dict[str, tuple[str, str, dict[str, str]]] = {
    "m4a": ("ipod", "aac", {}),
    "mp4": ("mp4", "aac", {"movflags": "frag_keyframe+empty_moov"}),
    "webm": ("webm", "libopus", {}),
    "mka": ("matroska", "pcm_s16le", {}),
    "aac": ("adts", "aac", {}),
    "webm streamed": ("webm", "libopus", {"live": "1"}),
    "mp3 without xing": ("mp3", "libmp3lame", {"write_xing": "0", "id3v2_version": "3"}),
}
_OTHER_BY_FFMPEG = {
    "amr": ("amr", "libopencore_amrnb"),
    "wma": ("asf", "wmav2"),
    "avi": ("avi", "libmp3lame"),
    "flv": ("flv", "aac"),
    "mpeg": ("mpeg", "mp2"),
    "mpegts": ("mpegts", "aac"),
    "mp2": ("mp2", "mp2"),
    "ac3": ("ac3", "ac3"),
    "w64": ("w64", "pcm_s16le"),
    "wavpack": ("wv", "wavpack"),
    "latm": ("latm", "aac"),
    "nut": ("nut", "libmp3lame"),
    "rm": ("rm", "ac3"),
}
_FRAGMENTED = {"movflags": "empty_moov+default_base_moof", "frag_duration": "1000000"}
OTHER_ENCODINGS = tuple(_OTHER_BY_FFMPEG)
"""Formats that are only known to the decoder, or only by their first bytes."""
ENCODINGS = (*_BY_SOUNDFILE, *_BY_FFMPEG, "flac streamed")
"""All ways in which `encoded` writes sound."""


FOLDER = Path(__file__).parents[1] / "speech"
JFK = FOLDER / "jfk.flac"
"""11.0 s at 16 kHz, mono, with pauses of half a second and more."""
SECONDS = 11.0
"""The length of `JFK`."""
AUSTEN = tuple(
    FOLDER / f"austen_{number}.flac" for number in ("0870", "0880", "0890", "0920", "0930")
)
"""Five clauses of 3 to 7 s of one reader, in the order of the book; at 16 kHz, mono."""
FRENCH, SPANISH, ITALIAN, GERMAN = (
    FOLDER / f"{name}.flac"
    for name in ("french_service", "spanish_sister", "italian_market", "german_sister")
)
"""A sentence or two each, 4 to 5 s at 16 kHz, mono; only the French one is of a person."""
PAUSE = 1.6
"""Seconds between the clips of `talk`."""


def resampled(sound: Sound, rate: int, new_rate: int = 16_000) -> Sound:
    """Return mono sound at another rate."""
    frame = av.AudioFrame.from_ndarray(sound.reshape(1, -1), "flt", "mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler("flt", "mono", new_rate)
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


@functools.cache
def speech(path: Path = JFK, rate: int = 16_000) -> Sound:
    """Return a recording's samples at a rate; they are shared, so do not write into them."""
    samples, own = soundfile.read(path, dtype="float32")
    at_rate: Sound = samples if own == rate else resampled(samples, own, rate)
    at_rate.flags.writeable = False
    return at_rate


@functools.cache
def talk() -> Path:
    """Write a long recording once per process, and return its path.

    `AUSTEN` and then `JFK`, with pauses between them: 43.7 s at 48 kHz, mono.
    """
    folder = Path(tempfile.mkdtemp(prefix="talk-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path, pause = folder / "talk.wav", silence(PAUSE, 48_000)
    parts = [part for clip in AUSTEN for part in (speech(clip, 48_000), pause)]
    path.write_bytes(wav_bytes(joined(*parts, speech(JFK, 48_000)), 48_000))
    return path


def pcm16(sound: Sound) -> bytes:
    """Return sound as 16-bit PCM; what is beyond -1 and 1 is clipped."""
    samples: NDArray[np.int16] = np.clip(np.rint(sound * 32768), -32768, 32767).astype("<i2")
    return samples.tobytes()


def wav_bytes(sound: Sound, rate: int = 16_000) -> bytes:
    """Return sound as a mono 16-bit WAV file."""
    data = pcm16(sound)
    return wav_header(len(data), rate) + data


def decoded(source: AudioInput | Recording) -> Sound:
    """Return all samples of a recording."""
    recording = source if isinstance(source, Recording) else Recording(source)
    return np.concatenate(list(recording.iter_samples()))


def seconds_of(source: AudioInput | Recording) -> float:
    """Return the length of a recording, by decoding it."""
    return len(decoded(source)) / 16_000


def likeness(one: Sound, other: Sound) -> float:
    """Return the correlation of two sounds at the shift where it is highest: decoders delay."""
    size = len(one) + len(other)
    spectrum = np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size))
    highest = np.fft.irfft(spectrum, size).max()
    return float(highest / np.linalg.norm(one) / np.linalg.norm(other))


def encoded(encoding: str, sound: Sound | None = None, rate: int = 16_000) -> bytes:
    """Return sound (frames, or frames by channels; `JFK` if None) as a file."""
    if sound is None and encoding in OTHER_ENCODINGS:
        rate = 8_000 if encoding == "amr" else 44_100
    sound = speech(rate=rate) if sound is None else sound
    if encoding == "flac streamed":
        flac = encoded("flac", sound, rate)
        return flac[:21] + bytes([flac[21] & 0xF0, 0, 0, 0, 0]) + flac[26:]
    file = io.BytesIO()
    if encoding in _BY_SOUNDFILE:
        container, subtype = _BY_SOUNDFILE[encoding]
        soundfile.write(file, sound, rate, format=container, subtype=subtype)
        return file.getvalue()
    container, codec, options = (
        ("mp4", "aac", _FRAGMENTED)
        if encoding == "mp4 fragmented"
        else _BY_FFMPEG.get(encoding) or (*_OTHER_BY_FFMPEG[encoding], {})
    )
    with av.open(file, "w", format=container, options=options) as out:
        stream: Any = out.add_stream(codec, rate=rate)
        stream.layout = "mono"
        if codec == "wmav2":
            stream.bit_rate = 64_000
        pcm = np.rint(sound * 32767).astype("<i2").reshape(1, -1)
        for start in range(0, pcm.size, 1_600):
            frame = av.AudioFrame.from_ndarray(pcm[:, start : start + 1_600], "s16", "mono")
            frame.sample_rate, frame.pts = rate, start
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return file.getvalue()


def pipe(data: bytes) -> io.BytesIO:
    """Return a binary file that can be read once, from start to end."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *args: Any) -> int:
            raise io.UnsupportedOperation

    return Pipe(data)


def joined(*sounds: Sound) -> Sound:
    """Return sounds one after the other."""
    return np.concatenate(sounds)


def silence(seconds: float, rate: int = 16_000) -> Sound:
    """Return samples of nothing."""
    return np.zeros(round(seconds * rate), dtype=np.float32)


def noise(seconds: float, rate: int = 16_000, level: float = 0.1) -> Sound:
    """Return white noise, the same each time."""
    made = np.random.default_rng(1).standard_normal(round(seconds * rate))
    return (made * level).astype(np.float32)


def with_declared_size(wav: bytes, data_bytes: int) -> bytes:
    """Return a WAV file whose header tells another length of its sound."""
    at = wav.index(b"data") + 4
    return wav[:at] + struct.pack("<I", data_bytes) + wav[at + 4 :]


def with_chunks(wav: bytes, before: bytes, after: bytes) -> bytes:
    """Return a WAV file with chunks before and after its sound."""
    at = wav.index(b"data")
    return wav[:at] + before + wav[at:] + after


def chunk(name: bytes, content: bytes) -> bytes:
    """Return a chunk of a RIFF file."""
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def id3(size: int) -> bytes:
    """Return an ID3v2 tag with content of a size."""
    digits = bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + digits + b"\xff\xfb" * (size // 2) + b"\0" * (size % 2)


def in_container(
    sound: bytes, *, container: str, late: float = 0.0, pause: float = 0.0, picture: bool = True
) -> bytes:
    """Return encoded sound in another container.

    Args:
        sound: A file of one audio track.
        container: How FFmpeg calls the container.
        late: Seconds that pass before the sound begins.
        pause: Seconds that pass in the middle without any sound being written.
        picture: Whether there is one, of 15 seconds.
    """
    file = io.BytesIO()
    with av.open(io.BytesIO(sound), "r") as read, av.open(file, "w", format=container) as out:
        if picture:
            frames: Any = out.add_stream("mpeg4", rate=10)
            frames.width = frames.height = 64
        copy = out.add_stream_from_template(read.streams.audio[0])
        if picture:
            for _ in range(150):
                out.mux(frames.encode(av.VideoFrame(64, 64, "yuv420p")))
            out.mux(frames.encode(None))
        packets: list[Any] = [packet for packet in read.demux(audio=0) if packet.dts is not None]
        for number, packet in enumerate(packets):
            shift = late + (pause if number >= len(packets) // 2 else 0)
            packet.stream = copy
            packet.pts += round(shift / packet.time_base)
            packet.dts += round(shift / packet.time_base)
            out.mux(packet)
    return file.getvalue()


def pages(ogg: bytes) -> list[bytes]:
    """Return the pages of an Ogg file."""
    return [b"OggS" + page for page in ogg.split(b"OggS")[1:]]
