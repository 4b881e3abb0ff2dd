"""Where a recording is cut, and its pieces as they are sent."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import takewhile

from langchain_voxtral.audio.chunking import AudioChunk, split_at_silence
from langchain_voxtral.audio.decoder import Recording, Truncated
from langchain_voxtral.audio.formats import WAV, AudioFormat
from langchain_voxtral.audio.upload import encode_for_upload
from langchain_voxtral.errors import VoxtralTruncatedAudioError
from langchain_voxtral.transcription.source import Given

__all__ = ["Cuts", "Piece", "Span", "Windows", "cut", "planned"]


@dataclass(frozen=True, slots=True)
class Windows:
    """How large a piece may be.

    Args:
        longest: Seconds that the server takes.
        most_bytes: Bytes that the server takes.
        target: Seconds to aim at, if not at as few pieces as can be.
        takes: Names of the kinds that the server takes as they are.
        truncated: What becomes of a recording that is cut off, as for `Recording`.
    """

    longest: float
    most_bytes: int
    target: float | None
    takes: frozenset[str]
    truncated: Truncated

    @property
    def aim(self) -> float:
        """Seconds up to which a recording stays in one piece."""
        return min(self.longest, self.target or self.longest)


@dataclass(frozen=True, slots=True)
class Span:
    """Where a piece lies in its recording.

    Args:
        index: Its place, from 0.
        start: Where it begins, in seconds.
        end: Where it ends, in seconds.
    """

    index: int
    start: float
    end: float

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a recording, as it is sent.

    Args:
        span: Where it lies.
        data: A file of its sound.
        kind: What file that is.
    """

    span: Span
    data: bytes = field(repr=False)
    kind: AudioFormat = WAV


@dataclass(frozen=True, slots=True)
class Cuts:
    """All pieces of a recording.

    Args:
        spans: Where they lie; each begins where the one before ends.
        whole: The piece itself, if there is just one and it has been made.
        truncated: Whether the recording is cut off or damaged, and was taken as far as it goes.
    """

    spans: tuple[Span, ...]
    whole: Piece | None = None
    truncated: bool = False

    @property
    def duration(self) -> float:
        """The recording's length in seconds."""
        return self.spans[-1].end


def cut(recording: Given, windows: Windows, sound: Recording | None = None) -> Iterator[Piece]:
    """Cut a recording into pieces that the server takes, while it is decoded.

    A WAV or MP3 file that the server takes as it is, and that is short enough, is sent unchanged.

    Args:
        recording: The recording.
        windows: How large a piece may be.
        sound: The same recording, if it is opened already.

    Raises:
        VoxtralAudioError: It cannot be decoded.
        VoxtralMissingAudioExtraError: It must be decoded, and the libraries are not installed.
    """
    with _advising():
        yield from _pieces(recording, windows, sound or _opened(recording, windows))


def _opened(recording: Given, windows: Windows) -> Recording:
    return Recording(recording.source, name=recording.title, truncated=windows.truncated)


@contextmanager
def _advising() -> Iterator[None]:
    try:
        yield
    except VoxtralTruncatedAudioError as error:
        error.message += " truncated='keep' takes what can be decoded."
        raise


def _pieces(recording: Given, windows: Windows, sound: Recording) -> Iterator[Piece]:
    if sound.format.name in windows.takes and recording.size <= windows.most_bytes:
        seconds = sound.duration
        if seconds is not None and seconds <= windows.aim:
            clip = encode_for_upload(
                recording.read(),
                accepted_formats=windows.takes,
                name=recording.title,
                truncated=windows.truncated,
            )
            yield Piece(Span(0, 0.0, clip.seconds), clip.data, clip.format)
            return
    made = split_at_silence(
        sound,
        max_seconds=windows.longest,
        max_bytes=windows.most_bytes,
        target_seconds=windows.target,
    )
    yield from map(_piece, made)  # a loop's variable would keep a piece alive that is sent already


def _piece(chunk: AudioChunk) -> Piece:
    return Piece(Span(chunk.index, chunk.start, chunk.end), chunk.data)


def planned(
    recording: Given, windows: Windows, given_up: Callable[[], bool] = lambda: False
) -> Cuts:
    """Find out where a recording is cut, before any of it is sent.

    A recording of several pieces is decoded once for this and once more to be sent: so its price
    is known before anything is paid, and so is damage at its end.

    Args:
        recording: The recording.
        windows: How large a piece may be.
        given_up: Asked at each piece whether nobody wants to know any more.

    Raises:
        VoxtralAudioError: It cannot be decoded.

    Example:
        ```python
        from langchain_voxtral.audio.wav import wav_header
        from langchain_voxtral.transcription.cuts import Span, Windows, planned
        from langchain_voxtral.transcription.source import Given

        second = Given(wav_header(32_000) + bytes(32_000))
        windows = Windows(600, 25_000_000, None, frozenset({"wav"}), "error")
        assert planned(second, windows).spans == (Span(0, 0.0, 1.0),)
        ```
    """
    with _advising():
        sound = _opened(recording, windows)
    pieces = takewhile(lambda _: not given_up(), cut(recording, windows, sound))
    first = next(pieces)
    spans = [first.span, *(piece.span for piece in pieces)]
    whole = first if len(spans) == 1 else None
    return Cuts(tuple(spans), whole, truncated=sound.is_complete is False)
