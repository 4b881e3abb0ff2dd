"""Responses of speech endpoints, DeepInfra's native one and OpenAI's: transcripts."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from langchain_voxtral.errors import VoxtralResponseError
from langchain_voxtral.protocol.error_responses import error_from_body, sanitize
from langchain_voxtral.protocol.fields import (
    JsonObject,
    UnexpectedShapeError,
    as_float,
    as_int,
    as_object,
    non_empty,
    parse_json_object,
    safe_text,
)
from langchain_voxtral.protocol.languages import LANGUAGES, normalize_language
from langchain_voxtral.protocol.responses import Usage

_MAX_CLOCK_ERROR = 0.1
"""Seconds by which a server's length of a recording may differ: MP3 files begin with padding."""

# Voxtral's template ends in `lang:xx[TRANSCRIBE]`, where `lang:xx` is ordinary text to the model.
_TEMPLATE_TEXT = re.compile(
    rf"(?:lang:(?:{'|'.join(LANGUAGES)}|[a-z]{{2,3}}(?=\[TRANSCRIBE\])))?(?:\[TRANSCRIBE\])?"
)


@dataclass(frozen=True, slots=True)
class Segment:
    """A passage of speech.

    Args:
        start: Seconds from the beginning of the recording that was sent.
        end: The same, not before `start`.
        text: What is said, as the server wrote it.
        id: The server's number for it, if it has one.
    """

    start: float
    end: float
    text: str
    id: int | None = None


@dataclass(frozen=True, slots=True)
class Transcript:
    """A transcription or a translation; what the server left out is None or empty.

    Args:
        text: All that is said.
        segments: Its passages, in the order of their starts.
        language: The language, as its ISO 639-1 code if known. Some servers only repeat the one
            that was requested.
        duration: Seconds of audio that the server received.
        usage: Tokens and cost.
        request_id: The server's id of the request.
        segments_problem: What is wrong with the server's segments, of which then none is kept.
    """

    text: str
    segments: tuple[Segment, ...] = ()
    language: str | None = None
    duration: float | None = None
    usage: Usage = field(default_factory=Usage)
    request_id: str | None = None
    segments_problem: str | None = None


def parse_native(
    data: bytes,
    *,
    timestamps: bool = True,
    max_seconds: float = math.inf,
    header_request_id: str | None = None,
    secrets: Iterable[str] = (),
) -> Transcript:
    """Return the transcript in a 200 response of DeepInfra's native speech endpoint.

    Args:
        data: The body; only its text is required.
        timestamps: Whether segments are wanted; else they are not read.
        max_seconds: Length of the recording, which no segment can begin after.
        header_request_id: Value of the `x-request-id` header, for a body without one.
        secrets: Texts that must not show in an error, such as the API key.

    Raises:
        VoxtralError: The body reports an error.
        VoxtralResponseError: The body is no response of this API.
    """
    document = parse_json_object(data, request_id=header_request_id, secrets=secrets)
    body_id = safe_text(document.get("request_id"), secrets)
    return _parse(
        document,
        body_id or header_request_id,
        secrets,
        max_seconds=max_seconds if timestamps else None,
    )


def parse_openai(
    data: bytes,
    *,
    timestamps: bool = True,
    max_seconds: float = math.inf,
    header_request_id: str | None = None,
    secrets: Iterable[str] = (),
) -> Transcript:
    """Do what `parse_native` does for OpenAI's transcriptions and translations, as JSON."""
    document = parse_json_object(data, request_id=header_request_id, secrets=secrets)
    ids = (safe_text(document.get(name), secrets) for name in ("request_id", "id"))
    return _parse(
        document,
        header_request_id or next(filter(None, ids), None),
        secrets,
        max_seconds=max_seconds if timestamps else None,
    )


def without_template_text(text: str) -> str:
    """Return a text without what some servers leak of Voxtral's template at its start."""
    leak = _TEMPLATE_TEXT.match(text)
    return text[leak.end() :].lstrip() if leak and leak[0] else text


def _parse(
    document: JsonObject,
    request_id: str | None,
    secrets: Iterable[str],
    *,
    max_seconds: float | None,
) -> Transcript:
    """Return the transcript in a document; without `max_seconds` its segments are not read."""
    error = error_from_body(document, secrets=secrets)
    if error is not None:
        request_id = error.request_id or request_id
        raise error.having(request_id=request_id, partial=_partial_text(document))
    status = as_object(document.get("inference_status"))
    text = document.get("text")
    if not isinstance(text, str):
        state = sanitize(non_empty(status.get("status")) or "missing", secrets)
        raise VoxtralResponseError(
            f"The server's answer has no text (status: {state}); check that base_url= and model= "
            "lead to speech.",
            status_code=200,
            request_id=request_id,
            partial=_partial_text(document),
        )
    text = without_template_text(text)
    segments, problem = _segments(document.get("segments"), text, max_seconds)
    language = safe_text(document.get("language"), secrets)
    return Transcript(
        text,
        segments,
        language=normalize_language(language) if language else None,
        duration=_duration(document),
        usage=_usage(as_object(document.get("usage")), status),
        request_id=request_id,
        segments_problem=problem,
    )


def _partial_text(document: JsonObject) -> str:
    """Return what a response that is no transcript has of the text, be it in its segments."""
    text, segments = document.get("text"), document.get("segments")
    if not isinstance(text, str):
        items = segments if isinstance(segments, list) else ()
        texts = [as_object(item).get("text") for item in items]
        text = " ".join(part.strip() for part in texts if isinstance(part, str))
    return without_template_text(text)


def _segments(
    items: object, text: str, max_seconds: float | None
) -> tuple[tuple[Segment, ...], str | None]:
    """Return the segments in a list of JSON objects, or none and what is wrong with them.

    All or none: segments without one that is wrong would leave out a part of the text.
    """
    if items is None or max_seconds is None:
        return (), None
    if not isinstance(items, list):
        return (), "segments that are not a list"
    try:
        segments = tuple(_segment(item, f"segments[{at}]") for at, item in enumerate(items))
        _check_times(segments, max_seconds)
        if segments:
            first = replace(segments[0], text=without_template_text(segments[0].text))
            segments = (first, *segments[1:])
        _check_texts(segments, text)
    except UnexpectedShapeError as problem:
        return (), str(problem)
    return segments, None


def _segment(item: object, location: str) -> Segment:
    if not isinstance(item, dict):
        raise UnexpectedShapeError(f"{location} that is not an object")
    text, number = item.get("text"), item.get("id")
    if not isinstance(text, str):
        raise UnexpectedShapeError(f"{location} without a text")
    start, end = (_seconds(item, name, location) for name in ("start", "end"))
    is_id = isinstance(number, int) and not isinstance(number, bool)
    return Segment(start, end, text, id=number if is_id else None)


def _seconds(item: JsonObject, name: str, location: str) -> float:
    time = item.get(name)
    if isinstance(time, int | float) and not isinstance(time, bool):
        try:
            return float(time)
        except OverflowError:  # JSON has integers that no float can be
            return math.inf
    raise UnexpectedShapeError(f"{location} whose {name} is not a number of seconds")


def _check_times(segments: Sequence[Segment], max_seconds: float) -> None:
    """Reject impossible times: beyond the recording, backward, or of two segments at once."""
    previous = Segment(0.0, 0.0, "")
    for index, part in enumerate(segments):
        span = f"segments[{index}] from {part.start} s to {part.end} s"
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
        if part.start < previous.start:
            raise UnexpectedShapeError(
                f"{span}, out of order: the one before begins at {previous.start} s"
            )
        if part.start < previous.end - _MAX_CLOCK_ERROR:
            raise UnexpectedShapeError(f"{span}, which begins before the end of the one before")
        previous = part
    if segments and all(part.start == part.end for part in segments):
        raise UnexpectedShapeError("segments that all last no time")


def _check_texts(segments: Sequence[Segment], text: str) -> None:
    """Reject segments that leave out a part of the text: their letters are some of its letters.

    Any other difference may be a matter of notation.
    """
    said, timed = _letters(text), _letters("".join(part.text for part in segments))
    rest = iter(said)
    if 0 < len(timed) < len(said) and all(letter in rest for letter in timed):
        raise UnexpectedShapeError("segments that leave out a part of the text")


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text.casefold()))


def _duration(document: JsonObject) -> float | None:
    """Return the seconds of audio; vLLM writes them as a string, 0 is the schema's default."""
    for key, unit in (("duration", 1), ("input_length_ms", 1000)):
        value = document.get(key)
        try:
            seconds = 0.0 if value is None or isinstance(value, bool) else float(value) / unit
        except (TypeError, ValueError, OverflowError):
            continue
        if 0 < seconds < math.inf:
            return seconds
    return None


def _usage(usage: JsonObject, status: JsonObject) -> Usage:
    """Return tokens and cost by the names of OpenAI, Mistral and DeepInfra's native endpoint."""
    if status.get("status") == "unknown":
        # Then zeros are the schema's defaults, and a cost of nothing would look like a price.
        status = {name: value for name, value in status.items() if value}
    details = as_object(usage.get("input_tokens_details") or usage.get("input_token_details"))
    return Usage(
        input_tokens=as_int(
            usage.get("input_tokens"), usage.get("prompt_tokens"), status.get("tokens_input")
        ),
        output_tokens=as_int(
            usage.get("output_tokens"),
            usage.get("completion_tokens"),
            status.get("tokens_generated"),
        ),
        cost=as_float(usage.get("estimated_cost"), usage.get("cost"), status.get("cost")),
        cached_tokens=as_int(details.get("cached_tokens")),
    )
