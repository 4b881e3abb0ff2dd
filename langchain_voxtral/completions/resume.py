"""Resuming a streamed completion that was cut: whether, by which request, and the tokens so far."""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from math import inf
from typing import Any

from langchain_voxtral.completions.request import CompletionRequest
from langchain_voxtral.errors import VoxtralError, VoxtralIncompleteStreamError
from langchain_voxtral.protocol.responses import StreamEvent, TokenDelta, Usage
from langchain_voxtral.protocol.stream_decoder import StreamDecoderBase
from langchain_voxtral.providers import EndpointName

logger = logging.getLogger("langchain_voxtral")

_LIMITS = ("max_tokens", "max_new_tokens", "max_completion_tokens", "n_predict")
"""Fields that limit the tokens of an answer; servers know the last two beside their own."""

_CONSTRAINTS = frozenset(
    {
        "grammar",
        "guided_choice",
        "guided_grammar",
        "guided_json",
        "guided_regex",
        "json_schema",
        "structured_outputs",
    }
)
"""Fields of vLLM and llama.cpp, given in `model_kwargs`, that constrain the answer."""

_CHARACTERS_PER_TOKEN = 4
"""As LangChain's `count_tokens_approximately` has it."""


@dataclass(slots=True)
class StreamProgress:
    """What a stream has brought so far, in all its attempts.

    Attributes:
        request: The request.
        received: The text, exactly as it came.
        resumes: How often the stream was cut and resumed.
        is_usage_reported: Whether the server reported what the attempts before used.
        repeated_text: What the server may send once more before it goes on.
        repeated_spaces: Spaces that the text ends with, which the server may send once more.
    """

    request: CompletionRequest
    received: list[str] = field(default_factory=list)
    resumes: int = 0
    is_usage_reported: bool = True
    repeated_text: str = ""
    repeated_spaces: int = 0
    _matched: str = ""
    _tokens_before: int = 0
    _usages_before: list[Usage] = field(default_factory=list)
    _received_before: int = 0  # pieces

    def check_request(self) -> None:
        """Log if the stream could not be resumed wherever it is cut."""
        if problem := _find_constraint(self.request):
            _log_no_effect(problem)

    def drop_repeated(self, event: StreamEvent) -> StreamEvent:
        """Drop what a server repeats at the beginning of a continuation."""
        if isinstance(event, TokenDelta):
            return replace(event, text=self._drop_spaces(self._drop_text(event.text)))
        if isinstance(event, str):
            return self._drop_spaces(self._drop_text(event))
        return event

    def release(self) -> str:
        """Return what was held back as the beginning of a repetition that did not come."""
        held, self._matched, self.repeated_text = self._matched, "", ""
        return held

    def _drop_text(self, text: str) -> str:
        """Hold text back while it is what the server may repeat; return what is none of it."""
        text = self._matched + text
        if self.repeated_text.startswith(text) and text != self.repeated_text:
            self._matched = text
            return ""
        self._matched, rest = "", text.removeprefix(self.repeated_text)
        self.repeated_text = ""
        return rest

    def _drop_spaces(self, text: str) -> str:
        stripped = text.lstrip(" ")
        dropped = min(len(text) - len(stripped), self.repeated_spaces)
        self.repeated_spaces = 0 if stripped else self.repeated_spaces - dropped
        return text[dropped:]

    def count_tokens(self, decoder: StreamDecoderBase) -> int:
        """Return how many tokens have come, as far as it is known."""
        return self._tokens_before + self._attempt_tokens(decoder)[0]

    def total_usage(self, last: Usage) -> Usage:
        """Return the sum of what all attempts used; None where none of them reported it."""

        def total(name: str) -> Any:
            usages = [*self._usages_before, last]
            numbers = [number for one in usages if (number := getattr(one, name)) is not None]
            return sum(numbers) if numbers else None

        return Usage(*(total(name) for name in Usage.__dataclass_fields__))

    def resume(
        self, error: VoxtralError, decoder: StreamDecoderBase, *, is_in_call: bool
    ) -> dict[str, Any]:
        """Return the body of the request that continues a stream.

        Args:
            error: What has cut the stream.
            decoder: The decoder of the attempt that was cut.
            is_in_call: Whether the server has sent part of a tool call.

        Raises:
            VoxtralError: The error given; its message says why the stream is not resumed.
        """
        request, text = self.request, "".join(self.received)
        problem = self._find_problem(decoder, is_in_call=is_in_call)
        if problem or self.resumes >= request.max_resumes or not error.is_retryable:
            error.message += self._advice(error, problem)
            raise error
        tokens, is_reported = self._attempt_tokens(decoder)
        usage = decoder.usage
        self.resumes += 1
        self.is_usage_reported &= is_reported and usage.input_tokens is not None
        self._usages_before.append(replace(usage, output_tokens=tokens))
        self._tokens_before += tokens
        self._received_before = len(self.received)
        if request.provider.trims_prefill:
            self.repeated_spaces = len(text) - len(text.rstrip(" "))
        limits = token_limits(request.body)
        remaining = {name: limit - self._tokens_before for name, limit in limits.items()}
        body = _CONTINUE[request.endpoint.name](request, text) | remaining
        self.repeated_text, self._matched = repeated_prefill(request, body), ""
        return body

    def incomplete_error(
        self, error: VoxtralError | None, decoder: StreamDecoderBase
    ) -> VoxtralIncompleteStreamError:
        """Return the error of a stream that ended early, or was cut by a broken connection."""
        reason = "ended" if error is None else f"broke ({error.message})"
        tokens, resumes = self.count_tokens(decoder), self.resumes
        so_far = "1 token" if tokens == 1 else f"{tokens} tokens"
        resumed = f" It had been resumed {resumes} times (max_stream_resumes)." if resumes else ""
        incomplete = VoxtralIncompleteStreamError(
            f"The stream {reason} before its final event, after {so_far}. "
            f"The answer is not whole; what had arrived is in .partial.{resumed}"
        )
        incomplete.__cause__ = error
        return incomplete

    def _attempt_tokens(self, decoder: StreamDecoderBase) -> tuple[int, bool]:
        """Return how many tokens an attempt has brought, and whether the server reported that.

        An event is documented to be a token, but servers and proxies put several into one. As
        long as nothing contradicts, events are counted; if there are more words than events, the
        larger of two estimates is taken, so that a limit is rather kept than passed.
        """
        reported, events = decoder.usage.output_tokens or 0, decoder.events
        since = events - decoder.events_at_usage
        if reported >= events and not since:
            return reported, True
        text = "".join(self.received[self._received_before :])
        words = len(text.split())
        estimate = max(words, len(text) // _CHARACTERS_PER_TOKEN) if words > events else 0
        return max(events, estimate, reported + since), False

    def _find_problem(self, decoder: StreamDecoderBase, *, is_in_call: bool) -> str | None:
        """Return why the stream cannot be resumed where it is, or None."""
        if is_in_call:
            return "it was cut within or after a tool call, and only text can be continued"
        if self.count_tokens(decoder) >= min(token_limits(self.request.body).values(), default=inf):
            return "max_tokens is used up"
        return _find_constraint(self.request)

    def _advice(self, error: VoxtralError, problem: str | None) -> str:
        """Return the end of the message: why the stream is not resumed, or how it would be."""
        if problem is not None:
            is_set = self.request.max_resumes > 0
            return f" The stream cannot be resumed: {problem}." if is_set else ""
        if self.request.max_resumes or not isinstance(error, VoxtralIncompleteStreamError):
            return ""
        return " Set max_stream_resumes to have such streams taken up again."


def repeated_prefill(request: CompletionRequest, body: Mapping[str, Any] | None = None) -> str:
    """Return what a server repeats of a request before it goes on; nothing by most."""
    if not request.provider.prefill_message_fields:
        return ""
    last = (body or request.body)["messages"][-1]
    text = last["content"] if last["role"] == "assistant" else ""
    return text.rstrip(" ") if isinstance(text, str) else ""


def _find_constraint(request: CompletionRequest) -> str | None:
    """Return what constrains an answer, or None; its grammar would start over after a cut."""
    body = request.body
    response_format = body.get("response_format") or {"type": "text"}
    if response_format.get("type") != "text":
        return "response_format, or a required tool call, constrains the answer from its beginning"
    if body.get("tool_choice") not in (None, "auto", "none"):
        return "the required tool call constrains the answer from its beginning"
    for name in sorted(_CONSTRAINTS & body.keys()):
        return f"{name!r} of model_kwargs constrains the answer from its beginning"
    return None


@cache  # once in a process
def _log_no_effect(problem: str) -> None:
    logger.warning("max_stream_resumes has no effect on this stream: %s.", problem)


def token_limits(body: Mapping[str, Any]) -> dict[str, int]:
    """Return the limits of an answer that a request has, by the names of their fields."""
    # llama.cpp takes -1 for no limit.
    return {
        name: body[name] for name in _LIMITS if isinstance(body.get(name), int) and body[name] > 0
    }


def _continue_prompt(request: CompletionRequest, text: str) -> dict[str, Any]:
    body = request.stream_body()
    return {**body, "input": body["input"] + text}


def _continue_message(request: CompletionRequest, text: str) -> dict[str, Any]:
    body = request.stream_body()
    if not text:
        return body
    messages, provider = list(body["messages"]), request.provider
    last = messages[-1]
    if last["role"] == "assistant" and not last.get("tool_calls"):  # a prefill
        messages[-1] = {**last, "content": (last["content"] or "") + text}
    else:
        message = {"role": "assistant", "content": text}
        messages.append(message | dict(provider.prefill_message_fields))
    return {**body, "messages": messages, **provider.prefill_fields}


_CONTINUE: Mapping[EndpointName, Callable[[CompletionRequest, str], dict[str, Any]]] = {
    "native": _continue_prompt,
    "chat_completions": _continue_message,
}
"""What makes the body of the request that continues an answer, by endpoint."""
