"""Streamed answers: from bytes to pieces of text and an outcome, without any I/O."""

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_voxtral.answers import Call, Outcome, Piece, header_request_id, whole_answer
from langchain_voxtral.errors import (
    VoxtralConnectionError,
    VoxtralError,
    VoxtralIncompleteStreamError,
    VoxtralResponseError,
)
from langchain_voxtral.prompts import Restorer, StopTrimmer
from langchain_voxtral.transport import Reply
from langchain_voxtral.wire.native import NativeStream
from langchain_voxtral.wire.values import Delta, Final, StreamEvent

MOST_EXCESS = 16
"""Reads that a stream may go on for after its text is complete, for the metadata's sake."""


class TextStream:
    """The body of a streamed answer: a sink that makes pieces of text and one last outcome.

    Args:
        call: How to read the answer.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._decoder = NativeStream()
        self._trimmer = StopTrimmer(call.stops)
        self._restorer = Restorer() if call.restores else None
        self._shown: list[str] = []
        self._logprobs: list[Mapping[str, Any]] = []
        self._tokens = 0
        self._excess = 0
        self._outcome: Outcome | None = None
        self._headers: Mapping[str, str] = {}
        self._attempts = 1

    @property
    def started(self) -> bool:
        """Whether a token has arrived."""
        return self._tokens > 0 or self._outcome is not None

    @property
    def winding_down(self) -> bool:
        """Whether the text is complete."""
        return self._outcome is not None or self._trimmer.stopped

    @property
    def done(self) -> bool:
        """Whether nothing more is to be read: the stream failed, or went on for too long."""
        return self._decoder.failure is not None or self._excess > MOST_EXCESS

    def begin(self, headers: Mapping[str, str], attempts: int) -> None:
        """Start on the body of a new response."""
        self._headers, self._attempts = headers, attempts
        self._decoder = NativeStream(
            header_request_id=header_request_id(self._call, headers),
            secrets=self._call.request.secrets,
        )

    def feed(self, data: bytes) -> Sequence[Piece | Outcome]:
        """Take bytes, return the pieces they complete."""
        if self.winding_down:
            self._excess += 1
        return self._digest(self._decoder.feed(data))

    def misfit(self, content: bytes) -> VoxtralError:
        """Return the error for an answer that is one document."""
        try:
            whole_answer(self._call, Reply(content, self._headers, self._attempts))
        except VoxtralError as error:
            return error
        return VoxtralResponseError(
            "The server answered a streaming request with one document, so it seems not to "
            "stream. Use invoke(), or set disable_streaming=True.",
            request_id=header_request_id(self._call, self._headers),
        )

    def end(self, error: VoxtralError | None = None) -> Sequence[Piece | Outcome]:
        """Take the end of the body; return the last items, or raise with the text so far.

        Raises:
            VoxtralIncompleteStreamError: The stream ended, or the connection broke, before the
                final event.
            VoxtralError: The error given, with the partial text.
        """
        items: list[Piece | Outcome] = []
        try:
            items.extend(self._digest(self._decoder.close()))
        except VoxtralError as broken:
            error = error or broken
        if self._outcome is not None:
            return items
        if self._trimmer.stopped:
            return [self._finish(Final("stop"), incomplete=True)]
        raise self._cut_short(error)

    def _digest(self, events: Sequence[StreamEvent]) -> Sequence[Piece | Outcome]:
        if not events or self._outcome is not None:
            return ()
        final = events[-1] if isinstance(events[-1], Final) else None
        deltas = [event for event in events if isinstance(event, Delta)]
        self._tokens += len(deltas)
        items: list[Piece | Outcome] = []
        if self._call.coalesces and not self._call.logprobs:
            self._add(items, deltas)
        else:
            for delta in deltas:
                self._add(items, [delta])
        if final is not None:
            rest = self._rest()
            if rest or self._logprobs:
                self._show(items, rest)
            items.append(self._finish(final))
        return items

    def _add(self, items: list[Piece | Outcome], deltas: Sequence[Delta]) -> None:
        if self._trimmer.stopped or not deltas:
            return
        text = deltas[0].text if len(deltas) == 1 else "".join([delta.text for delta in deltas])
        if self._call.logprobs:
            self._logprobs.extend(_logprob(delta) for delta in deltas if delta.logprob is not None)
        text = self._trimmer.feed(text)
        if self._restorer is not None:
            text = self._restorer.feed(text)
            if self._trimmer.stopped:
                text += self._restorer.close()
        if text:
            self._show(items, text)

    def _show(self, items: list[Piece | Outcome], text: str) -> None:
        self._shown.append(text)
        items.append(Piece(text, tuple(self._logprobs)))
        self._logprobs = []

    def _rest(self) -> str:
        """Return what was held back, now that nothing follows it."""
        text = self._trimmer.close()
        return (
            text if self._restorer is None else self._restorer.feed(text) + self._restorer.close()
        )

    def _finish(self, final: Final, *, incomplete: bool = False) -> Outcome:
        stopped = self._trimmer.stopped
        self._outcome = Outcome(
            model=self._headers.get("x-voxtral-model", self._call.model),
            provider=self._call.provider,
            usage=final.usage,
            finish_reason="stop" if stopped else final.finish_reason,
            derived=stopped and (incomplete or final.finish_reason != "stop"),
            request_id=final.request_id or header_request_id(self._call, self._headers),
            attempts=self._attempts,
            usage_incomplete=incomplete,
        )
        return self._outcome

    def _cut_short(self, error: VoxtralError | None) -> VoxtralError:
        partial = "".join(self._shown) + self._rest()
        if error is None or (self.started and type(error) is VoxtralConnectionError):
            reason = "ended" if error is None else f"broke ({error.message})"
            cut = VoxtralIncompleteStreamError(
                f"The stream {reason} before its final event, after {self._tokens} tokens. "
                "The answer is not whole; what had arrived is in .partial."
            )
            cut.__cause__ = error
            error = cut
        return error.having(
            partial=partial,
            usage={"output_tokens": self._tokens} if self._tokens else error.usage,
            request_id=error.request_id or header_request_id(self._call, self._headers),
            attempts=self._attempts,
        )


def _logprob(delta: Delta) -> dict[str, Any]:
    return {"token": delta.text, "id": delta.token_id, "logprob": delta.logprob}
