"""Channels to one: by ITU-R BS.775 where they are named, else their mean; none cancels another."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from itertools import combinations
from types import ModuleType
from typing import TYPE_CHECKING, Any

from langchain_voxtral.audio.wav import SAMPLE_RATE
from langchain_voxtral.errors import VoxtralAudioError, VoxtralMissingAudioExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WINDOW_SECONDS, _STRETCH_SECONDS, _FADE_SECONDS = 0.1, 2.0, 0.01
_SAMPLE_TYPES = {"u8": "u1", "s16": "i2", "s32": "i4", "s64": "i8", "flt": "f4", "dbl": "f8"}
"""Types of samples by FFmpeg's names, which end in `p` where each channel is apart."""
_MEASURED_SAMPLES = 256
"""About as many samples of a window are compared."""
_MAX_CANCELLED = 0.1
"""Power of two channels' sum, by four times that of the louder one, that makes them opposite."""
_MAX_LOCAL = 0.3
"""The same for a single window of such a stretch, if it is not quiet."""
_QUIET = 0.05
"""Power of a window, by the mean of the stretch, that proves nothing."""
_FAINT = 0.001
"""Power of a stretch, by that of the loudest window so far, that proves nothing."""
_MIN_POWER = 1e-8
"""Mean power of samples from -1 to 1, below which nothing is heard."""
_MAX_CHANNELS = 8
_BASS_CHANNEL, _WITH_BASS_CHANNEL = 3, (6, 8)
"""Which channel is the bass by Microsoft's order, and of how many."""
_MAX_BASS_SLOPE = 0.01
"""Power of the difference of neighbouring samples, by their power, of sounds below some 250 Hz."""


def import_optional(name: str) -> ModuleType:
    """Import a library of the `audio` extra.

    Raises:
        VoxtralMissingAudioExtraError: It is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise VoxtralMissingAudioExtraError(name) from error


class Mixer:
    """Frames to 16-bit PCM, mono, 16 kHz, in blocks of a second; their format may change.

    Args:
        av: PyAV.
        report_inversion: Called when channels turn out to be opposite.
    """

    def __init__(self, av: Any, report_inversion: Callable[[], None]) -> None:
        self._av = av
        self._report_inversion = report_inversion
        self._input: tuple[str, str, int] | None = None
        self._resampler: Any = None
        self._channels_to_mix = 1
        self._has_bass = False
        self._opposites: _Opposites | None = None

    def feed(self, frame: Any) -> Iterator[bytes]:
        """Take a frame, and return the blocks that are full."""
        layout = frame.layout
        form = (frame.format.name, layout.name, frame.sample_rate)
        if form != self._input:
            yield from self.flush()
            # Without names of its channels, FFmpeg would guess them and leave out a bass channel.
            is_named = "channels" not in layout.name and "ambisonic" not in layout.name
            self._input = form
            self._channels_to_mix = 1 if is_named else layout.nb_channels
            self._has_bass = self._channels_to_mix in _WITH_BASS_CHANNEL
            self._resampler = self._av.AudioResampler(
                "s16", "mono" if is_named else layout, SAMPLE_RATE, SAMPLE_RATE
            )
            if 1 < layout.nb_channels <= _MAX_CHANNELS:
                self._opposites = _Opposites(_Channels(frame), self._report_inversion)
        _check_finite(frame)
        for ready in [frame] if self._opposites is None else self._opposites.feed(frame):
            yield from map(self._mono, self._resampler.resample(ready))

    def flush(self) -> Iterator[bytes]:
        """Return what is left, and begin anew."""
        if self._resampler is not None:
            left = [] if self._opposites is None else self._opposites.flush()
            frames = [part for frame in (*left, None) for part in self._resampler.resample(frame)]
            self._resampler = self._input = self._opposites = None
            yield from map(self._mono, frames)

    def _mono(self, frame: Any) -> bytes:
        pcm = frame.to_ndarray()
        if self._channels_to_mix > 1:
            pcm = pcm.reshape(-1, self._channels_to_mix)
            if self._has_bass and (self._has_bass_only(pcm[:, _BASS_CHANNEL])):
                pcm[:, _BASS_CHANNEL] = 0
            pcm = pcm.mean(axis=1).round().astype("<i2")
        return bytes(pcm.tobytes())

    def _has_bass_only(self, channel: "NDArray[np.int16]") -> bool:
        """Return whether a channel has held nothing but bass so far."""
        numpy = import_optional("numpy")
        samples = channel.astype(numpy.float64)
        slope = numpy.square(numpy.diff(samples)).mean() if len(samples) > 1 else 0.0
        self._has_bass = bool(slope <= max(_MAX_BASS_SLOPE * numpy.square(samples).mean(), 1.0))
        return self._has_bass


@dataclass(slots=True)
class _Window:
    """A tenth of a second of frames, and powers of each two channels in the first of them.

    Args:
        louder: Four times the power of the louder one, which the sum of two such ones would have.
        both: The power of their sum.
    """

    louder: list[float] = field(default_factory=list)
    both: list[float] = field(default_factory=list)
    frames: list[Any] = field(default_factory=list)
    seconds: float = 0.0

    def cancelled(self) -> Iterator[bool]:
        """Yield for each two channels whether they cancel each other."""
        for both, louder in zip(self.both, self.louder, strict=True):
            yield both < _MAX_LOCAL * louder


class _Opposites:
    """Frames of several channels, in which a channel that cancels another becomes its copy.

    A balanced line on a stereo input has the same sound twice, once upside down: the mean of both
    is silence. Frames pass through until a window looks like that; then they are held until two
    seconds show whether it is chance. The last ones are judged with those before them.
    """

    def __init__(self, channels: "_Channels", report_inversion: Callable[[], None]) -> None:
        self._channels = channels
        self._report_inversion = report_inversion
        self._held: deque[_Window] = deque()
        self._past: deque[_Window] = deque(maxlen=round(_STRETCH_SECONDS / _WINDOW_SECONDS))
        self._loudest = 0.0
        self._mean_powers: dict[int, float] = {}
        self._copied: set[int] = set()

    def feed(self, frame: Any) -> Iterator[Any]:
        """Take a frame, and return those that can go on."""
        if not self._held or self._held[-1].seconds >= _WINDOW_SECONDS:
            yield from self._release()
            window = self._channels.measure(frame)
            self._loudest = max(self._loudest, *window.louder)
            self._held.append(window)
        self._held[-1].frames.append(frame)
        self._held[-1].seconds += frame.samples / frame.sample_rate

    def flush(self) -> Iterator[Any]:
        """Return what is left."""
        yield from self._release(is_end=True)

    def _release(self, *, is_end: bool = False) -> Iterator[Any]:
        while self._held:
            if not self._mean_powers and any(self._held[0].cancelled()):
                if not is_end and sum(each.seconds for each in self._held) < _STRETCH_SECONDS:
                    return
                self._mean_powers = self._find_opposites()
            window = self._held.popleft()
            copied = self._pairs_to_copy(window) if self._mean_powers else set()
            if copied or self._copied:
                self._channels.copy(window.frames, self._copied, copied)
            self._copied = copied
            yield from window.frames
            window.frames = []
            self._past.append(window)

    def _find_opposites(self) -> dict[int, float]:
        """Return which pairs cancel each other in the next two seconds, with their mean power."""
        windows = list(self._held)
        for past in reversed(self._past):
            if sum(window.seconds for window in windows) >= _STRETCH_SECONDS:
                break
            windows.append(past)
        count = len(windows)
        floor = max(_FAINT * self._loudest, 4 * _MIN_POWER)
        means = {}
        for pair in range(len(windows[0].louder)):
            louder = sum(window.louder[pair] for window in windows) / count
            both = sum(window.both[pair] for window in windows) / count
            if both < _MAX_CANCELLED * louder and louder > floor:
                means[pair] = louder
        if means:
            self._report_inversion()
        return means

    def _pairs_to_copy(self, window: _Window) -> set[int]:
        """Return the pairs that cancel each other; where there is none the search begins anew."""
        cancelled = list(window.cancelled())
        pairs = {
            pair
            for pair, power in self._mean_powers.items()
            if cancelled[pair] or window.louder[pair] < _QUIET * power
        }
        if not pairs:
            self._mean_powers = {}
        copies = {self._channels.pairs[pair][1] for pair in pairs}
        return {pair for pair in pairs if self._channels.pairs[pair][0] not in copies}


class _Channels:
    """The channels of frames of one form."""

    def __init__(self, frame: Any) -> None:
        self._numpy = numpy = import_optional("numpy")
        self._type = numpy.dtype(_SAMPLE_TYPES[frame.format.name.rstrip("p")])
        self._is_planar = frame.format.is_planar
        self._count = frame.layout.nb_channels
        self.pairs = list(combinations(range(self._count), 2))

    def measure(self, frame: Any) -> _Window:
        """Compare each two channels by some of their samples."""
        step = frame.samples // _MEASURED_SAMPLES | 1  # odd: tones seldom are in step with it
        samples = self._numpy.array([each[::step] for each in self._views(frame)], "f4")
        if self._type.kind == "u":
            samples -= 128
        full = 1 if self._type.kind == "f" else 1 << (8 * self._type.itemsize - 1)
        scale = 1 / (full * full * samples.shape[1])
        products = (samples @ samples.T).tolist()
        window = _Window()
        for one, other in self.pairs:
            powers = scale * products[one][one], scale * products[other][other]
            window.louder.append(4 * max(powers))
            window.both.append(sum(powers) + 2 * scale * products[one][other])
        return window

    def copy(self, frames: list[Any], before: set[int], copied: set[int]) -> None:
        """Make the second channel of pairs a copy of the first, with a fade where that changes."""
        fade, done = int(_FADE_SECONDS * frames[0].sample_rate), 0
        for frame in frames:
            channels = self._views(frame)
            ramp = self._numpy.clip((done + self._numpy.arange(frame.samples)) / fade, 0, 1)
            for pair in before | copied:
                one, other = (channels[channel] for channel in self.pairs[pair])
                share = 1.0 if pair in before and pair in copied else ramp
                share = share if pair in copied else 1 - ramp
                other[:] = other + share * (one.astype("f8") - other)
            done += frame.samples

    def _views(self, frame: Any) -> list[Any]:
        """Return the samples of each channel, not copied."""
        planes = [self._numpy.frombuffer(plane, self._type) for plane in frame.planes]
        if self._is_planar:
            return [plane[: frame.samples] for plane in planes]
        samples = planes[0][: frame.samples * self._count]
        return [samples[channel :: self._count] for channel in range(self._count)]


def _check_finite(frame: Any) -> None:
    """Refuse samples that are no numbers, which only floating-point PCM can hold."""
    if frame.format.name not in ("flt", "dbl"):  # decoders of compressed sound make them planar
        return
    numpy = import_optional("numpy")
    is_finite = numpy.isfinite(frame.to_ndarray()[0])
    if not is_finite.all():
        index = int(is_finite.argmin())
        at = (frame.time or 0.0) + index // frame.layout.nb_channels / frame.sample_rate
        raise VoxtralAudioError(
            f"its sample at {at:.3f} s is {frame.to_ndarray()[0][index]}, no number: "
            "save the recording anew"
        )
