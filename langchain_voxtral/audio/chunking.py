"""Long recordings in chunks that a server takes, cut where it is quiet.

Silence only decides where to cut. The chunks, one after the other, are the recording, sample for
sample.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from langchain_voxtral.audio.decoder import Recording
from langchain_voxtral.audio.formats import WAV, AudioFormat
from langchain_voxtral.audio.mixing import import_optional
from langchain_voxtral.audio.pricing import BLOCK_SECONDS
from langchain_voxtral.audio.wav import SAMPLE_RATE, wav_header
from langchain_voxtral.errors import VoxtralInvalidRequestError

_MIN_SAMPLES = SAMPLE_RATE
_HEADER_BYTES = len(wav_header(0))
_BLOCK = BLOCK_SECONDS * SAMPLE_RATE
_STEP = SAMPLE_RATE // 100
_PAUSE = 30  # steps: 0.3 s, a short pause in speech
_AS_QUIET = 2.0  # in power: 3 dB
_SILENCE = 10.0**2  # in power of 16-bit samples: -70 dB, the noise of rooms and converters


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A part of a recording, as a file to upload; times are seconds in the recording.

    One that is silent, and so not uploaded, has no data.
    """

    index: int
    start: float
    end: float
    data: bytes = field(repr=False)
    format: AudioFormat = WAV
    is_last: bool = False
    is_silent: bool = False

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


def split_at_silence(
    recording: Recording,
    *,
    max_seconds: float,
    max_bytes: int,
    target_seconds: float | None = None,
    window_seconds: float = 30.0,
    max_window_share: float = 0.25,
) -> Iterator[AudioChunk]:
    """Cut a recording into WAV files while it is decoded; at most about two are in memory.

    A cut lies in the middle of the quietest 0.3 seconds of the window before the target length.
    Among equally quiet places the one is taken that leaves the model's last 30-second block
    fullest, since a block is paid for whole. Without a target there are as few chunks as possible,
    of about equal length if the file tells its own. Each has a second or more, or half the target.

    Args:
        recording: The recording.
        max_seconds: Longest chunk.
        max_bytes: Largest chunk.
        target_seconds: Length to aim at; None: as few chunks as possible.
        window_seconds: How long before the target to look for silence.
        max_window_share: The most of the target to look in.

    Raises:
        VoxtralInvalidRequestError: A chunk could not even have a second.
        VoxtralAudioError: The recording cannot be decoded.
    """
    plan = _plan(
        recording.duration,
        max_seconds,
        max_bytes,
        target_seconds,
        window_seconds,
        max_window_share=max_window_share,
    )
    pcm, start, index = bytearray(), 0, 0
    for block, max_samples in _blocks_and_limits(recording, plan.limit):
        pcm += block
        while len(pcm) // 2 > max_samples:
            cut = _quietest_point(pcm, *plan.cut_range(start, len(pcm) // 2))
            yield _chunk(pcm, index, start, cut)
            del pcm[: cut * 2]
            start, index = start + cut, index + 1
    yield _chunk(pcm, index, start, len(pcm) // 2, is_last=True)


def _blocks_and_limits(recording: Recording, limit: int) -> Iterator[tuple[bytes, int]]:
    """Decode, and tell with each block how many samples may be held before a cut.

    A second more is held until the end, so that a pause at the limit is seen whole, and so that
    what is left after a cut is enough for a chunk.
    """
    for block in recording.iter_pcm():
        yield block, limit + _MIN_SAMPLES
    yield b"", limit


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where to cut; all lengths in samples."""

    limit: int
    window: int
    max_window_share: float
    is_even: bool
    total: int | None

    def cut_range(self, start: int, held: int) -> tuple[int, int]:
        """Return the least and the greatest length of the chunk that begins at `start`.

        A second is left for the next one, or half of what is held if that is hardly more.
        """
        target = self.limit
        rest = 0 if self.total is None else self.total - start
        if self.is_even and rest > self.limit:
            count = math.ceil(rest / (self.limit - self._window(self.limit)))
            target = min(max(round(rest / count / _BLOCK), 1) * _BLOCK, self.limit)
        target = min(target, max(held - _MIN_SAMPLES, held // 2))
        return target - self._window(target), target

    def _window(self, target: int) -> int:
        return min(self.window, int(target * self.max_window_share))


def _plan(
    duration: float | None,
    max_seconds: float,
    max_bytes: int,
    target_seconds: float | None,
    window_seconds: float,
    *,
    max_window_share: float,
) -> _Plan:
    limit = min(int(max_seconds * SAMPLE_RATE), (max_bytes - _HEADER_BYTES) // 2)
    if target_seconds is not None:
        limit = min(limit, int(target_seconds * SAMPLE_RATE))
    if limit < _MIN_SAMPLES or window_seconds <= 0:
        raise VoxtralInvalidRequestError(
            f"No chunk of a recording fits into {max_seconds} s and {max_bytes} bytes, with a "
            f"target of {target_seconds} s and a window of {window_seconds} s: give each chunk a "
            f"second or more ({_MIN_SAMPLES * 2 + _HEADER_BYTES} bytes)."
        )
    return _Plan(
        limit=limit,
        window=int(window_seconds * SAMPLE_RATE),
        max_window_share=max_window_share,
        is_even=target_seconds is None,
        total=None if duration is None else int(duration * SAMPLE_RATE),
    )


def _quietest_point(pcm: bytearray, first: int, last: int) -> int:
    """Return where to cut between two lengths, in samples."""
    np = import_optional("numpy")
    half = _PAUSE * _STEP // 2
    end = min(last + half, len(pcm) // 2)
    begin = max(min(first - half, end - 2 * half), 0)
    steps = (end - begin) // _STEP
    samples = np.frombuffer(bytes(pcm[begin * 2 : (begin + steps * _STEP) * 2]), dtype="<i2")
    power = np.square(samples, dtype=np.float64).reshape(steps, _STEP).mean(axis=1)
    sums = np.concatenate(([0.0], np.cumsum(power)))
    pauses = (sums[_PAUSE:] - sums[:-_PAUSE]) / _PAUSE
    middles = begin + half + np.arange(len(pauses)) * _STEP
    quiet = middles[pauses <= max(pauses.min() * _AS_QUIET, _SILENCE)]
    padding = -quiet % _BLOCK
    return int(quiet[::-1][padding[::-1].argmin()])


def _chunk(
    pcm: bytearray, index: int, start: int, length: int, *, is_last: bool = False
) -> AudioChunk:
    with memoryview(pcm) as view:
        wav = b"".join((wav_header(length * 2), view[: length * 2]))
    end = (start + length) / SAMPLE_RATE
    return AudioChunk(index, start / SAMPLE_RATE, end, wav, is_last=is_last)
