"""Recordings as the model hears them: mono, 16 kHz, read as a stream."""

import contextlib
import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO, Literal

from langchain_voxtral.audio.decoders import AudioTrack, import_optional, track
from langchain_voxtral.audio.formats import AUDIO_FORMATS, AudioFormat, detect_format
from langchain_voxtral.audio.lengths import check_whole
from langchain_voxtral.audio.source import AudioInput, AudioSource
from langchain_voxtral.audio.wav import SAMPLE_RATE, pcm16
from langchain_voxtral.errors import VoxtralAudioError, VoxtralTruncatedAudioError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Recording", "Truncated"]

logger = logging.getLogger("langchain_voxtral")

Truncated = Literal["error", "keep"]
"""What becomes of a recording that is cut off or damaged: refused, or taken as far as it goes."""


class Recording:
    """A recording, opened: its kind is known, and as far as its file tells, it is whole.

    Sound is decoded on the way, block by block: hours of it take no more memory than a minute.
    Of several channels the mean is taken; of several audio tracks the one that the file marks as
    its default. Where the clock of an MP4, Matroska or Ogg file runs on without sound (before it
    begins in a film, in a pause of a call), there is silence, at most an hour.

    Args:
        source: A path, the file's bytes, or a binary file, which is read from its start, as often
            as its sound is, and never closed. A file that cannot seek is copied to disk first.
        name: What errors call it; by default the path.
        truncated: `"error"` refuses a recording that is cut off or damaged, as soon as that is
            seen; `"keep"` takes what can be decoded, logs a warning, and `is_complete` is False.
            Files that do not say how long they are (MP3 without a `Xing` header; AAC; Ogg; FLAC,
            WAV, MP4 and WebM as they are streamed) and are cut between two of their parts cannot
            be told from whole ones.

    Raises:
        VoxtralTruncatedAudioError: It is cut off or damaged.
        VoxtralAudioError: It cannot be read, is empty, or is no recording of a known kind.

    Example:
        ```python
        from langchain_voxtral.audio.decoder import Recording
        from langchain_voxtral.audio.wav import wav_header

        recording = Recording(wav_header(64_000) + bytes(64_000))
        assert recording.format.name == "wav"
        assert recording.duration == 2.0
        assert [block.shape for block in recording.iter_samples()] == [(16_000,), (16_000,)]
        ```
    """

    format: AudioFormat
    """What it is, by its content."""
    is_complete: bool | None
    """False once it is known to be cut off or damaged, True once all of it was decoded."""

    def __init__(
        self,
        source: AudioInput | AudioSource,
        *,
        name: str | None = None,
        truncated: Truncated = "error",
    ) -> None:
        self.is_complete = None
        self._told: float | None = None
        self._truncated = truncated
        self._source = source if isinstance(source, AudioSource) else AudioSource(source, name=name)
        self.name = name or self._source.title
        with self._source.open() as file, self._named():
            self.format = _known_kind(file)
            try:
                self._told = check_whole(file, self.format)
            except VoxtralTruncatedAudioError as error:
                self._take_or_raise(error)

    @property
    def duration(self) -> float | None:
        """Its length in seconds as its file tells it; None if it does not, or is cut off.

        For WAV and MP3 files this needs no decoder; frames of MP3 are counted.
        """
        if self.is_complete is False:
            return None
        if self._told is not None:
            return self._told
        with self._source.open() as file, self._named(), track(file, self.format) as sound:
            return sound.seconds

    def iter_samples(self) -> "Iterator[NDArray[np.float32]]":
        """Decode it: mono samples at 16 kHz, from -1 to 1, in blocks of about a second.

        Each call begins anew; two at once need two recordings when the source is a file.

        Raises:
            VoxtralTruncatedAudioError: It breaks off here.
            VoxtralAudioError: It has no samples, or some that are no numbers.
            VoxtralMissingAudioExtraError: The libraries that decode are not installed.
        """
        count = 0
        with self._source.open() as file, self._named(), track(file, self.format) as sound:
            for block in _resampled(self._until_cut(sound), sound.rate):
                count += len(block)
                yield block
            if not count:
                raise VoxtralAudioError("it has no sound: 0 samples")
        if self.is_complete is None:
            self.is_complete = True

    def iter_pcm(self) -> Iterator[bytes]:
        """Decode it: mono samples at 16 kHz, 16-bit PCM, in blocks of about a second."""
        return map(pcm16, self.iter_samples())

    def _until_cut(self, sound: AudioTrack) -> "Iterator[NDArray[np.float32]]":
        try:
            yield from sound.pieces
        except VoxtralTruncatedAudioError as error:
            self._take_or_raise(error)

    def _take_or_raise(self, error: VoxtralTruncatedAudioError) -> None:
        """Raise the error, or take it as a warning, as asked for."""
        if self._truncated == "error":
            error.message += "; give the whole recording"
            raise error
        if self.is_complete is not False:
            logger.warning("%s: %s; what can be decoded is taken", self.name, error.message)
        self.is_complete = False

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Put the recording's name before what is said about it."""
        try:
            yield
        except VoxtralAudioError as error:
            error.message = f"{self.name}: {error.message}."
            raise


def _known_kind(file: BinaryIO) -> AudioFormat:
    kind = detect_format(file)
    if kind is None:
        file.seek(0)
        head = file.read(16)
        known = ", ".join(kind.name for kind in AUDIO_FORMATS)
        raise VoxtralAudioError(
            f"it is no recording of a known kind ({known}): it begins with {head!r}"
            if head
            else "it is empty: 0 bytes"
        )
    return kind


def _resampled(
    pieces: "Iterator[NDArray[np.float32]]", rate: int
) -> "Iterator[NDArray[np.float32]]":
    """Bring sound to 16 kHz, as one stream: nothing is heard where its blocks meet."""
    np = import_optional("numpy")
    blocks = _finite(pieces, rate)
    if rate == SAMPLE_RATE:
        for block in blocks:
            yield from _if_any(block)
        return
    stream = import_optional("soxr").ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
    for block in blocks:
        yield from _if_any(stream.resample_chunk(block))
    yield from _if_any(stream.resample_chunk(np.zeros(0, dtype=np.float32), last=True))


def _if_any(block: "NDArray[np.float32]") -> "Iterator[NDArray[np.float32]]":
    if len(block):
        yield block


def _finite(blocks: "Iterator[NDArray[np.float32]]", rate: int) -> "Iterator[NDArray[np.float32]]":
    np = import_optional("numpy")
    before = 0
    for block in blocks:
        finite = np.isfinite(block)
        if not finite.all():
            at = int(finite.argmin())
            raise VoxtralAudioError(
                f"its sample at {(before + at) / rate:.3f} s is {block[at]}, no number: "
                "save the recording anew"
            )
        before += len(block)
        yield block
