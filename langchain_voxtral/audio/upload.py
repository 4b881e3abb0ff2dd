"""Recordings as servers take them in one request: WAV and MP3 as they are, all else as WAV."""

from collections.abc import Collection
from dataclasses import dataclass, field

from langchain_voxtral.audio.decoder import Recording, Truncated
from langchain_voxtral.audio.formats import MP3, WAV, AudioFormat, detect_format
from langchain_voxtral.audio.mp3 import read_mp3_header
from langchain_voxtral.audio.wav import PCM, SAMPLE_RATE, read_wav_header, wav_header
from langchain_voxtral.errors import VoxtralAudioError


@dataclass(frozen=True, slots=True)
class EncodedAudio:
    """A recording as it is sent: the file's bytes, its format and its length."""

    data: bytes = field(repr=False)
    format: AudioFormat
    seconds: float


def encode_for_upload(
    data: bytes,
    *,
    accepted_formats: Collection[str] = ("wav", "mp3"),
    name: str | None = None,
    truncated: Truncated = "error",
    max_seconds: float | None = None,
) -> EncodedAudio:
    """Return a recording in a form that the server takes.

    A WAV file of mono 16 kHz 16-bit PCM and a mono MP3 file pass unchanged, without any library.
    All else is decoded and becomes such a WAV file. (Servers on mistral-common refuse or drop a
    second channel.)

    Args:
        data: The file's bytes.
        accepted_formats: Names of the formats that the server takes; others become WAV.
        name: What errors call it.
        truncated: How to treat a truncated recording, as for `Recording`.
        max_seconds: Longest recording; None: no limit.

    Raises:
        VoxtralAudioError: It is no recording, is cut off, or is too long.
        VoxtralMissingAudioExtraError: It must be decoded, and the libraries are not installed.
    """
    recording = Recording(data, name=name, truncated=truncated)
    unchanged = _as_it_is(recording, data, accepted_formats, max_seconds)
    if unchanged is not None:
        return unchanged
    wav = to_wav(recording, max_seconds=max_seconds)
    return EncodedAudio(wav, WAV, (len(wav) - len(wav_header(0))) / 2 / SAMPLE_RATE)


def find_unchanged(
    data: bytes,
    *,
    accepted_formats: Collection[str],
    name: str | None = None,
    max_seconds: float | None = None,
) -> EncodedAudio | None:
    """Return a recording if it is sent unchanged, else None; nothing is decoded.

    Raises:
        VoxtralAudioError: It is cut off, or is too long.
    """
    if detect_format(data) not in {WAV, MP3}:
        return None
    return _as_it_is(Recording(data, name=name), data, accepted_formats, max_seconds)


def _as_it_is(
    recording: Recording,
    data: bytes,
    accepted_formats: Collection[str],
    max_seconds: float | None,
) -> EncodedAudio | None:
    seconds = None
    if recording.format.name in accepted_formats and recording.is_complete is not False:
        seconds = _seconds_if_plain(data, recording.format)
    if not seconds:
        return None
    if max_seconds is not None and seconds > max_seconds:
        raise _too_long_error(recording, max_seconds)
    return EncodedAudio(data, recording.format, seconds)


def to_wav(recording: Recording, *, max_seconds: float | None = None) -> bytes:
    """Return a recording as one WAV file of mono 16 kHz 16-bit PCM, 2 MB for a minute."""
    pcm = bytearray()
    for block in recording.iter_pcm():
        pcm += block
        if max_seconds is not None and len(pcm) > max_seconds * SAMPLE_RATE * 2:
            raise _too_long_error(recording, max_seconds)
    return wav_header(len(pcm)) + pcm


def _seconds_if_plain(data: bytes, audio_format: AudioFormat) -> float | None:
    """Return the length of a recording that can be sent unchanged, else None."""
    if audio_format == MP3:
        header = read_mp3_header(data)
        return header.seconds if header.channels == 1 else None
    if audio_format != WAV:
        return None
    wav = read_wav_header(data)
    layout = (wav.encoding, wav.channels, wav.rate, wav.bits, wav.frame_bytes)
    is_plain = layout == (PCM, 1, SAMPLE_RATE, 16, 2)
    return wav.seconds if is_plain and wav.has_length else None


def _too_long_error(recording: Recording, max_seconds: float) -> VoxtralAudioError:
    return VoxtralAudioError(
        f"{recording.name}: it is longer than {max_seconds:g} s: transcribe it in pieces, "
        "and send the text."
    )
