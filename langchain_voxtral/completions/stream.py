"""Streamed answers: from bytes to pieces of text and an outcome, without any I/O."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from langchain_voxtral.completions.response import (
    Call,
    Completion,
    StreamItem,
    TextDelta,
    collect_stream,
    header_request_id,
    is_cut,
    parse_completions,
    up_to_stop,
)
from langchain_voxtral.errors import (
    VoxtralConnectionError,
    VoxtralError,
    VoxtralIncompleteStreamError,
    VoxtralResponseError,
)
from langchain_voxtral.prompts import StopSequenceFilter, StreamUnescaper, unescape
from langchain_voxtral.protocol.json_body import encode_request
from langchain_voxtral.protocol.responses import ResponseInfo, StreamEvent, TokenDelta
from langchain_voxtral.tools.call_accumulator import ToolCallAccumulator, ToolCallChunk
from langchain_voxtral.transport import HTTPRequest, HTTPResponse

MOST_EXCESS = 16
"""Reads that a stream may go on for after its text is complete, for the metadata's sake."""


class CompletionStream:
    """The body of a streamed answer: a sink that makes pieces of text and one last outcome.

    Tool calls leave as parts; they come from the server, or are read out of the text.

    Args:
        call: How to read the answer.

    Attributes:
        is_finishing: Whether the text is complete.
        done: Whether nothing more is to be read: the stream failed, or went on for too long.
    """

    def __init__(self, call: Call) -> None:
        self.is_finishing = False
        self.done = False
        self._call = call
        self._decoder = call.api.stream()
        self._stop_filter = StopSequenceFilter(call.stops)
        self._unescaper = StreamUnescaper() if call.restores else None
        self._parser = None if call.calls is None else call.calls.parser()
        self._assembler = ToolCallAccumulator()
        self._received: list[str] = []  # exactly as it came, for a resumed request
        self._logprobs: list[Mapping[str, Any]] = []
        self._tokens = 0
        self._tokens_before = 0  # of attempts that were cut
        self._resumes = 0
        self._excess = 0
        self._outcome: ResponseInfo | None = None
        self._headers: Mapping[str, str] = {}
        self._attempts = 1

    @property
    def request(self) -> HTTPRequest:
        """The request that is answered."""
        return self._call.request

    @property
    def started(self) -> bool:
        """Whether a token has arrived in this attempt."""
        return self._tokens > self._tokens_before or self._outcome is not None

    def start_attempt(self, headers: Mapping[str, str], attempts: int) -> None:
        """Start on the body of a new response."""
        self._headers, self._attempts = headers, attempts
        self.is_finishing = self.done = False
        self._decoder = self._call.api.stream(
            header_request_id=header_request_id(self._call, headers),
            secrets=self._call.request.secrets,
        )

    def feed(self, data: bytes) -> Sequence[StreamItem]:
        """Take bytes, return the pieces they complete."""
        if self.is_finishing:
            self._excess += 1
        items = self._digest(self._decoder.feed(data))
        self.is_finishing = self._stop_filter.stopped or self._decoder.has_finish_reason
        self.done = self._decoder.failure is not None or self._excess > MOST_EXCESS
        return items

    def not_a_stream_error(self, content: bytes) -> VoxtralError:
        """Return the error for an answer that is one document."""
        try:
            parse_completions(self._call, HTTPResponse(content, self._headers, self._attempts))
        except VoxtralError as error:
            return error
        return VoxtralResponseError(
            "The server answered a streaming request with one document, so it seems not to "
            "stream. Use invoke(), or set disable_streaming=True.",
            request_id=header_request_id(self._call, self._headers),
        )

    def finish(self, error: VoxtralError | None = None) -> Iterator[StreamItem]:
        """Take the end of the body; yield the last items, then raise unless the text is whole.

        Raises:
            VoxtralIncompleteStreamError: The stream ended, or the connection broke, before the
                final event.
            VoxtralError: The error given, with the partial text.
        """
        try:
            yield from self._digest(self._decoder.close())
        except VoxtralError as broken:
            error = error or broken
        if self._outcome is not None:
            return
        if not self._stop_filter.stopped:
            error = self._cut_short(error)
            self.add_context(error)
            raise error
        last: list[StreamItem] = []
        self._add_last(last, ResponseInfo("stop"), incomplete=True)
        yield from last

    def said(self, items: Iterable[StreamItem]) -> Completion:
        """Return the whole answer, of all the items that came of it."""
        said = collect_stream(items)
        return replace(said, tool_calls=tuple(self._assembler.finished()), raw_text=self._raw())

    def resume_request(self, error: VoxtralError) -> HTTPRequest:
        """Return the request that takes a cut stream up again: the prompt and the text so far.

        What was held back stays so, since the text goes on right behind it.

        Raises:
            VoxtralError: The error given, with the partial text: there is no going on after it.
        """
        call, made = self._call, self._tokens
        left = None if call.max_tokens is None else call.max_tokens - made
        if (
            self._resumes >= call.resumes
            or not error.is_retryable
            or (left is not None and left < 1)
        ):
            raise error
        self._resumes += 1
        self._tokens_before = made
        body = dict(call.body)
        body["input"] += "".join(self._received)
        if left is not None:
            body["max_new_tokens"] = left
        return replace(call.request, content=encode_request(body))

    def _digest(self, events: Sequence[StreamEvent]) -> Sequence[StreamItem]:
        if not events or self._outcome is not None:
            return ()
        final = events[-1] if isinstance(events[-1], ResponseInfo) else None
        items: list[StreamItem] = []
        told: Sequence[Any] = events[:-1] if final is not None else events
        self._tokens += len(told)
        # In their order: text may come before calls, after them, and between.
        for kind, run in _runs(told):
            if kind is ToolCallChunk:
                items += self._assembler.feed(run)
            elif self._call.coalesces and not self._call.logprobs:
                self._add(items, run)
            else:
                for delta in run:
                    self._add(items, [delta])
        if final is not None:
            self._add_last(items, final)
        return items

    def _add(self, items: list[StreamItem], deltas: Sequence[TokenDelta]) -> None:
        if self._stop_filter.stopped or not deltas:
            return
        text = deltas[0].text if len(deltas) == 1 else "".join([delta.text for delta in deltas])
        self._received.append(text)
        if self._call.logprobs:
            self._logprobs.extend(_logprob(delta) for delta in deltas if delta.logprob is not None)
        text = self._stop_filter.feed(text)
        if self._parser is not None:
            self._sort(items, self._parser.feed(text))
            return
        if self._unescaper is not None:
            text = self._unescaper.feed(text)
        if text:
            self._show(items, text)

    def _add_last(
        self, items: list[StreamItem], final: ResponseInfo, *, incomplete: bool = False
    ) -> None:
        """Append all that was held back, and the outcome."""
        rest = self._stop_filter.finish()
        outcome = self._finish(final, incomplete=incomplete)
        if self._parser is not None:
            self._sort(items, [*self._parser.feed(rest), *self._parser.close()])
        elif rest:
            self._sort(items, [rest])
        if self._unescaper is not None:
            self._show_all(items, self._unescaper.finish())
        if self._logprobs:
            self._show(items, "")
        items += self._assembler.close(cut=is_cut(outcome.finish_reason))
        items.append(outcome)

    def _sort(self, items: list[StreamItem], read: Sequence[str | ToolCallChunk]) -> None:
        """Append what was read, restored."""
        self._show_all(items, read if self._unescaper is None else self._unescaper.feed_parts(read))

    def _show_all(self, items: list[StreamItem], parts: Iterable[str | ToolCallChunk]) -> None:
        """Append text as pieces, calls as parts."""
        for one in parts:
            if isinstance(one, str):
                self._show(items, one)
            else:
                items += self._assembler.feed([one])

    def _show(self, items: list[StreamItem], text: str) -> None:
        if self._logprobs:
            items.append(TextDelta(text, tuple(self._logprobs)))
            self._logprobs.clear()
        else:
            items.append(TextDelta(text))

    def _raw(self) -> str:
        """Return the text so far up to a stop, with the calls that are written in it."""
        return up_to_stop(self._call, "".join(self._received))[0]

    def _partial(self) -> str:
        """Return the text so far, and what is held back of it."""
        call, text = self._call, self._raw()
        if call.calls is not None:
            return call.calls.split(text, restores=call.restores)[0]
        return unescape(text) if call.restores else text

    def _finish(self, final: ResponseInfo, *, incomplete: bool = False) -> ResponseInfo:
        stopped, usage = self._stop_filter.stopped, final.usage
        if usage.output_tokens is not None:
            usage = replace(usage, output_tokens=usage.output_tokens + self._tokens_before)
        self._outcome = ResponseInfo(
            model=self._headers.get("x-voxtral-model", self._call.model),
            provider=self._call.provider,
            usage=usage,
            finish_reason="stop" if stopped else final.finish_reason,
            finish_reason_is_derived=stopped and (incomplete or final.finish_reason != "stop"),
            request_id=final.request_id or header_request_id(self._call, self._headers),
            attempts=self._attempts,
            usage_incomplete=incomplete,
            resumes=self._resumes,
        )
        return self._outcome

    def _cut_short(self, error: VoxtralError | None) -> VoxtralError:
        if error is None or (self.started and type(error) is VoxtralConnectionError):
            reason = "ended" if error is None else f"broke ({error.message})"
            cut = VoxtralIncompleteStreamError(
                f"The stream {reason} before its final event, after {self._tokens} tokens. "
                "The answer is not whole; what had arrived is in .partial." + self._advice()
            )
            cut.__cause__ = error
            error = cut
        return error

    def _advice(self) -> str:
        if self._resumes:
            return f" It had been resumed {self._resumes} times (max_stream_resumes)."
        if self._call.resumes or "response_format" in self._call.body:
            return ""
        return " Set max_stream_resumes to have such streams taken up again."

    def add_context(self, error: VoxtralError) -> None:
        """Note on an error the text so far, its tokens, and the server's id of the request."""
        error.having(
            partial=self._partial(),
            usage={"output_tokens": self._tokens} if self._tokens else error.usage,
            request_id=error.request_id or header_request_id(self._call, self._headers),
            attempts=max(error.attempts, self._attempts),
        )


def _logprob(delta: TokenDelta) -> dict[str, Any]:
    return {"token": delta.text, "id": delta.token_id, "logprob": delta.logprob}


def _runs(events: Sequence[Any]) -> Iterable[tuple[type, Sequence[Any]]]:
    """Return events by runs of one kind; mostly there is text alone, which is left as it is."""
    if ToolCallChunk not in map(type, events):
        return [(TokenDelta, events)]
    return [(kind, list(run)) for kind, run in groupby(events, type)]
