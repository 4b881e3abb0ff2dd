"""Levels: whether there is anything to hear in a recording."""

import struct
from collections.abc import Iterable, Iterator
from io import BytesIO

from langchain_voxtral.audio.wav import CHUNKS_START, SAMPLE_RATE, iter_chunks

_BLOCK_BYTES = SAMPLE_RATE // 10 * 2
_MAX_RANGE = 4
"""Steps of 16 bits between the lowest and the highest sample of a silent block.

Dither has 2 to 4; the recordings of the tests, 60 dB quieter than they are, have 9 to 50.
"""


def is_silent(blocks: Iterable[bytes]) -> bool:
    """Return whether no block of 16-bit PCM rises above silence; the first that does is the last.

    Silence is nothing, or nothing but dither, on any constant offset. A room, a click and the
    faintest speech are more.
    """
    return all(map(_is_quiet, blocks))


def iter_wav_pcm(wav: bytes) -> Iterator[bytes]:
    """Yield the sound of a WAV file of mono 16 kHz 16-bit PCM in blocks of 0.1 s."""
    for name, start, size in iter_chunks(BytesIO(wav), CHUNKS_START):
        if name == b"data":
            end = start + size - size % 2
            for at in range(start, min(end, len(wav)), _BLOCK_BYTES):
                yield wav[at : min(at + _BLOCK_BYTES, end)]
            return


def _is_quiet(block: bytes) -> bool:
    if block == block[:2] * (len(block) // 2):  # digital silence, in a hundredth of the time
        return True
    samples: tuple[int, ...] = struct.unpack(f"<{len(block) // 2}h", block)
    return max(samples) - min(samples) <= _MAX_RANGE
