"""Files to samples: libsndfile for what it reads as written, FFmpeg for the rest.

libsndfile is quicker, and its frame count tells of damage; but it reads only the first of several
joined streams of Ogg and MP3, and complains on stderr. So those go to FFmpeg.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from langchain_voxtral.audio.formats import (
    AIFF,
    AU,
    FLAC,
    M4A,
    MKA,
    MP3,
    MP4,
    OGG,
    OPUS,
    WAV,
    WEBM,
    AudioFormat,
)
from langchain_voxtral.audio.mp3 import FramesOnly
from langchain_voxtral.audio.wav import read_wav_header
from langchain_voxtral.errors import (
    VoxtralAudioError,
    VoxtralMissingAudioExtraError,
    VoxtralTruncatedAudioError,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["AudioTrack", "import_optional", "track"]

_BY_LIBSNDFILE = {WAV, FLAC, AIFF, AU}
_TELL_THEIR_LENGTH = {OGG, OPUS, M4A, MP4, WEBM, MKA}
_RATES = range(1_000, 1_000_001)
"""Samples a second: beyond, a header is wrong, or a small file would be days of sound."""
_FILMS = {M4A, MP4, WEBM, MKA}
"""Files on whose clock sound may begin after the picture."""
_CLOCKED = _FILMS | {FLAC, OGG, OPUS}
"""Files that have a clock; of others FFmpeg guesses it."""
_WALL_CLOCK = {WEBM, MKA}
"""Files whose length browsers and what mends their files take from a clock on the wall."""
_MP3_IN_WAV = 0x55
_UNTOLD_FRAMES = 1 << 62
"""What libsndfile counts in a FLAC file that was written as a stream."""
_SLACK = 0.5
"""Seconds that a container may promise beyond its sound: padding, rounding, a longer picture."""
_GAP = 0.1
"""Seconds from which on time between two frames is a gap; clocks of containers are coarse."""
_MOST_SILENCE = 3600.0
"""Seconds of all gaps together, beyond which a clock is wrong: few bytes could claim years."""


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """The sound of an open file.

    Args:
        rate: Samples a second.
        seconds: Its length as the file says, None if it does not.
        pieces: Its samples, mono, piece by piece, to be read once.
    """

    rate: int
    seconds: float | None
    pieces: "Iterator[NDArray[np.float32]]"


def import_optional(name: str) -> ModuleType:
    """Import a library of the `audio` extra.

    Raises:
        VoxtralMissingAudioExtraError: It is not installed.
    """
    try:
        return import_module(name)
    except (ImportError, OSError) as error:  # OSError: soundfile without libsndfile
        raise VoxtralMissingAudioExtraError(name) from error


@contextlib.contextmanager
def track(file: BinaryIO, kind: AudioFormat) -> Iterator[AudioTrack]:
    """Open the sound of a file.

    Raises:
        VoxtralAudioError: No decoder reads it; while reading, `VoxtralTruncatedAudioError`
            where it breaks off.
    """
    with contextlib.ExitStack() as stack:
        opened = None
        if kind in _BY_LIBSNDFILE and not (kind == WAV and _is_for_ffmpeg(file)):
            opened = _by_libsndfile(file, stack)
        opened = opened or _by_ffmpeg(file, kind, stack)
        if opened.rate not in _RATES:
            raise VoxtralAudioError(
                f"its header tells of {opened.rate} samples a second, and {_RATES[0]} to "
                f"{_RATES[-1]} are read: the header is wrong"
            )
        yield opened


def _is_for_ffmpeg(file: BinaryIO) -> bool:
    """Tell whether libsndfile would take a wrong length of a WAV file."""
    try:
        facts = read_wav_header(file)
    except VoxtralAudioError:
        return False
    return not facts.has_length or facts.encoding == _MP3_IN_WAV


def _by_libsndfile(file: BinaryIO, stack: contextlib.ExitStack) -> AudioTrack | None:
    """Return the track; None for what libsndfile does not know: an encoding, a length."""
    soundfile = import_optional("soundfile")
    file.seek(0)
    try:
        sound = stack.enter_context(soundfile.SoundFile(file))
    except soundfile.SoundFileError:
        return None
    rate, frames = sound.samplerate, sound.frames
    if frames >= _UNTOLD_FRAMES:
        return None

    def pieces() -> "Iterator[NDArray[np.float32]]":
        count = 0
        while count < frames:
            try:
                piece = sound.read(rate, dtype="float32", always_2d=True)
            except soundfile.SoundFileError:
                piece = ()
            if len(piece) == 0:
                raise _broken_off(count / rate, frames / rate)
            count += len(piece)
            yield _mono(piece)

    return AudioTrack(rate, frames / rate, pieces())


def _by_ffmpeg(file: BinaryIO, kind: AudioFormat, stack: contextlib.ExitStack) -> AudioTrack:
    av = import_optional("av")
    file.seek(0)
    source = cast("BinaryIO", FramesOnly(file)) if kind == MP3 else file
    form = "mp3" if kind == MP3 else None
    try:
        # A file that can be written to, such as a temporary one, would be opened to write into it.
        container = stack.enter_context(
            av.open(source, "r", format=form, metadata_errors="replace")
        )
    except av.FFmpegError as error:
        raise VoxtralAudioError(
            f"it begins like {kind.name} and cannot be opened: {error.strerror}"
        ) from error
    stream = container.streams.best("audio")
    if stream is None:
        raise VoxtralAudioError("it has no sound: there is no audio track in it")
    if stream.codec_context is None:
        raise VoxtralAudioError(f"it begins like {kind.name} and its encoding is not known")
    seconds = _told(container, stream, kind) if kind in _TELL_THEIR_LENGTH else None
    return AudioTrack(stream.rate, seconds, _frames(av, container, stream, kind, seconds))


def _told(container: Any, stream: Any, kind: AudioFormat) -> float | None:
    if stream.duration is not None:
        late = max(stream.start_time or 0, 0) if kind in _FILMS else 0
        return float((stream.duration + late) * stream.time_base)
    if container.duration is None or len(container.streams) > 1:
        return None
    return float(container.duration / 1_000_000)


def _start(container: Any, kind: AudioFormat, told: float | None) -> float:
    """Return where the clock of the file stands at its beginning: of a live stream anywhere."""
    start = (container.start_time or 0) / 1_000_000
    return 0.0 if kind in _FILMS and told is not None and start < told else start


def _frames(
    av: Any, container: Any, stream: Any, kind: AudioFormat, told: float | None
) -> "Iterator[NDArray[np.float32]]":
    """Decode; where the file's clock runs on without sound, there is silence.

    So films whose sound begins late, and calls that send nothing in pauses, keep their times.
    """
    mixer, silent = _Mixer(av, stream.rate), 0.0
    begun, end = False, _start(container, kind, told)
    try:
        for frame in container.decode(stream):
            begin = end if frame.time is None else frame.time
            gap = begin - end
            if gap > _GAP and kind in _CLOCKED:
                yield from mixer.rest()
                silent += gap
                if silent > _MOST_SILENCE or (begun and kind == FLAC):
                    raise _broken_off(end, told)
                yield from _silence(gap, stream.rate)
            begun, end = True, begin + frame.samples / frame.sample_rate
            yield from mixer.mixed(frame, begin)
    except av.FFmpegError as error:
        yield from mixer.rest()
        raise _broken_off(end, told) from error
    yield from mixer.rest()
    if told is not None and told - end > _SLACK and kind not in _WALL_CLOCK:
        raise _broken_off(end, told)


def _silence(seconds: float, rate: int) -> "Iterator[NDArray[np.float32]]":
    numpy = import_optional("numpy")
    left = round(seconds * rate)
    while left > 0:
        yield numpy.zeros(min(left, rate), dtype=numpy.float32)
        left -= rate


class _Mixer:
    """Frames, which may be of some milliseconds, to mono pieces of a second.

    Packed: PyAV 18 reads beyond the planes of a planar frame of 8 channels, and crashes.
    """

    def __init__(self, av: Any, rate: int) -> None:
        self._av, self._rate = av, rate
        self._queue = self._new()

    def _new(self) -> Any:
        return self._av.AudioResampler(format="flt", frame_size=self._rate)

    def mixed(self, frame: Any, at: float) -> "Iterator[NDArray[np.float32]]":
        """Take a frame that begins `at` so many seconds; return what is full."""
        try:
            pieces = self._queue.resample(frame)
        except (ValueError, self._av.FFmpegError) as error:
            raise VoxtralAudioError(
                f"its channels or rate change at {at:.1f} s, or cannot be mixed: files were "
                "joined, or it is damaged; save the recording anew"
            ) from error
        yield from map(_packed, pieces)

    def rest(self) -> "Iterator[NDArray[np.float32]]":
        """Return what is left, and begin anew."""
        pieces, self._queue = self._queue.resample(None), self._new()
        yield from map(_packed, pieces)


def _packed(frame: Any) -> "NDArray[np.float32]":
    return _mono(frame.to_ndarray().reshape(-1, frame.layout.nb_channels))


def _mono(sound: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Return the mean of all channels, by a product: many times quicker than `mean`."""
    numpy, channels = import_optional("numpy"), sound.shape[1]
    if channels == 1:
        return sound[:, 0]  # a third of what decoding such a recording would take
    with numpy.errstate(all="ignore"):  # what is no number is refused later
        mixed = sound @ numpy.full(channels, 1 / channels, dtype="float32")
    return cast("NDArray[np.float32]", mixed)


def _broken_off(at: float, told: float | None) -> VoxtralTruncatedAudioError:
    of = "" if told is None else f" of {told:.1f} s"
    return VoxtralTruncatedAudioError(
        f"it cannot be decoded beyond {at:.1f} s{of}: it is cut off or damaged there"
    )
