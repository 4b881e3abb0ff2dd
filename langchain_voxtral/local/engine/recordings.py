"""The samples of a recording that a client sent."""

import importlib.util
import wave
from typing import TYPE_CHECKING, BinaryIO

from langchain_voxtral.audio.formats import detect_format
from langchain_voxtral.errors import VoxtralAudioError
from langchain_voxtral.local.engine.speech import RATE
from langchain_voxtral.local.errors import ErrorResponse

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

__all__ = ["read_samples"]

_DECODERS = ("soundfile", "soxr", "av")
_SIXTEEN_BITS = 2


def read_samples(file: BinaryIO) -> "Iterator[Samples]":
    """Yield a recording's samples, mono and 16 000 a second, in blocks of about a second.

    With the `audio` extra every format that it decodes; without it WAV files of 16 bit PCM.

    Args:
        file: The recording, seekable.

    Raises:
        VoxtralAudioError: It cannot be decoded.
        ErrorResponse: 400, it needs the `audio` extra, which is not installed.
    """
    if all(importlib.util.find_spec(library) for library in _DECODERS):
        from langchain_voxtral.audio.decoder import Recording  # noqa: PLC0415 - the extra

        yield from Recording(file).iter_samples()
        return
    kind = detect_format(file)
    if kind is None:
        raise VoxtralAudioError("This is no recording of a known kind.")
    file.seek(0)
    yield from _pcm(file, kind.name)


def _pcm(file: BinaryIO, kind: str) -> "Iterator[Samples]":
    try:
        with wave.open(file, "rb") as recording:
            if recording.getsampwidth() != _SIXTEEN_BITS:
                raise _needs_extra(f"{8 * recording.getsampwidth()} bit WAV")
            if not recording.getnframes() or not recording.getframerate():
                raise VoxtralAudioError("The recording is empty.")
            yield from _frames(recording)
    except (wave.Error, EOFError) as error:
        if kind != "wav" or "unknown format" in str(error):
            raise _needs_extra(kind) from error
        raise VoxtralAudioError(f"The WAV file is damaged: {error}") from error


def _frames(recording: wave.Wave_read) -> "Iterator[Samples]":
    import numpy as np  # noqa: PLC0415 - comes with the `local-speech` extra

    rate, channels = recording.getframerate(), recording.getnchannels()
    for start in range(0, recording.getnframes(), rate):
        size = min(rate, recording.getnframes() - start)
        held = recording.readframes(size)
        if len(held) < size * channels * _SIXTEEN_BITS:
            raise VoxtralAudioError("The WAV file is shorter than its header says.")
        frames = np.frombuffer(held, "<i2").reshape(size, channels)
        yield _at_16_khz(frames.mean(axis=1, dtype=np.float32) / 32_768, rate)


def _at_16_khz(samples: "Samples", rate: int) -> "Samples":
    """Return a block at the engine's rate: each new sample is the mean of the time it stands for.

    The mean takes out most of what 16 kHz cannot carry; the `audio` extra does it properly.
    """
    import numpy as np  # noqa: PLC0415 - comes with the `local-speech` extra

    if rate == RATE:
        return samples
    size = round(len(samples) * RATE / rate)
    summed = np.concatenate([[0.0], np.cumsum(samples, dtype=np.float64)])
    bounds = np.linspace(0, len(samples), size + 1)
    sums = np.diff(np.interp(bounds, np.arange(len(summed)), summed))
    return (sums * (size / len(samples))).astype(np.float32)


def _needs_extra(what: str) -> ErrorResponse:
    return ErrorResponse.with_message(
        400,
        f"The embedded engine reads WAV of 16 bit PCM only, not {what}, as long as the decoders "
        'are not installed: pip install "langchain-voxtral[audio]"',
    )
