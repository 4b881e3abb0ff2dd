"""Times in transcripts: segments and words. They are checked before they are believed."""

import math
import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter

from langchain_voxtral.protocol.fields import JsonObject, UnexpectedShapeError, as_object
from langchain_voxtral.protocol.languages import VOXTRAL_LANGUAGES
from langchain_voxtral.providers import Timestamps

_MAX_CLOCK_ERROR = 0.1
"""Seconds by which a server's length of a recording may differ: MP3 files begin with padding."""
_MAX_PAUSE_SECONDS = 1.0
_MAX_PASSAGE_SECONDS = 15.0
"""Longest segment that is made of words: as a subtitle it can still be read at once."""
_SPEAKER_NAMES = ("speaker", "speaker_id")
_SENTENCE_ENDS = (".", "?", "!", "…", "。", "？", "！")  # noqa: RUF001 - Chinese and Japanese

# Voxtral's template ends in `lang:xx[TRANSCRIBE]`, where `lang:xx` is ordinary text to the model.
_TEMPLATE_TEXT = re.compile(
    rf"(?:lang:(?:{'|'.join(VOXTRAL_LANGUAGES)}|[a-z]{{2,3}}(?=\[TRANSCRIBE\])))?(?:\[TRANSCRIBE\])?"
)


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its times.

    Args:
        text: The word, as the server wrote it.
        start: Seconds from the beginning of the recording that was sent.
        end: The same, not before `start`.
        speaker: The server's name for who says it, if it tells one.
    """

    text: str
    start: float
    end: float
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Segment:
    """A passage of speech.

    Args:
        start: Seconds from the beginning of the recording that was sent.
        end: The same, not before `start`.
        text: What is said, as the server wrote it.
        id: The server's number for it, if it has one.
        speaker: The server's name for who says it, if it tells one.
        words: Its words, if their times were requested and are possible.
    """

    start: float
    end: float
    text: str
    id: int | None = None
    speaker: str | None = None
    words: tuple[Word, ...] = ()


def read_segments(
    document: JsonObject,
    text: str,
    *,
    timestamps: Timestamps | None,
    max_seconds: float = math.inf,
    words_replace_segments: bool = False,
) -> tuple[tuple[Segment, ...], str | None]:
    """Return the segments of a response, with words if requested, and what is wrong with them.

    Segments are kept all or none, and words too: without one that is wrong they would leave out a
    part of the text. Each are kept without the other: if only words have possible times, segments
    are made of them.

    Args:
        document: The response, with `segments`, and `words` there or in the segments.
        text: All that is said.
        timestamps: What was requested; without it nothing is read.
        max_seconds: Length of the recording, which nothing can begin after.
        words_replace_segments: Whether the server, asked for words, gives them as segments.
    """
    if timestamps is None:
        return (), None
    segments, problem = _checked(document.get("segments"), "segments", text, max_seconds)
    if timestamps == "segment":
        return segments, problem
    if words_replace_segments:
        return _passages(_as_words(segments), text), problem
    parts, words_problem = _checked(_word_items(document), "words", text, max_seconds)
    words = _as_words(parts)
    spoken = [segment for segment in segments if segment.text.strip()]
    segments = _with_words(spoken, words) if spoken else _passages(words, text)
    return segments, " and ".join(filter(None, (problem, words_problem))) or None


def without_template_text(text: str) -> str:
    """Return a text without what some servers leak of Voxtral's template at its start."""
    leak = _TEMPLATE_TEXT.match(text)
    return text[leak.end() :].lstrip() if leak and leak[0] else text


def _word_items(document: JsonObject) -> object:
    """Return the JSON of the words, be they beside the segments or in them, as who speaks is."""
    words, segments = document.get("words"), document.get("segments")
    if words or not isinstance(segments, list):
        return words
    items: list[object] = []
    for segment in map(as_object, segments):
        inner = segment.get("words")
        for word in inner if isinstance(inner, list) else [] if inner is None else [inner]:
            speaker = _speaker(as_object(word)) or _speaker(segment)
            items.append(word | {"speaker": speaker} if isinstance(word, dict) else word)
    return items


def _checked(
    items: object, name: str, text: str, max_seconds: float
) -> tuple[tuple[Segment, ...], str | None]:
    """Return the segments or words in a list of JSON objects, or none and what is wrong."""
    if items is None:
        return (), None
    if not isinstance(items, list):
        return (), f"{name} that are not a list"
    try:
        parts = [_part(item, f"{name}[{at}]") for at, item in enumerate(items)]
        _check_times(parts, name, max_seconds)
        if parts:
            parts[0] = replace(parts[0], text=without_template_text(parts[0].text))
        _check_texts(parts, name, text)
    except UnexpectedShapeError as problem:
        return (), str(problem)
    return tuple(sorted(parts, key=attrgetter("start"))), None


def _part(item: object, location: str) -> Segment:
    """Return a segment or a word, whose text has one of two names."""
    if not isinstance(item, dict):
        raise UnexpectedShapeError(f"{location} that is not an object")
    text, number = item.get("text"), item.get("id")
    text = item.get("word") if text is None else text
    if not isinstance(text, str):
        raise UnexpectedShapeError(f"{location} without a text")
    start, end = (_seconds(item, name, location) for name in ("start", "end"))
    is_id = isinstance(number, int) and not isinstance(number, bool)
    return Segment(start, end, text, id=number if is_id else None, speaker=_speaker(item))


def _speaker(item: JsonObject) -> str | None:
    """Return who speaks, in one line: servers have names and numbers."""
    for value in map(item.get, _SPEAKER_NAMES):
        is_name = isinstance(value, str | int) and not isinstance(value, bool)
        if is_name and (name := " ".join(str(value).split())):
            return name
    return None


def _seconds(item: JsonObject, name: str, location: str) -> float:
    time = item.get(name)
    if isinstance(time, int | float) and not isinstance(time, bool):
        try:
            return float(time)
        except OverflowError:  # JSON has integers that no float can be
            return math.inf
    raise UnexpectedShapeError(f"{location} whose {name} is not a number of seconds")


def _check_times(parts: Sequence[Segment], name: str, max_seconds: float) -> None:
    """Reject impossible times: beyond the recording, backward, or two of one speaker at once."""
    latest: dict[str | None, Segment] = {}
    for index, part in enumerate(parts):
        span = f"{name}[{index}] from {part.start} s to {part.end} s"
        if not (math.isfinite(part.start) and math.isfinite(part.end)):
            raise UnexpectedShapeError(f"{span}, which is no time")
        if part.start < 0:
            raise UnexpectedShapeError(f"{span}, which begins before the recording")
        if part.start > max_seconds + _MAX_CLOCK_ERROR:
            raise UnexpectedShapeError(
                f"{span}, which begins after the {max_seconds:.1f} s that were sent"
            )
        if part.end < part.start:
            raise UnexpectedShapeError(f"{span}, which ends before it begins")
        previous = latest.get(part.speaker, part)
        if part.start < previous.start:
            raise UnexpectedShapeError(
                f"{span}, out of order: the one before begins at {previous.start} s"
            )
        if previous is not part and part.start < previous.end - _MAX_CLOCK_ERROR:
            raise UnexpectedShapeError(f"{span}, which begins before the end of the one before")
        latest[part.speaker] = part
    if parts and all(part.start == part.end for part in parts):
        raise UnexpectedShapeError(f"{name} that all last no time")


def _check_texts(parts: Sequence[Segment], name: str, text: str) -> None:
    """Reject parts that leave out some of the text: their letters are some of its letters.

    Any other difference may be a matter of notation.
    """
    joined = "".join(part.text for part in parts)
    said, timed = _letters(text), _letters(joined)
    rest = iter(said)
    if joined.strip() and len(timed) < len(said) and all(letter in rest for letter in timed):
        raise UnexpectedShapeError(f"{name} that leave out a part of the text")


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _as_words(parts: Iterable[Segment]) -> list[Word]:
    return [Word(one.text, one.start, one.end, one.speaker) for one in parts if one.text.strip()]


def _with_words(segments: Sequence[Segment], words: Iterable[Word]) -> tuple[Segment, ...]:
    """Return segments with their words: those whose middle is in them, or nearest to them."""
    tracks: dict[str | None, list[int]] = {}  # segments of one speaker, which do not overlap
    for at, segment in enumerate(segments):
        tracks.setdefault(segment.speaker, []).append(at)
    found: dict[int, list[Word]] = {}
    for word in words:
        own = None if word.speaker is None else tracks.get(word.speaker)
        at = _nearest(segments, [own] if own else tracks.values(), (word.start + word.end) / 2)
        speaker = word.speaker or segments[at].speaker
        found.setdefault(at, []).append(replace(word, speaker=speaker))
    return tuple(replace(one, words=tuple(found.get(at, ()))) for at, one in enumerate(segments))


def _nearest(segments: Sequence[Segment], tracks: Iterable[Sequence[int]], time: float) -> int:
    """Return which segment is spoken at a time; of several the last one to begin."""
    candidates: list[int] = []
    for track in tracks:
        after = bisect_right(track, time, key=lambda at: segments[at].start)
        candidates += track[max(after - 1, 0) : after + 1]

    def gap(at: int) -> tuple[float, float]:
        segment = segments[at]
        return max(segment.start - time, time - segment.end, 0.0), -segment.start

    return min(candidates, key=gap)


def _passages(words: Sequence[Word], text: str) -> tuple[Segment, ...]:
    """Return segments that are made of words: sentences of one speaker without long pauses."""
    passages: list[list[tuple[Word, str]]] = []
    latest: dict[str | None, list[tuple[Word, str]]] = {}
    for word, spelling in zip(words, _spellings(words, text), strict=True):
        passage = latest.get(word.speaker)
        if passage is None or _is_over(passage, word):
            passage = latest[word.speaker] = []
            passages.append(passage)
        passage.append((word, spelling))
    return tuple(
        Segment(
            passage[0][0].start,
            max(word.end for word, _ in passage),
            "".join(spelling for _, spelling in passage).strip(),
            speaker=passage[0][0].speaker,
            words=tuple(word for word, _ in passage),
        )
        for passage in passages
    )


def _is_over(passage: Sequence[tuple[Word, str]], word: Word) -> bool:
    last, spelling = passage[-1]
    return (
        spelling.rstrip().endswith(_SENTENCE_ENDS)
        or word.start - last.end > _MAX_PAUSE_SECONDS
        or word.end - passage[0][0].start > _MAX_PASSAGE_SECONDS
    )


def _spellings(words: Sequence[Word], text: str) -> list[str]:
    """Return the words as the text has them, with its signs and spaces: their sum is the text.

    If the text has others, they are as the server wrote them.
    """
    separate = [f"{word.text.strip()} " for word in words]
    if _letters("".join(separate)) != _letters(text):
        return separate
    starts: list[int] = []
    end = 0
    for word in words:
        start = text.find(word.text.strip(), end)
        if start < 0:
            return separate
        # What opens a word, such as a quotation mark, has a space before it.
        _, space, opening = text[end:start].rpartition(" ")
        at = start - len(opening) if space else start
        starts.append(at if starts else 0)
        end = start + len(word.text.strip())
    ends = [*starts[1:], len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=False)]
