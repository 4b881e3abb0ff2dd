"""Resuming a streamed completion that was cut: whether, by which request, and the tokens so far."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from langchain_voxtral.completions.request import CompletionRequest
from langchain_voxtral.errors import VoxtralError, VoxtralIncompleteStreamError
from langchain_voxtral.protocol.responses import Usage
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


def constraint_problem(request: CompletionRequest) -> str | None:
    """Return why no stream of a request can be resumed, or None: a grammar would start over."""
    body = request.body
    response_format = body.get("response_format") or {"type": "text"}
    if response_format.get("type") != "text":
        return "response_format, or a required tool call, constrains the answer from its beginning"
    if body.get("tool_choice") not in (None, "auto", "none"):
        return "the required tool call constrains the answer from its beginning"
    constraint = next(iter(sorted(_CONSTRAINTS & body.keys())), None)
    if constraint is not None:
        return f"{constraint!r} of model_kwargs constrains the answer from its beginning"
    return None


def remaining_tokens(request: CompletionRequest, tokens: int) -> int | None:
    """Return how many tokens may follow the first `tokens` of an answer; None if none is set."""
    return min((limit - tokens for limit in _limits(request.body).values()), default=None)


def resume_body(request: CompletionRequest, text: str, tokens: int) -> dict[str, Any]:
    """Return the body of the request that continues an answer.

    Args:
        request: The request for the answer.
        text: The answer so far, exactly as it came.
        tokens: The number of its tokens.
    """
    limits = {name: limit - tokens for name, limit in _limits(request.body).items()}
    return _CONTINUE[request.endpoint.name](request, text) | limits


def _limits(body: Mapping[str, Any]) -> dict[str, int]:
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
    messages = list(body["messages"])
    last = messages[-1]
    if last["role"] == "assistant" and not last.get("tool_calls"):  # a prefill
        messages[-1] = {**last, "content": (last["content"] or "") + text}
    else:
        messages.append({"role": "assistant", "content": text})
    return {**body, "messages": messages, **request.provider.prefill_fields}


_CONTINUE: Mapping[EndpointName, Callable[[CompletionRequest, str], dict[str, Any]]] = {
    "native": _continue_prompt,
    "chat_completions": _continue_message,
}


def resume_advice(error: VoxtralError, max_resumes: int, problem: str | None) -> str:
    """Return the end of an error's message: why a stream is not resumed, or how it would be."""
    if problem is not None:
        return f" The stream cannot be resumed: {problem}." if max_resumes else ""
    if max_resumes or not isinstance(error, VoxtralIncompleteStreamError):
        return ""
    return " Set max_stream_resumes to have such streams taken up again."


@cache  # once in a process
def warn_not_resumable(problem: str) -> None:
    """Log that a stream will not be resumed, although it is set."""
    logger.warning("max_stream_resumes has no effect on this stream: %s.", problem)


@dataclass(frozen=True, slots=True)
class AttemptTokens:
    """How many tokens an attempt that was cut has brought.

    Args:
        count: Their number.
        is_reported: Whether the server reported it, by its usage or by an id of each token.
    """

    count: int
    is_reported: bool


def count_tokens(
    text: str, *, events: int, identified: int, usage: Usage, events_since_usage: int
) -> AttemptTokens:
    """Return the tokens of an attempt that was cut.

    An event is documented to be a token, but servers and proxies put several into one. As long
    as nothing contradicts, events are counted; if they have more words than that, the larger of
    two estimates is taken, so that a limit is rather kept than passed.

    Args:
        text: The text that came.
        events: The number of events that it came in.
        identified: Those of them that have one token for certain.
        usage: The usage that the server has last reported.
        events_since_usage: The number of events after that report.
    """
    reported = usage.output_tokens
    if reported is not None and not events_since_usage:
        return AttemptTokens(reported, is_reported=True)
    if identified == events:
        return AttemptTokens(events, is_reported=True)
    words = len(text.split())
    estimate = max(words, len(text) // _CHARACTERS_PER_TOKEN) if words > events else events
    return AttemptTokens(max(estimate, (reported or 0) + events_since_usage), is_reported=False)


@dataclass(slots=True)
class CutAttempts:
    """The attempts of a stream that were cut and resumed.

    Args:
        number: How many there are.
        tokens: The number of tokens that they brought.
        usages: The usage of each.
        is_usage_reported: Whether the server reported all of it.
    """

    number: int = 0
    tokens: int = 0
    usages: list[Usage] = field(default_factory=list)
    is_usage_reported: bool = True

    def add(self, tokens: AttemptTokens, usage: Usage) -> None:
        """Take in an attempt."""
        self.number += 1
        self.tokens += tokens.count
        self.usages.append(replace(usage, output_tokens=tokens.count))
        self.is_usage_reported &= tokens.is_reported and usage.input_tokens is not None


def add_usage(usages: Sequence[Usage]) -> Usage:
    """Return the sum of what attempts used; None where none of them reported it."""

    def total(name: str) -> Any:
        numbers = [number for usage in usages if (number := getattr(usage, name)) is not None]
        return sum(numbers) if numbers else None

    return Usage(*(total(name) for name in Usage.__dataclass_fields__))
