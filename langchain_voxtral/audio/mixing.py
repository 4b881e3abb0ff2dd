"""Channels to one: by ITU-R BS.775 where they are named, else their mean; none cancels another."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

from langchain_voxtral.audio.wav import SAMPLE_RATE
from langchain_voxtral.errors import VoxtralAudioError, VoxtralMissingAudioExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WINDOW_SECONDS, _STRETCH_SECONDS, _FADE_SECONDS = 0.1, 2.0, 0.01
_MAX_CANCELLED = 0.1
"""Power of two channels' sum, by four times that of the louder one, that makes them opposite."""
_MAX_LOCAL = 0.3
"""The same for a single window of such a stretch, if it is not quiet."""
_QUIET = 0.05
"""Power, by that of the stretch, or of the loudest one so far, which proves nothing."""
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
                self._opposites = _Opposites(self._report_inversion)
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
    """A tenth of a second of frames, and powers by pairs of channels."""

    frames: list[Any] = field(default_factory=list)
    samples: int = 0
    products: Any = None
    """Means of products of each two channels."""
    louder: Any = None
    both: Any = None
    has_cancelled: bool = False


class _Opposites:
    """Frames of several channels, in which a channel that cancels another becomes its copy.

    A balanced line on a stereo input has the same sound twice, once upside down: the mean of both
    is silence. A decision takes two seconds before and behind a frame, which are held for it.
    """

    def __init__(self, report_inversion: Callable[[], None]) -> None:
        self._report_inversion = report_inversion
        self._window = _Window()
        self._done: deque[_Window] = deque()
        self._waiting: deque[_Window] = deque()
        self._loudest = 0.0
        self._copied: tuple[tuple[int, int], ...] = ()

    def feed(self, frame: Any) -> Iterator[Any]:
        """Take a frame, and return those that have enough behind them."""
        self._window.frames.append(frame)
        self._window.samples += frame.samples
        if self._window.products is None:  # one frame in each window is enough
            samples = _samples_by_channel(frame)
            self._window.products = samples @ samples.T / frame.samples
        if self._window.samples >= _WINDOW_SECONDS * frame.sample_rate:
            self._add_window()
            if len(self._waiting) > self._stretch():
                yield from self._next()

    def flush(self) -> Iterator[Any]:
        """Return what is left."""
        if self._window.samples:
            self._add_window()
        while self._waiting:
            yield from self._next()

    def _add_window(self) -> None:
        """Compare the channels of a window."""
        window, self._window = self._window, _Window()
        products = window.products
        powers = products.diagonal()
        rows, columns = _pairs(len(powers))
        one, other = powers[rows], powers[columns]
        window.louder = 4 * _maximum(one, other)
        window.both = one + other + 2 * products[rows, columns]
        window.has_cancelled = bool((window.both < _MAX_LOCAL * window.louder).any())
        self._waiting.append(window)

    def _stretch(self) -> int:
        """Return how many windows a stretch has."""
        window = self._waiting[0]
        return max(int(_STRETCH_SECONDS * window.frames[0].sample_rate / window.samples), 1)

    def _next(self) -> Iterator[Any]:
        stretch = self._stretch()
        window = self._waiting.popleft()
        self._done.append(window)
        while len(self._done) > stretch:
            self._done.popleft()
        copies = self._find_opposites(stretch) if window.has_cancelled or self._copied else ()
        if copies:
            self._report_inversion()
        if copies or self._copied:
            _copy_channels(window.frames, self._copied, copies)
        self._copied = copies
        yield from window.frames
        window.frames = []

    def _find_opposites(self, stretch: int) -> tuple[tuple[int, int], ...]:
        """Return the pairs of channels that cancel each other in a stretch around a window."""
        numpy = import_optional("numpy")
        windows = [*self._done, *list(self._waiting)[: stretch - 1]]
        at, length = len(self._done) - 1, min(stretch, len(windows))
        louder = numpy.stack([window.louder for window in windows])
        both = numpy.stack([window.both for window in windows])
        sums = [numpy.cumsum(numpy.pad(x, ((1, 0), (0, 0))), axis=0) for x in (louder, both)]
        total, rest = (x[length:] - x[:-length] for x in sums)
        self._loudest = max(self._loudest, float(total.max()))
        floor = max(_QUIET * self._loudest, 4 * _MIN_POWER * length)
        is_opposite = ((rest < _MAX_CANCELLED * total) & (total > floor)).any(axis=0)
        local = (both[at] < _MAX_LOCAL * louder[at]) | (louder[at] < _QUIET * louder.mean(axis=0))
        channels = len(self._done[-1].products)
        found = numpy.flatnonzero(is_opposite & local)
        pairs = [(int(_pairs(channels)[0][n]), int(_pairs(channels)[1][n])) for n in found]
        copied = {other for _, other in pairs}
        return tuple((one, other) for one, other in pairs if one not in copied)


def _pairs(channels: int) -> tuple[Any, Any]:
    rows, columns = import_optional("numpy").triu_indices(channels, 1)
    return rows, columns


def _maximum(one: Any, other: Any) -> Any:
    return import_optional("numpy").maximum(one, other)


def _samples_by_channel(frame: Any) -> "NDArray[np.float32]":
    """Return samples from -1 to 1."""
    numpy = import_optional("numpy")
    samples = frame.to_ndarray()
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    floats: NDArray[np.float32] = samples.astype(numpy.float32)
    if samples.dtype.kind == "u":
        floats -= 128
    return floats if samples.dtype.kind == "f" else floats / numpy.iinfo(samples.dtype).max


def _copy_channels(
    frames: list[Any], before: tuple[tuple[int, int], ...], copies: tuple[tuple[int, int], ...]
) -> None:
    """Make channels copies of others, with a fade where that changes."""
    numpy = import_optional("numpy")
    fade = int(_FADE_SECONDS * frames[0].sample_rate)
    done = 0
    for frame in frames:
        channels = _channels_in_place(frame)
        ramp = numpy.clip((done + numpy.arange(frame.samples)) / fade, 0, 1)
        for pair in {*before, *copies}:
            share = 1.0 if pair in before and pair in copies else ramp
            share = share if pair in copies else 1 - ramp
            one, other = channels[pair[0]], channels[pair[1]]
            other[:] = other + share * (one.astype(numpy.float64) - other)
        done += frame.samples


def _channels_in_place(frame: Any) -> list[Any]:
    """Return each channel's samples, which may be written."""
    numpy = import_optional("numpy")
    kind, count = frame.to_ndarray().dtype, frame.layout.nb_channels
    if frame.format.is_planar:
        return [numpy.frombuffer(plane, kind)[: frame.samples] for plane in frame.planes]
    samples = numpy.frombuffer(frame.planes[0], kind)[: frame.samples * count]
    return [samples[channel::count] for channel in range(count)]


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
