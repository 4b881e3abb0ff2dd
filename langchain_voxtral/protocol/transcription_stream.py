"""Streamed transcripts: the event streams of Mistral, vLLM and llama.cpp."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from pydantic_core import to_json

from langchain_voxtral.errors import (
    VoxtralConnectionError,
    VoxtralError,
    VoxtralIncompleteStreamError,
    VoxtralResponseError,
    with_facts,
)
from langchain_voxtral.protocol.error_responses import error_from_body, sanitize
from langchain_voxtral.protocol.fields import JsonObject, as_object, non_empty, safe_text
from langchain_voxtral.protocol.form_data import FormData
from langchain_voxtral.protocol.segments import without_template_text
from langchain_voxtral.protocol.sse import SSEDecoder
from langchain_voxtral.protocol.stream_decoder import QUOTE_LIMIT
from langchain_voxtral.protocol.transcription import Transcript
from langchain_voxtral.protocol.transcription_request import (
    CUT,
    ChunkTranscript,
    TranscriptionRequest,
)

MAX_TEXT_LENGTH = 2**20
"""Most characters of one stream, so that a server that goes on for ever cannot fill the memory.
Three hours of speech, the longest recording that any server takes, are a fifth of that."""

# Mistral's events are called transcription.*, OpenAI's, which llama.cpp sends, transcript.*
_DELTAS = {"transcription.text.delta": "text", "transcript.text.delta": "delta"}
_SEGMENTS = frozenset({"transcription.segment", "transcript.text.segment"})
_FINAL = frozenset({"transcription.done", "transcript.text.done"})
_LANGUAGE = "transcription.language"
_TEXT_KEYS = frozenset({"text", "delta", "segments", "words", "results", "choices"})
"""Keys under which an event of an unknown type may have text."""

_TEMPLATE_BEGINNINGS = ("lang:", "[TRANSCRIBE]")
_MAX_TEMPLATE_TEXT = len("lang:xxx[TRANSCRIBE]")


StreamedItem = str | ChunkTranscript
"""What a stream brings: text, and segments, each as a transcript of this segment alone."""

ItemType = type[StreamedItem]


def can_stream(request: TranscriptionRequest, wanted: ItemType) -> bool:
    """Return whether the server can stream these items for a request."""
    provider, timestamps = request.provider, request.options.timestamps
    is_streamed = request.endpoint_name == "transcriptions" and provider.streams_transcriptions
    has_segments = timestamps == "segment" and timestamps in provider.timestamps
    return is_streamed and (wanted is str or has_segments)


def encode_for_stream(request: TranscriptionRequest) -> bytes | FormData:
    """Return the body of a request whose response is to be streamed.

    Raises:
        VoxtralInvalidRequestError: A text is not valid Unicode.
    """
    body = request.encode()
    if not isinstance(body, FormData):  # no server streams these
        return body
    options = request.provider.transcription_stream_options
    return replace(body, fields=[*body.fields, ("stream", "true"), *options.items()])


class TranscriptionStream:
    """Decodes the body of a streamed transcription for transport, without I/O.

    The stream is complete with `transcription.done`, with `transcript.text.done`, or, after a
    finish reason, with vLLM's report of the usage or `[DONE]`. Without, it was cut.

    Args:
        request: The request.
        secrets: Texts that must not show in an error, such as the API key.

    Attributes:
        transcript: The whole transcript, once it is complete. Its text begins with the text that
            came, and its segments are those that came, as far as they are of use; either may have
            more.
        attempts: How often the request was sent.
        must_stop: Whether nothing more is to be read, because the stream failed.
        contradicts_itself: Whether the final event has another text than what was streamed, which
            is kept.
    """

    def __init__(self, request: TranscriptionRequest, secrets: Iterable[str]) -> None:
        self._request = request
        self._secrets = secrets
        self.start_attempt({}, 1)

    def start_attempt(self, headers: Mapping[str, str], attempts: int) -> None:
        """Start on the body of a new response."""
        self.must_stop = self.contradicts_itself = False
        self.transcript: ChunkTranscript | None = None
        self._headers, self.attempts = headers, attempts
        self._sse = SSEDecoder(secrets=self._secrets)
        self._failure: VoxtralError | None = None
        self._texts: list[str] = []
        self._length = 0
        self._template = _TemplateFilter()
        self._segments: list[object] = []
        self._last_start: float | None = 0.0  # of a segment; None: one was not usable
        self._facts: JsonObject = {}  # language, usage and ids, as a whole response has them
        self._finish_reason: str | None = None

    @property
    def is_finishing(self) -> bool:
        """Whether nothing of the transcript is awaited."""
        return self.transcript is not None

    @property
    def answer(self) -> Transcript | None:
        """The whole transcript as it was parsed; None until its end."""
        return None if self.transcript is None else self.transcript.transcript

    @property
    def request_id(self) -> str | None:
        """The server's id of the request, from the head of the response."""
        return safe_text(self._headers.get("x-request-id"), self._secrets)

    @property
    def started(self) -> bool:
        """Whether some of the transcript has come: then the request is not sent again."""
        return self._length > 0 or self.is_finishing

    def feed(self, data: bytes) -> Sequence[StreamedItem]:
        """Return the items that `data` completes.

        Raises:
            VoxtralError: The stream reports an error, or is not of this API.
        """
        return self._read(self._sse.feed(data))

    def finish(self, error: VoxtralError | None = None) -> Iterator[StreamedItem]:
        """Take the end of the body; yield the last items, then raise unless it is complete.

        Raises:
            VoxtralIncompleteStreamError: The stream ended, or the connection broke, before the
                final event.
            VoxtralError: The error given, with the partial text.
        """
        try:
            yield from self._read(self._sse.close())
        except VoxtralError as failure:
            error = error or failure
        if self.is_finishing:
            return
        if error is None or (self.started and type(error) is VoxtralConnectionError):
            error = _incomplete_error(error)
        self.add_context(error)
        raise error

    def read_document(self, content: bytes) -> Sequence[StreamedItem]:
        """Read the transcript in the response of a server that does not stream."""
        self.transcript = self._request.parse(content, self._headers, self._secrets)
        return ()

    def resume_request(self, error: VoxtralError) -> NoReturn:
        """Raise the error: a transcription cannot be resumed."""
        raise error

    def add_context(self, error: VoxtralError) -> None:
        """Note on an error the text so far, and the server's id of the request."""
        with_facts(
            error,
            partial=self._text() or error.partial,
            request_id=error.request_id or self.request_id,
            attempts=max(error.attempts, self.attempts),
        )

    def _text(self) -> str:
        """Return the text so far; some servers send it in segments only."""
        if self._texts:
            return without_template_text("".join(self._texts))
        texts = (as_object(segment).get("text") for segment in self._segments)
        return " ".join(text.strip() for text in texts if isinstance(text, str))

    def _read(self, documents: Iterable[JsonObject]) -> list[StreamedItem]:
        if self._failure is not None:
            raise self._failure
        items: list[StreamedItem] = []
        try:
            for document in documents:
                if not self.is_finishing:
                    self._read_event(document, items)
            if self._sse.received_done and self._finish_reason is not None:
                self._complete({})
            self.must_stop = self._sse.received_done and not self.is_finishing
            if self._sse.failure is not None and not self.is_finishing:
                raise self._sse.failure
        except VoxtralError as error:
            self._failure = with_facts(error, status_code=200)
            self.must_stop = True
            if not items:
                raise
        return items

    def _read_event(self, document: JsonObject, items: list[StreamedItem]) -> None:
        error = error_from_body(document, secrets=self._secrets)
        if error is not None:
            raise error
        kind = non_empty(document.get("type")) or ""
        if kind in _DELTAS:
            self._add_text(document.get(_DELTAS[kind]), document, items)
        elif kind in _SEGMENTS:
            self._add_segment(document, items)
        elif kind in _FINAL:
            self._complete(document)
        elif kind == _LANGUAGE:
            self._facts["language"] = document.get("audio_language")
        elif isinstance(document.get("choices"), list):
            self._read_choices(document, items)
        elif document and (not kind or document.keys() & _TEXT_KEYS):
            raise self._unknown_event(document)

    def _read_choices(self, document: JsonObject, items: list[StreamedItem]) -> None:
        """Read a chunk like those of chat completions, which vLLM sends."""
        for choice in map(as_object, document["choices"]):
            text = as_object(choice.get("delta")).get("content")
            if text is not None:
                self._add_text(text, document, items)
            self._finish_reason = non_empty(choice.get("finish_reason")) or self._finish_reason
        facts = {name: document.get(name) for name in ("id", "usage")}
        self._facts |= {name: value for name, value in facts.items() if value}
        if not document["choices"] and self._finish_reason is not None:
            self._complete({})

    def _add_text(self, text: object, document: JsonObject, items: list[StreamedItem]) -> None:
        if not isinstance(text, str):
            raise self._unknown_event(document)
        if not text:
            return
        self._count(text)
        self._texts.append(text)
        if shown := self._template.feed(text):
            items.append(shown)

    def _add_segment(self, document: JsonObject, items: list[StreamedItem]) -> None:
        """Keep a segment; append it, unless the times of one so far are wrong or out of order."""
        text = document.get("text")
        self._count(text if isinstance(text, str) and text else " ")
        self._segments.append(document)
        last_start, self._last_start = self._last_start, None
        if last_start is not None and isinstance(text, str):
            transcript = self._parse({"text": text, "segments": [document]})
            segments = transcript.transcript.segments
            if segments and segments[0].start >= last_start:
                self._last_start = segments[0].start
                items.append(transcript)

    def _count(self, text: str) -> None:
        self._length += len(text)
        if self._length > MAX_TEXT_LENGTH:
            raise VoxtralResponseError(
                f"The server's stream has more than {MAX_TEXT_LENGTH} characters of text; reading "
                "was stopped."
            )

    def _complete(self, final: JsonObject) -> None:
        """Make the whole transcript, as if it had come in one response."""
        if self.is_finishing:
            return
        if problem := CUT.get(self._finish_reason):
            raise VoxtralResponseError(problem)
        text = self._final_text(final.get("text"))
        segments = {"segments": self._segments} if self._segments else {}
        whole = self._parse(final | {"text": text} | segments)
        reason = safe_text(self._finish_reason, self._secrets)
        self.transcript = replace(whole, transcript=replace(whole.transcript, finish_reason=reason))

    def _final_text(self, text: object) -> str:
        """Return the text of the final event, if it goes on where the text so far ends."""
        received = "".join(self._texts)
        if not isinstance(text, str) or not text.strip():
            return received if self._texts else self._text()
        if _plain(text).startswith(_plain(received)):
            return text
        self.contradicts_itself = True
        return received

    def _parse(self, document: JsonObject) -> ChunkTranscript:
        known = {name: value for name, value in document.items() if value is not None}
        return self._request.parse(to_json(self._facts | known), self._headers, self._secrets)

    def _unknown_event(self, document: Mapping[str, Any]) -> VoxtralResponseError:
        quote = sanitize(to_json(document).decode(), self._secrets, QUOTE_LIMIT)
        return VoxtralResponseError(f"The server's stream has an event of no known form: {quote}")


class _TemplateFilter:
    """Drops what some servers leak of Voxtral's template, which may come in several pieces."""

    def __init__(self) -> None:
        self._held: str | None = ""

    def feed(self, text: str) -> str:
        """Return the text that can be shown; its beginning is held until it is known."""
        if self._held is None:
            return text
        self._held += text
        if len(self._held) < _MAX_TEMPLATE_TEXT and any(
            beginning.startswith(self._held[: len(beginning)]) for beginning in _TEMPLATE_BEGINNINGS
        ):
            return ""
        held, self._held = self._held, None
        return without_template_text(held)


def _plain(text: str) -> str:
    return without_template_text(text).strip()


def _incomplete_error(cause: VoxtralError | None) -> VoxtralIncompleteStreamError:
    reason = "ended" if cause is None else f"broke ({cause.message})"
    error = VoxtralIncompleteStreamError(
        f"The stream {reason} before its final event. The transcript is not whole; what had "
        "arrived is in .partial."
    )
    error.__cause__ = cause
    return error
