"""Recordings as servers take them in a message: WAV and MP3 as they are, all else as WAV."""

from collections.abc import Collection
from dataclasses import dataclass

from langchain_voxtral.audio.decoder import Recording, Truncated
from langchain_voxtral.audio.formats import MP3, WAV, AudioFormat, detect_format
from langchain_voxtral.audio.mp3 import mp3_facts
from langchain_voxtral.audio.wav import PCM, SAMPLE_RATE, pcm16, wav_header, wav_header_facts
from langchain_voxtral.errors import VoxtralAudioError

__all__ = ["EncodedAudio", "encode_for_upload", "to_wav"]

_BITS = 16


@dataclass(frozen=True, slots=True)
class EncodedAudio:
    """A recording as it is sent.

    Args:
        data: The file's bytes.
        kind: What it is: WAV or MP3.
        seconds: Its length.
    """

    data: bytes
    kind: AudioFormat
    seconds: float


def encode_for_upload(
    data: bytes,
    *,
    takes: Collection[str] = ("wav", "mp3"),
    name: str | None = None,
    truncated: Truncated = "error",
    longest: float | None = None,
) -> EncodedAudio:
    """Return a recording in a form that every server takes.

    A WAV file that is mono, 16 kHz and 16-bit PCM, and a mono MP3 file pass unchanged, if they are
    whole; that needs no library. All else is decoded and becomes such a WAV file. (Servers on
    mistral-common refuse a second channel, or drop it.)

    Args:
        data: The file's bytes.
        takes: Names of the kinds that the server takes as they are; others become WAV.
        name: What errors call it.
        truncated: What becomes of a recording that is cut off, as `Recording` has it.
        longest: Seconds that it may have; no limit if None.

    Raises:
        VoxtralAudioError: It is no recording, is cut off, or is too long.
        VoxtralMissingAudioExtraError: It must be decoded, and the libraries are not installed.

    Example:
        ```python
        from langchain_voxtral.audio.upload import encode_for_upload
        from langchain_voxtral.audio.wav import wav_header

        wav = wav_header(32_000) + bytes(32_000)
        assert encode_for_upload(wav).data is wav
        ```
    """
    recording = Recording(data, name=name, truncated=truncated)
    seconds = None
    if recording.kind.name in takes and recording.complete is not False:
        seconds = _as_it_is(data)
    if seconds:
        if longest is not None and seconds > longest:
            raise _too_long(recording, longest)
        return EncodedAudio(data, recording.kind, seconds)
    wav = to_wav(recording, longest=longest)
    return EncodedAudio(wav, WAV, (len(wav) - len(wav_header(0))) / 2 / SAMPLE_RATE)


def to_wav(recording: Recording, *, longest: float | None = None) -> bytes:
    """Return a recording as one WAV file: mono, 16 kHz, 16-bit PCM.

    Args:
        recording: The recording; all of the result is in memory (2 MB for a minute).
        longest: Seconds that it may have; no limit if None.

    Raises:
        VoxtralAudioError: It cannot be decoded, or is too long.
    """
    pcm = bytearray()
    for block in recording.blocks():
        pcm += pcm16(block)
        if longest is not None and len(pcm) > longest * SAMPLE_RATE * 2:
            raise _too_long(recording, longest)
    return wav_header(len(pcm)) + pcm


def _as_it_is(data: bytes) -> float | None:
    """Return the length of a recording that can be sent unchanged, else None."""
    kind = detect_format(data)
    if kind == MP3:
        frames = mp3_facts(data)
        return frames.seconds if frames.channels == 1 else None
    if kind != WAV:
        return None
    facts = wav_header_facts(data)
    form = (facts.encoding, facts.channels, facts.rate, facts.bits, facts.frame_bytes)
    plain = form == (PCM, 1, SAMPLE_RATE, _BITS, _BITS // 8)
    return facts.seconds if plain and facts.told else None


def _too_long(recording: Recording, longest: float) -> VoxtralAudioError:
    return VoxtralAudioError(
        f"{recording.name}: it is longer than {longest:g} s: transcribe it in pieces, "
        "and send the text."
    )
