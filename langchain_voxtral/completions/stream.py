"""Streamed completions: bytes become text deltas, tool call chunks and a last `ResponseInfo`."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, NoReturn

from langchain_voxtral.completions.request import CompletionRequest
from langchain_voxtral.completions.response import (
    Completion,
    StreamItem,
    TextDelta,
    collect_stream,
    is_truncated,
    not_a_stream_error,
    read_partial_text,
)
from langchain_voxtral.completions.resume import StreamProgress, repeated_prefill
from langchain_voxtral.errors import (
    VoxtralConnectionError,
    VoxtralError,
    with_facts,
)
from langchain_voxtral.prompts import StopSequenceFilter, StreamUnescaper
from langchain_voxtral.protocol.json_body import encode_request
from langchain_voxtral.protocol.responses import ResponseInfo, StreamEvent, TokenDelta
from langchain_voxtral.tools.answer_parser import AnswerParser
from langchain_voxtral.tools.call_accumulator import ToolCallAccumulator, ToolCallChunk
from langchain_voxtral.tools.fenced_json import JsonFenceFilter
from langchain_voxtral.transport import HTTPRequest, HTTPResponse, read_header

MAX_READS_AFTER_STOP = 16
"""Reads that a stream may go on for after its text is complete, for the metadata's sake."""

_TextFilter = StopSequenceFilter | AnswerParser | StreamUnescaper | JsonFenceFilter
"""What may change text: while all `is_plain`, only text with `special_characters` needs them."""


class CompletionStream:
    """The body of a streamed completion: a `StreamDecoder` for transport.

    Tool calls leave in chunks; they come from the server, or are read out of the text.

    Args:
        request: How to read the body.
        http_request: The request as it is sent.

    Attributes:
        is_finishing: Whether the text is complete.
        must_stop: Whether nothing more is to be read: the stream failed, or went on for too long.
    """

    def __init__(self, request: CompletionRequest, http_request: HTTPRequest) -> None:
        self.is_finishing = False
        self.must_stop = False
        self._request = request
        self.http_request = http_request
        self._decoder = request.endpoint.decoder(with_logprobs=request.logprobs)
        self._stop_filter = StopSequenceFilter(request.raw_stops)
        self._unescaper = StreamUnescaper(request.shown_stops) if request.unescape else None
        self._parser = None if request.tool_parsing is None else request.tool_parsing.parser()
        self._fence_filter = JsonFenceFilter() if request.expects_json else None
        passed = (self._stop_filter, self._parser, self._unescaper, self._fence_filter)
        self._filters: list[_TextFilter] = [each for each in passed if each is not None]
        special = "".join(each.special_characters for each in self._filters)
        self._find_special = re.compile(f"[{re.escape(special)}]" if special else "(?!)").search
        self._is_plain = False
        self._calls: ToolCallAccumulator | None = None
        self._progress = StreamProgress(request)
        if request.provider.prefill_message_fields:
            self._progress.repeated_text = repeated_prefill(request)
        if request.max_resumes:
            self._progress.check_request()
        self._logprobs: list[Mapping[str, Any]] = []
        self._reads_after_stop = 0
        self._info: ResponseInfo | None = None
        self._headers: Mapping[str, str] = {}
        self._attempts = 1

    @property
    def started(self) -> bool:
        """Whether a token has arrived in this attempt."""
        return self._decoder.events > 0 or self._info is not None

    @property
    def answer(self) -> ResponseInfo | None:
        """What is known of the whole completion; None until its end."""
        return self._info

    @property
    def request_id(self) -> str | None:
        """The server's id of the request, from an event or the head of the response."""
        return self._decoder.request_id

    def start_attempt(self, headers: Mapping[str, str], attempts: int) -> None:
        """Start on the body of a new response."""
        self._headers, self._attempts = headers, attempts
        self.is_finishing = self.must_stop = False
        self._decoder = self._request.endpoint.decoder(
            header_request_id=self._read_header("x-request-id"),
            secrets=self.http_request.secrets,
            with_logprobs=self._request.logprobs,
        )

    def feed(self, data: bytes) -> Sequence[StreamItem]:
        """Take bytes, return the items that they complete."""
        decoder = self._decoder
        events: list[Any] = decoder.feed(data)
        if self._is_plain and not (decoder.has_finish_reason or decoder.failure):
            # Most reads bring text that no filter needs to see.
            try:
                text = "".join(events)
            except TypeError:  # they bring other events, too
                text = ""
            if text and not self._find_special(text):
                self._progress.received.append(text)
                return [text] if self._request.coalesce else [one for one in events if one]
        if self.is_finishing:
            self._reads_after_stop += 1
        items = self._process(events)
        self.is_finishing = self._stop_filter.stopped or decoder.has_finish_reason
        self.must_stop = (
            decoder.failure is not None or self._reads_after_stop > MAX_READS_AFTER_STOP
        )
        self._is_plain = not self.is_finishing and self._passes_text()
        return items

    def read_document(self, content: bytes) -> NoReturn:
        """Raise the error for a response that is one document."""
        response = HTTPResponse(content, self._headers, self._attempts)
        raise not_a_stream_error(self._request, self.http_request, response)

    def finish(self, error: VoxtralError | None = None) -> Iterator[StreamItem]:
        """Take the end of the body; yield the last items, then raise unless the text is whole.

        Raises:
            VoxtralIncompleteStreamError: The stream ended, or the connection broke, before the
                final event.
            VoxtralError: The error given, with the partial text.
        """
        try:
            yield from self._process(self._decoder.close())
        except VoxtralError as failure:
            error = error or failure
        if self._info is not None:
            return
        if not self._stop_filter.stopped:
            if error is None or (self.started and type(error) is VoxtralConnectionError):
                error = self._progress.incomplete_error(error, self._decoder)
            self.add_context(error)
            raise error
        last: list[StreamItem] = []
        self._finish(last, ResponseInfo("stop", self._decoder.usage), is_incomplete=True)
        yield from last

    def completion(self, items: Iterable[StreamItem]) -> Completion:
        """Return the whole completion, from all the items of the stream."""
        completion = collect_stream(items)
        if self._calls is None:
            return completion
        return replace(completion, tool_calls=tuple(self._calls.finished()))

    def resume_request(self, error: VoxtralError) -> HTTPRequest:
        """Return the request that resumes a cut stream: the prompt and the text so far.

        What was held back stays so, since the text goes on right behind it.

        Raises:
            VoxtralError: The error given, with the partial text, if the stream cannot be resumed.
        """
        is_in_call = self._calls is not None and self._parser is None
        body = self._progress.resume(error, self._decoder, is_in_call=is_in_call)
        self._decoder = self._request.endpoint.decoder(with_logprobs=self._request.logprobs)
        self._is_plain = False
        return replace(self.http_request, content=encode_request(body))

    def add_context(self, error: VoxtralError) -> None:
        """Note on an error the text so far, its tokens, and the server's id of the request."""
        tokens = self._progress.count_tokens(self._decoder)
        received = "".join(self._progress.received)
        with_facts(
            error,
            partial=read_partial_text(self._request, received) or error.partial,
            usage={"output_tokens": tokens} if tokens else error.usage,
            request_id=error.request_id or self.request_id,
            attempts=max(error.attempts, self._attempts),
        )

    def _process(self, events: Sequence[StreamEvent]) -> Sequence[StreamItem]:
        if not events or self._info is not None:
            return ()
        info = events[-1] if isinstance(events[-1], ResponseInfo) else None
        items: list[StreamItem] = []
        deltas: Sequence[Any] = events[:-1] if info is not None else events
        if self._progress.repeated_text or self._progress.repeated_spaces:
            deltas = list(map(self._progress.drop_repeated, deltas))
        # In their order: text may come before calls, after them, and between.
        for kind, run in groupby(deltas, type):
            if kind is ToolCallChunk:
                if self._parser is not None:
                    # The server parses the calls, so its text has none.
                    self._emit_parts(items, self._parser.release())
                    self._parser = None
                self._emit_calls(items, list(run))
            elif self._request.coalesce and not self._request.logprobs:
                self._add_text(items, "".join(run))
            else:
                for delta in run:
                    self._add_token(items, delta)
        if info is not None:
            self._finish(items, info)
        return items

    def _passes_text(self) -> bool:
        """Return whether text without a special character would leave as it came."""
        progress = self._progress
        may_repeat = progress.repeated_text or progress.repeated_spaces
        is_changed = self._request.logprobs or may_repeat or self._info
        return not is_changed and all(each.is_plain for each in self._filters)

    def _add_token(self, items: list[StreamItem], delta: str | TokenDelta) -> None:
        if isinstance(delta, str):
            self._add_text(items, delta)
            return
        if delta.logprob is not None and not self._stop_filter.stopped:
            logprob = {"token": delta.text, "id": delta.token_id, "logprob": delta.logprob}
            self._logprobs.append(logprob)
        self._add_text(items, delta.text)

    def _add_text(self, items: list[StreamItem], text: str) -> None:
        if self._stop_filter.stopped:
            return
        self._progress.received.append(text)
        self._read_text(items, self._stop_filter.feed(text))
        if self._parser is not None and self._parser.is_text:
            self._parser = None

    def _read_text(self, items: list[StreamItem], text: str) -> None:
        """Append the text, and the calls in it."""
        if self._parser is not None:
            self._emit_parts(items, self._parser.feed(text))
        elif text:
            self._emit_parts(items, [text])

    def _finish(
        self, items: list[StreamItem], info: ResponseInfo, *, is_incomplete: bool = False
    ) -> None:
        """Append all that was held back, and what is known of the completion."""
        if self._progress.repeated_text:
            self._add_text(items, self._progress.release())
        self._read_text(items, self._stop_filter.finish())
        if self._parser is not None:
            self._emit_parts(items, self._parser.close())
        if self._unescaper is not None:
            self._emit_unescaped(items, self._unescaper.finish())
        self._info = self._complete_info(info, is_incomplete=is_incomplete)
        if self._fence_filter is not None and (rest := self._fence_filter.finish()):
            items.append(rest)
        if self._logprobs:
            self._emit(items, "")
        if self._calls is not None:
            items += self._calls.close(cut=is_truncated(self._info.finish_reason))
        items.append(self._info)

    def _emit_parts(self, items: list[StreamItem], parts: Sequence[str | ToolCallChunk]) -> None:
        """Append text and calls as they were read, with escaping undone."""
        self._emit_unescaped(
            items, parts if self._unescaper is None else self._unescaper.feed_parts(parts)
        )

    def _emit_unescaped(
        self, items: list[StreamItem], parts: Iterable[str | ToolCallChunk]
    ) -> None:
        if self._unescaper is not None and self._unescaper.stopped:
            self._stop_filter.stop()
        for part in parts:
            if isinstance(part, str):
                self._emit(items, part)
            else:
                self._emit_calls(items, [part])

    def _emit_calls(self, items: list[StreamItem], chunks: Sequence[ToolCallChunk]) -> None:
        if self._calls is None:
            parsing = self._request.tool_parsing
            self._calls = (
                ToolCallAccumulator(parsing.names, parsing.given_names)
                if parsing
                else ToolCallAccumulator()
            )
        items += self._calls.feed(chunks)

    def _emit(self, items: list[StreamItem], text: str) -> None:
        if self._fence_filter is not None:
            text = self._fence_filter.feed(text)
        if self._logprobs:
            items.append(TextDelta(text, tuple(self._logprobs)))
            self._logprobs.clear()
        elif text:
            items.append(text)

    def _read_header(self, name: str) -> str | None:
        return read_header(self._headers, name, self.http_request.secrets)

    def _complete_info(self, info: ResponseInfo, *, is_incomplete: bool) -> ResponseInfo:
        is_stopped, progress = self._stop_filter.stopped, self._progress
        return replace(
            info,
            finish_reason="stop" if is_stopped else info.finish_reason,
            finish_reason_is_derived=is_stopped and (is_incomplete or info.finish_reason != "stop"),
            usage=progress.total_usage(info.usage) if progress.resumes else info.usage,
            request_id=info.request_id or self.request_id,
            model=self._read_header("x-voxtral-model") or self._request.model,
            provider=self._request.provider_name,
            endpoint=self._request.endpoint.name,
            attempts=self._attempts,
            usage_incomplete=is_incomplete or not progress.is_usage_reported,
            resumes=progress.resumes,
            structured_output=self._request.structured_output,
        )
