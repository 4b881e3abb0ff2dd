"""The sound of an open file, decoded by FFmpeg (PyAV)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, BinaryIO

from langchain_voxtral.audio.formats import (
    AAC,
    AC3,
    AIFF,
    AMR,
    ASF,
    AU,
    AVI,
    CAF,
    FLAC,
    FLV,
    M4A,
    MKA,
    MP2,
    MP3,
    MP4,
    MPEG_TS,
    OGG,
    OPUS,
    W64,
    WAV,
    WEBM,
    AudioFormat,
    demuxer_format,
)
from langchain_voxtral.audio.mixing import Mixer, import_optional
from langchain_voxtral.audio.mp3 import is_between_frames
from langchain_voxtral.audio.patches import FileCheck, PatchedFile, ReportDamage
from langchain_voxtral.audio.wav import SAMPLE_RATE
from langchain_voxtral.errors import (
    VoxtralAudioError,
    VoxtralTruncatedAudioError,
)

_VIDEO = {M4A, MP4, WEBM, MKA}
"""Formats of films, in which sound may begin after the picture."""
_WITHOUT_CLOCK = {WAV, MP3, AAC, AIFF, AU, CAF, W64, AVI, MP2, AMR}
"""Formats whose frames have no times; FFmpeg counts them."""
_RAW = {MP2, AC3} | {demuxer_format(name) for name in ("loas", "eac3", "dts")}
"""Formats that are packets and nothing else: what is no packet is one that cannot be decoded."""
_STATED_LENGTH = {WAV, FLAC, OGG, OPUS, *_VIDEO, AIFF, AU, CAF, W64, ASF, FLV} | {
    demuxer_format(name) for name in ("ape", "tta", "wv")
}
"""Formats that state their length; of others FFmpeg estimates it."""
_CHECKED_BEFORE = {WAV, W64, OGG, OPUS, WEBM, MKA}
"""Formats whose bytes were all accounted for, so that a wrong length in the header is no damage."""
_DEMUXERS = """
    aac ac3 ac4 act aea aiff amr ape asf asf_o au avi avr bonk caf dhav dsf dss dts dtshd dv eac3
    flac flv gxf iamf iff ircam ivf kux lc3 live_flv loas matroska,webm mlp mmf mov,mp4,m4a,3gp
    mp3 mpc mpc8 mpeg mpegts mpegtsraw mxf nistsphere nsv nut nuv ogg oma osq paf pva pvf qcp qoa
    rm rso shn smjpeg sox spdif swf tak tta truehd ty voc w64 wav wsd wtv wv xwma
"""
_ONLY_SOUND = {"format_whitelist": ",".join(_DEMUXERS.split()), "protocol_whitelist": "none"}
"""Options of FFmpeg: no subtitles, pictures or playlists, and nothing but the file is opened."""
_RATES = range(1_000, 1_000_001)
"""Samples a second: beyond, a header is wrong, or a small file would be days of sound."""
_MAX_MISSING_SECONDS = 0.5
"""What a container may promise beyond its sound: padding, rounding, a longer picture."""
_MIN_GAP_SECONDS = 0.1
"""Time between two frames that is a gap; clocks of containers are coarse."""
_MAX_JITTER_SECONDS = 0.001
"""Time between two frames that is a gap where a clock counts samples, or where there is damage."""
_MAX_LATE_SECONDS = 10.0
"""How late a damaged recording begins that has lost its beginning."""
_GAP_OF_DAMAGED = {OPUS: 0.001, M4A: 0.001, MP4: 0.001, WEBM: 0.015, MKA: 0.015}
"""Time between two frames that is a gap in a file that is known to be damaged."""
_FROM_ZERO = _VIDEO | {OGG, OPUS}
"""Formats whose clock begins at 0, but for live streams."""
_MAX_FAILURES = 8
"""How often reading may fail before it ends, if nothing is read between."""
_MAX_SILENCE_SECONDS = 3600.0
"""All gaps together, beyond which a clock is wrong: few bytes could claim years."""


def probe_format(file: BinaryIO) -> AudioFormat | None:
    """Return the format of a file that FFmpeg recognizes by more than its beginning."""
    av = import_optional("av")
    try:
        with _open_container(av, file, None) as container:
            return demuxer_format(container.format.name)
    except av.FFmpegError:
        return None


def _open_container(av: ModuleType, file: BinaryIO | PatchedFile, demuxer: str | None) -> Any:
    file.seek(0)
    # By default a file that is open for writing too would be written to.
    return av.open(file, "r", format=demuxer, options=_ONLY_SOUND, metadata_errors="replace")


@contextmanager
def open_track(file: BinaryIO | PatchedFile, audio_format: AudioFormat) -> "Iterator[AudioTrack]":
    """Open the sound of a file.

    Raises:
        VoxtralTruncatedAudioError: FFmpeg cannot open it.
        VoxtralAudioError: There is no sound that can be decoded in it.
    """
    av = import_optional("av")
    demuxer = "mp3" if audio_format == MP3 else None  # found even after much else
    try:
        container = _open_container(av, file, demuxer)
    except av.FFmpegError as error:
        raise VoxtralTruncatedAudioError(
            f"it begins like {audio_format.name} and cannot be opened ({error.strerror}): it is "
            "cut off or damaged; give the whole recording"
        ) from error
    with container:
        stream = container.streams.best("audio")
        if stream is None:
            raise VoxtralAudioError("it has no sound: there is no audio track in it")
        if stream.codec_context is None:
            raise VoxtralAudioError(
                f"it begins like {audio_format.name} and its encoding is not known"
            )
        if stream.rate not in _RATES:
            raise VoxtralAudioError(
                f"its header states {stream.rate} samples a second, and {_RATES[0]} to "
                f"{_RATES[-1]} are read: the header is wrong"
            )
        yield AudioTrack(av, container, stream, audio_format)


@dataclass(frozen=True, slots=True)
class AudioTrack:
    """The sound of an open file, to be decoded once."""

    av: Any
    container: Any
    stream: Any
    format: AudioFormat

    @property
    def seconds(self) -> float | None:
        """Its length as the container tells it."""
        stream = self.stream
        if self.format not in _STATED_LENGTH:
            return None
        if stream.duration:
            late = max(stream.start_time or 0, 0) if self.format in _VIDEO else 0
            return float((stream.duration + late) * stream.time_base)
        if not self.container.duration or len(self.container.streams) > 1:
            return None
        return float(self.container.duration / 1_000_000)

    def iter_pcm(
        self, check: FileCheck, report_damage: ReportDamage, report_inversion: Callable[[], None]
    ) -> Iterator[bytes]:
        """Decode it to 16-bit PCM, mono, 16 kHz, in blocks of at most a second."""
        samples = 0
        mixer = Mixer(self.av, report_inversion)
        for block in self._blocks(check, report_damage, mixer):
            samples += len(block) // 2
            yield block
        decoded, stated = samples / SAMPLE_RATE, self.seconds
        if stated is None or self.format in _CHECKED_BEFORE:
            return
        if stated - decoded > (
            _MAX_JITTER_SECONDS if self.format == FLAC else _MAX_MISSING_SECONDS
        ):
            report_damage(self._damage_error(decoded))

    def _blocks(
        self, check: FileCheck, report_damage: ReportDamage, mixer: Mixer
    ) -> Iterator[bytes]:
        """Decode; where the file's clock runs on without sound, there is silence.

        So films whose sound begins late, calls that send nothing in pauses, and damaged recordings
        keep their times.
        """
        silent, is_begun = 0.0, False
        end = self._start_time(check)
        lost_until: float | None = None
        gap_of_damaged = _GAP_OF_DAMAGED.get(self.format) if check.is_damaged else None
        for item in self._frames(check, report_damage):
            if isinstance(item, _Silence):
                yield from mixer.flush()
                yield from _silence(item.seconds)
                continue
            if isinstance(item, _Lost):
                lost_until = max(item.until, lost_until or 0.0)
                continue
            begin = end if item.time is None else item.time
            gap = begin - end
            is_lost = lost_until is not None or (is_begun and self.format == FLAC)
            min_gap = _MAX_JITTER_SECONDS if is_lost else gap_of_damaged or _MIN_GAP_SECONDS
            if gap > min_gap and (is_lost or self.format not in _WITHOUT_CLOCK):
                yield from mixer.flush()
                silent += gap
                if silent > _MAX_SILENCE_SECONDS or (is_begun and self.format == FLAC):
                    report_damage(self._damage_error(end))
                if silent > _MAX_SILENCE_SECONDS:
                    return
                yield from _silence(gap)
            is_begun, end, lost_until = True, begin + item.samples / item.sample_rate, None
            yield from mixer.feed(item)
        yield from mixer.flush()
        yield from _silence((lost_until or end) - end)

    def _frames(
        self, check: FileCheck, report_damage: ReportDamage
    ) -> "Iterator[Any | _Lost | _Silence]":
        """Yield frames, and what is missing between them."""
        at, holes = 0.0, list(check.holes)
        seconds, size = 0.0, 0
        codec = self.stream.codec_context.name
        may_be_zeroed = self.format != MP3 and codec.startswith(("mp2", "mp3"))
        for packet in self._packets():
            if isinstance(packet, self.av.FFmpegError):
                report_damage(self._damage_error(at))
                yield _Lost(at)
                continue
            if packet.pts is not None:
                at = float(packet.pts * packet.time_base)
            while holes and packet.pos is not None and packet.pos + packet.size > holes[0][0]:
                yield _Silence(holes.pop(0)[1])
            is_lost = packet.is_corrupt and self.format == MPEG_TS
            try:
                frames = packet.decode()
            except self.av.FFmpegError:
                frames = []
                is_lost = self.format != MP3 or not is_between_frames(bytes(packet))
            if is_lost:
                report_damage(self._damage_error(at))
                if self.format in _RAW and size:
                    yield _Silence(packet.size * seconds / size)
                else:
                    yield _Lost(at + float((packet.duration or 0) * packet.time_base))
            elif self.format in _RAW:
                seconds += sum(frame.samples / frame.sample_rate for frame in frames)
                size += packet.size
            yield from frames
            if frames and may_be_zeroed and packet.size and not memoryview(packet)[0]:
                # Zeros stand before an MPEG frame, where decoders pass over them.
                report_damage(self._damage_error(at))
                yield _Lost(at)

    def _packets(self) -> Iterator[Any]:
        """Yield packets, and errors where there are none that can be read."""
        failures = 0
        while failures < _MAX_FAILURES:
            try:
                for packet in self.container.demux(self.stream):
                    failures = 0
                    yield packet
            except self.av.FFmpegError as error:
                failures += 1
                yield error
            else:
                return

    def _start_time(self, check: FileCheck) -> float:
        """Return where the file's clock stands at its beginning: in a live stream anywhere."""
        start, stated = (self.container.start_time or 0) / 1_000_000, self.seconds
        is_late = self.format in _VIDEO and stated is not None and start < stated
        lacks_begin = check.is_damaged and self.format in _FROM_ZERO and start < _MAX_LATE_SECONDS
        return 0.0 if is_late or lacks_begin else start

    def _damage_error(self, at: float) -> VoxtralTruncatedAudioError:
        of = "" if self.seconds is None else f" of {self.seconds:.1f} s"
        return VoxtralTruncatedAudioError(
            f"it cannot be decoded beyond {at:.1f} s{of}: it is cut off or damaged there"
        )


@dataclass(frozen=True, slots=True)
class _Lost:
    """Sound that cannot be decoded, and when it ends if that is known."""

    until: float


@dataclass(frozen=True, slots=True)
class _Silence:
    """Sound that is missing in the file and that the file's clock does not count."""

    seconds: float


def _silence(seconds: float) -> Iterator[bytes]:
    samples = round(seconds * SAMPLE_RATE)
    for start in range(0, samples, SAMPLE_RATE):
        yield bytes(2 * min(SAMPLE_RATE, samples - start))
