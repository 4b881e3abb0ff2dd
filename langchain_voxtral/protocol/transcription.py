"""Responses of speech endpoints, DeepInfra's native one and OpenAI's: transcripts."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, get_args

from langchain_voxtral.errors import VoxtralResponseError, with_facts
from langchain_voxtral.protocol.error_responses import error_from_body, sanitize
from langchain_voxtral.protocol.fields import (
    JsonObject,
    as_float,
    as_int,
    as_object,
    non_empty,
    parse_json_object,
    safe_text,
)
from langchain_voxtral.protocol.languages import normalize_language
from langchain_voxtral.protocol.responses import Usage
from langchain_voxtral.protocol.segments import Segment, read_segments, without_template_text
from langchain_voxtral.providers import Timestamps

LanguageSource = Literal["asked", "detected", "assumed"]
"""How the embedded engine knows a language: the request named it, the model detected it, or it is
only assumed, since the model knows no other or is not sure. Other servers do not tell."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """A transcription or a translation; what the server left out is None or empty.

    Args:
        text: All that is said.
        segments: Its passages, in the order of their starts.
        language: The language, as its ISO 639-1 code if known. Some servers only repeat the one
            that was requested, and OpenAI's translations name that of the text.
        language_probability: How sure the server is of it, from 0 to 1.
        language_source: How it knows it.
        usage: Tokens and cost.
        request_id: The server's id of the request.
        segments_problem: What is wrong with the server's segments or words; then none of these
            is kept.
        finish_reason: Why the text ends, if a model that answers in text tells.
        runtime_ms: Milliseconds of inference.
    """

    text: str
    segments: tuple[Segment, ...] = ()
    language: str | None = None
    language_probability: float | None = None
    language_source: LanguageSource | None = None
    usage: Usage = field(default_factory=Usage)
    request_id: str | None = None
    segments_problem: str | None = None
    finish_reason: str | None = None
    runtime_ms: int | None = None


def parse_transcript(
    data: bytes,
    *,
    is_native: bool = False,
    timestamps: Timestamps | None = "segment",
    max_seconds: float = math.inf,
    words_replace_segments: bool = False,
    header_request_id: str | None = None,
    secrets: Iterable[str] = (),
) -> Transcript:
    """Return the transcript in a 200 response, of OpenAI's transcriptions and translations as JSON.

    Args:
        data: The body; only its text is required.
        is_native: Whether DeepInfra's native speech endpoint sent it, whose own id of the request
            goes before the header's.
        timestamps: Whether segments or words are wanted; else they are not read.
        max_seconds: Length of the recording, which no segment can begin after.
        words_replace_segments: Whether the server, asked for words, gives them as segments.
        header_request_id: Value of the `x-request-id` header.
        secrets: Texts that must not show in an error, such as the API key.

    Raises:
        VoxtralError: The body reports an error.
        VoxtralResponseError: The body is no response of this API.
    """
    document = parse_json_object(data, request_id=header_request_id, secrets=secrets)
    names = ("request_id",) if is_native else ("request_id", "id")
    ids = [safe_text(document.get(name), secrets) for name in names]
    ids.insert(len(ids) if is_native else 0, header_request_id)
    request_id = next(filter(None, ids), None)
    error = error_from_body(document, secrets=secrets)
    if error is not None:
        request_id = error.request_id or request_id
        raise with_facts(error, request_id=request_id, partial=_partial_text(document))
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
    if status.get("status") == "unknown":
        # Then zeros are the schema's defaults, and a cost of nothing would look like a price.
        status = {name: value for name, value in status.items() if value}
    text = without_template_text(text)
    segments, problem = read_segments(
        document,
        text,
        timestamps=timestamps,
        max_seconds=max_seconds,
        words_replace_segments=words_replace_segments,
    )
    language = safe_text(document.get("language"), secrets)
    return Transcript(
        text,
        segments,
        language=normalize_language(language) if language else None,
        language_probability=_probability(document.get("language_probability")),
        language_source=_source(document.get("language_source")),
        usage=_usage(as_object(document.get("usage")), status),
        request_id=request_id,
        segments_problem=problem,
        runtime_ms=as_int(status.get("runtime_ms")),
    )


def _probability(value: object) -> float | None:
    number = as_float(value)
    return number if number is not None and number <= 1 else None


def _source(value: object) -> LanguageSource | None:
    return next((source for source in get_args(LanguageSource) if source == value), None)


def _partial_text(document: JsonObject) -> str:
    """Return what a response that is no transcript has of the text, be it in its segments."""
    text, segments = document.get("text"), document.get("segments")
    if not isinstance(text, str):
        items = segments if isinstance(segments, list) else ()
        texts = [as_object(item).get("text") for item in items]
        text = " ".join(part.strip() for part in texts if isinstance(part, str))
    return without_template_text(text)


def _usage(usage: JsonObject, status: JsonObject) -> Usage:
    """Return tokens and cost by the names of OpenAI, Mistral and DeepInfra's native endpoint."""
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
        audio_seconds=as_float(usage.get("prompt_audio_seconds")),
    )
