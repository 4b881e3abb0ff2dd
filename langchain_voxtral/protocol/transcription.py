"""Answers of speech endpoints: DeepInfra's native one and OpenAI's, in all their formats."""

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from pydantic_core import from_json

from langchain_voxtral.audio.subtitles import read_subtitles
from langchain_voxtral.errors import VoxtralResponseError
from langchain_voxtral.protocol.error_responses import details_from_bytes, error_from_body, sanitize
from langchain_voxtral.protocol.fields import (
    JsonObject,
    UnexpectedShapeError,
    as_float,
    as_int,
    non_empty,
    parse_json_object,
    safe_text,
)
from langchain_voxtral.protocol.languages import LANGUAGES, normalize_language
from langchain_voxtral.protocol.responses import Usage
from langchain_voxtral.protocol.timed import check_times, read_segments
from langchain_voxtral.protocol.transcription_requests import ResponseFormat
from langchain_voxtral.protocol.transcripts import Segment, Transcript

_CODES = "|".join(sorted(LANGUAGES, key=len, reverse=True))
_TEMPLATE_TEXT = re.compile(rf"(?:lang:(?:{_CODES}))?(?:\[TRANSCRIBE\])?")
_HTML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype|html|head|body)\b", re.IGNORECASE)


def decode_native(
    data: bytes,
    *,
    timed: bool = True,
    header_request_id: str | None = None,
    secrets: Sequence[str] = (),
) -> Transcript:
    """Return what DeepInfra's native speech endpoint heard.

    What the server leaves out, or has as null, is None or empty in the transcript; only the text
    is required. A duration of 0, the schema's default, counts as left out.

    Args:
        data: Body of a 200 answer.
        timed: Whether segments are wanted; else they are not looked at, and cannot be wrong.
        header_request_id: Value of the `x-request-id` header, for a body that has none.
        secrets: Texts that must not come back in an error, such as the API key.

    Raises:
        VoxtralError: The body reports a failure; the class as for `failures.error_in`.
        VoxtralResponseError: The body is no answer of this API, or has times that cannot be: out
            of order, negative, not a number, an end before its start. The error's `partial` is
            the text.
    """
    document = parse_json_object(data, request_id=header_request_id, secrets=secrets)
    told_id = safe_text(document.get("request_id"), secrets)
    return _transcript(document, told_id or header_request_id, secrets, timed=timed)


def decode_openai(
    data: bytes,
    response_format: ResponseFormat = "json",
    *,
    timed: bool = True,
    content_type: str | None = None,
    header_request_id: str | None = None,
    secrets: Sequence[str] = (),
) -> Transcript:
    r"""Return what OpenAI's transcriptions or translations heard, as all servers answer them.

    A JSON object is read as such whatever was asked for: vLLM answers `text` with one, and errors
    are one. The text of subtitles is that of their cues, a line for each.

    Args:
        data: Body of a 200 answer.
        response_format: The one that was asked for.
        timed: As for `decode_native`.
        content_type: Value of the `content-type` header; by it a text that is written as a JSON
            string is told from one in quotation marks.
        header_request_id: Value of the `x-request-id` header; without it the body's id is taken.
        secrets: Texts that must not come back in an error, such as the API key.

    Raises:
        VoxtralError: The body reports a failure; the class as for `failures.error_in`.
        VoxtralResponseError: As for `decode_native`.
    """
    value = _json_in(data)
    if isinstance(value, dict) or response_format in {"json", "verbose_json"}:
        document = parse_json_object(data, request_id=header_request_id, secrets=secrets)
        told_id = safe_text(document.get("request_id") or document.get("id"), secrets)
        return _transcript(document, header_request_id or told_id, secrets, timed=timed)
    in_json = "json" in (content_type or "").lower()
    try:
        text = value if in_json and isinstance(value, str) else _plain_text(data)
        if response_format == "text":
            text = without_template_text(text.removesuffix("\n"))
            return Transcript(text, request_id=header_request_id)
        segments = _cues(text)
    except UnexpectedShapeError as misfit:
        _refuse(misfit, header_request_id, secrets)
    segments = _without_template_text(segments)
    whole = "\n".join(segment.text for segment in segments)
    return Transcript(whole, segments, request_id=header_request_id)


def without_template_text(text: str) -> str:
    """Return a text without what some servers leak of Voxtral's template: at its start only.

    The template ends in `lang:xx[TRANSCRIBE]`, where `lang:xx` is ordinary text to the model.
    """
    leak = _TEMPLATE_TEXT.match(text)
    return text[leak.end() :].lstrip() if leak and leak[0] else text


def _transcript(
    document: JsonObject, request_id: str | None, secrets: Sequence[str], *, timed: bool
) -> Transcript:
    error = error_from_body(document, secrets=secrets)
    if error is not None:
        raise error.having(request_id=error.request_id or request_id)
    inference = _told(_object(document, "inference_status"))
    usage = _object(document, "usage")
    try:
        text = _text(document, inference.get("status"))
        segments = read_segments(document.get("segments")) if timed else ()
    except UnexpectedShapeError as misfit:
        _refuse(misfit, request_id, secrets, document.get("text"))
    language = safe_text(document.get("language"), secrets)
    return Transcript(
        without_template_text(text),
        _without_template_text(segments),
        language=normalize_language(language) if language else None,
        duration=_duration(document),
        billed_seconds=_first(usage.get("seconds"), usage.get("prompt_audio_seconds")),
        usage=_usage(usage, inference),
        request_id=request_id,
        runtime_ms=as_int(inference.get("runtime_ms")),
    )


def _refuse(
    misfit: UnexpectedShapeError,
    request_id: str | None,
    secrets: Sequence[str],
    text: object = None,
) -> NoReturn:
    raise VoxtralResponseError(
        f"The server's answer has {sanitize(str(misfit), secrets)}.",
        status_code=200,
        request_id=request_id,
        partial=non_empty(text) or "",
    ) from None


def _text(document: JsonObject, status: object) -> str:
    text = document.get("text")
    if isinstance(text, str):
        return text
    told = non_empty(status) or "not told"
    raise UnexpectedShapeError(
        f"no text (status: {told}); check that base_url= and model= lead to speech"
    )


def _duration(document: JsonObject) -> float | None:
    """Return the seconds that were heard; vLLM writes them as a string."""
    for key, unit in (("duration", 1), ("input_length_ms", 1000)):
        told = document.get(key)
        try:
            seconds = 0.0 if told is None else float(told) / unit
        except (TypeError, ValueError, OverflowError):
            seconds = math.nan
        if 0 < seconds < math.inf:
            return seconds
    return None


def _usage(usage: JsonObject, inference: JsonObject) -> Usage:
    """Return tokens and cost by the names of OpenAI, Mistral and DeepInfra's native endpoint."""
    details = _object(usage, "input_tokens_details") or _object(usage, "input_token_details")
    return Usage(
        input_tokens=as_int(
            usage.get("input_tokens"), usage.get("prompt_tokens"), inference.get("tokens_input")
        ),
        output_tokens=as_int(
            usage.get("output_tokens"),
            usage.get("completion_tokens"),
            inference.get("tokens_generated"),
        ),
        cost=_first(usage.get("estimated_cost"), inference.get("cost")),
        cached_tokens=as_int(details.get("cached_tokens")),
    )


def _object(document: JsonObject, key: str) -> JsonObject:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _told(inference: JsonObject) -> JsonObject:
    """Return what an inference status tells: of an `unknown` one, zeros are the schema's defaults.

    (DeepInfra's API page prints them so. A price of nothing would look like a price.)
    """
    if inference.get("status") != "unknown":
        return inference
    return {name: value for name, value in inference.items() if value}


def _first(*values: object) -> float | None:
    """Return the first value that is a finite number and not negative."""
    return next((number for number in map(as_float, values) if number is not None), None)


def _json_in(data: bytes) -> object:
    try:
        value: object = from_json(data)
    except ValueError:
        return None
    return value


def _cues(text: str) -> tuple[Segment, ...]:
    """Return the cues of subtitles; which of the two kinds they are, they say themselves."""
    try:
        cues = read_subtitles(text)
    except (ValueError, OverflowError) as wrong:
        raise UnexpectedShapeError(f"subtitles that cannot be read: {wrong}".rstrip(".")) from None
    segments = tuple(Segment(cue.start, cue.end, cue.text) for cue in cues)
    check_times(segments)
    return segments


def _plain_text(data: bytes) -> str:
    if _HTML.match(data):
        # Else the page of a proxy would be taken for what was said.
        said = details_from_bytes(data).text
        raise UnexpectedShapeError(f"a web page in place of a text (check base_url=): {said}")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise UnexpectedShapeError("a text that is not UTF-8") from None


def _without_template_text(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    if not segments:
        return segments
    first, *rest = segments
    return replace(first, text=without_template_text(first.text)), *rest
