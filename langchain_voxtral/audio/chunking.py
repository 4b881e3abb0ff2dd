"""Long recordings in pieces that a server takes, cut where it is quiet.

Silence only says where to cut. Nothing is left out and nothing is sent twice: the pieces, one
after the other, are the recording, sample for sample.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from langchain_voxtral.audio.decoder import Recording
from langchain_voxtral.audio.decoders import library
from langchain_voxtral.audio.formats import WAV, AudioFormat
from langchain_voxtral.audio.pricing import BLOCK_SECONDS
from langchain_voxtral.audio.wav import SAMPLE_RATE, pcm16, wav_header
from langchain_voxtral.errors import VoxtralInvalidRequestError

__all__ = ["LONGEST", "MOST_BYTES", "AudioChunk", "split_at_silence"]

LONGEST = 600.0
"""Seconds that vLLM decodes of one recording, by its default."""
MOST_BYTES = 25_000_000
"""Bytes that vLLM and OpenAI take of one recording, by their default (25 MB)."""

_SHORTEST = SAMPLE_RATE
_HEADER_BYTES = len(wav_header(0))
_BLOCK = BLOCK_SECONDS * SAMPLE_RATE
_STEP = SAMPLE_RATE // 100
_PAUSE = 30  # steps: 0.3 s, a short pause in speech
_AS_QUIET = 2.0  # in power: 3 dB
_SILENCE = 10.0**2  # in power of 16-bit samples: -70 dB, what rooms and converters hum


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """A part of a recording, as a file to upload; times are seconds in the recording."""

    index: int
    start: float
    end: float
    data: bytes = field(repr=False)
    format: AudioFormat = WAV
    is_last: bool = False

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start


def split_at_silence(
    recording: Recording,
    *,
    longest: float = LONGEST,
    most_bytes: int = MOST_BYTES,
    target: float | None = None,
    window: float = 30.0,
) -> Iterator[AudioChunk]:
    """Cut a recording into pieces, while it is decoded.

    A cut lies in the middle of the quietest 0.3 seconds of the `window` before the length aimed
    at. Among places as quiet as that, the one is taken that leaves the last of the model's
    30-second blocks fullest, for a block is paid for whole. A recording that is short enough
    stays in one piece; else, when its file tells its length, the pieces are about equally
    long, so that no word or two is left for the last; in any case it has a second or more, or
    half of the length aimed at.

    Args:
        recording: The recording; at most about two pieces of it are in memory at once.
        longest: Seconds that a piece may have.
        most_bytes: Bytes that a piece's WAV file may have.
        target: Seconds to aim at, if not at as few pieces as can be.
        window: Seconds before the length aimed at in which to look for silence; at most a
            quarter of that length.

    Raises:
        VoxtralInvalidRequestError: A piece could not even have a second.
        VoxtralAudioError: The recording cannot be decoded.

    Example:
        ```python
        from langchain_voxtral.audio.chunking import split_at_silence
        from langchain_voxtral.audio.decoder import Recording
        from langchain_voxtral.audio.wav import wav_header

        silence = Recording(wav_header(32_000 * 70) + bytes(32_000 * 70))
        bounds = [(chunk.start, chunk.end) for chunk in split_at_silence(silence, longest=60)]
        assert bounds == [(0.0, 30.0), (30.0, 70.0)]
        ```
    """
    plan = _Plan.of(recording.duration, longest, most_bytes, target, window)
    held, start, index = bytearray(), 0, 0
    for block, most in _with_most(recording, plan.limit):
        held += block
        while len(held) // 2 > most:
            cut = _quietest(held, *plan.search(start, len(held) // 2))
            yield _chunk(held, index, start, cut)
            del held[: cut * 2]
            start, index = start + cut, index + 1
    yield _chunk(held, index, start, len(held) // 2, is_last=True)


def _with_most(recording: Recording, limit: int) -> Iterator[tuple[bytes, int]]:
    """Decode, and say with each block how many samples may be held before there must be a cut.

    Until the end is reached a little more is held: a pause in whose middle the limit lies is
    seen whole, and of what is left after a cut there is enough for a piece.
    """
    for block in recording.blocks():
        yield pcm16(block), limit + _SHORTEST
    yield b"", limit


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where to look for cuts; all lengths in samples."""

    limit: int
    window: int
    even: bool
    total: int | None

    @classmethod
    def of(
        cls,
        duration: float | None,
        longest: float,
        most_bytes: int,
        target: float | None,
        window: float,
    ) -> "_Plan":
        limit = min(int(longest * SAMPLE_RATE), (most_bytes - _HEADER_BYTES) // 2)
        aim = limit if target is None else int(target * SAMPLE_RATE)
        if min(limit, aim) < _SHORTEST or window <= 0:
            raise VoxtralInvalidRequestError(
                f"No piece of a recording fits into longest={longest} s, most_bytes={most_bytes}, "
                f"target={target} s, window={window} s: give each piece a second or more "
                f"({_SHORTEST * 2 + _HEADER_BYTES} bytes)."
            )
        return cls(
            limit=min(limit, aim),
            window=int(window * SAMPLE_RATE),
            even=target is None,
            total=None if duration is None else int(duration * SAMPLE_RATE),
        )

    def search(self, start: int, held: int) -> tuple[int, int]:
        """Return between which lengths the piece that begins at `start` is to be cut.

        A second is left for the next one, or, where pieces may have hardly more, a half of it.
        """
        aim = self.limit
        rest = 0 if self.total is None else self.total - start
        if self.even and rest > self.limit:
            pieces = math.ceil(rest / (self.limit - self._window(self.limit)))
            aim = min(max(round(rest / pieces / _BLOCK), 1) * _BLOCK, self.limit)
        aim = min(aim, max(held - _SHORTEST, held // 2))
        return aim - self._window(aim), aim

    def _window(self, aim: int) -> int:
        return min(self.window, aim // 4)


def _quietest(pcm: bytearray, first: int, last: int) -> int:
    """Return where to cut between two lengths, in samples."""
    np = library("numpy")
    half = _PAUSE * _STEP // 2
    end = min(last + half, len(pcm) // 2)
    begin = max(min(first - half, end - 2 * half), 0)
    steps = (end - begin) // _STEP
    sound = np.frombuffer(bytes(pcm[begin * 2 : (begin + steps * _STEP) * 2]), dtype="<i2")
    power = np.square(sound.astype(np.float64)).reshape(steps, _STEP).mean(axis=1)
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
