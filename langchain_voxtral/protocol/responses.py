"""What servers answer, whichever endpoint it came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_voxtral.tools.call_accumulator import ToolCallChunk


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer cost; a number the server did not give is None, never a guess.

    Args:
        input_tokens: Tokens of the prompt.
        output_tokens: Tokens generated.
        cost: US dollars.
        cached_tokens: Those of the prompt's tokens that the server had cached.
        audio_tokens: Those of the prompt's tokens that are sound.
        audio_seconds: Seconds of sound in the prompt, as the server bills them.
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    cached_tokens: int | None = None
    audio_tokens: int | None = None
    audio_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class ResponseInfo:
    """All that is known of a response but its text; what is not known is None.

    Args:
        finish_reason: `stop`, `length`, `tool_calls`, `content_filter`, ...
        usage: Tokens and cost.
        request_id: The server's id of the request.
        runtime_ms: Milliseconds of inference, as the server reports them.
        model: The model that answered.
        provider: The server that answered; also the tracer's `ls_provider`.
        endpoint: The endpoint that answered: `native` or `chat_completions`.
        finish_reason_is_derived: Whether the client concluded the finish reason.
        attempts: How often the request was sent.
        usage_incomplete: Whether the stream was closed before usage and cost had come, or resumed
            after a cut and the server had not reported the usage so far.
        resumes: How often the stream was cut and resumed.
        logprobs: All tokens with their log probabilities, of a stream that was collected.
        structured_output: `prompted` if the server refused to constrain the answer, and the
            prompt asked for the form instead.
        refusal: What the server says instead of an answer, if it marks that as a refusal.
    """

    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    request_id: str | None = None
    runtime_ms: int | None = None
    model: str = ""
    provider: str = ""
    endpoint: str | None = None
    finish_reason_is_derived: bool = False
    attempts: int = 1
    usage_incomplete: bool = False
    resumes: int = 0
    logprobs: Sequence[Mapping[str, Any]] = ()
    structured_output: str | None = None
    refusal: str | None = None


@dataclass(frozen=True, slots=True)
class ParsedResponse:
    """A whole response, as its body has it.

    Args:
        texts: One text for each completion asked for; without the prompt.
        info: Usage over all of them, and what else the body has.
        finish_reasons: Why each text ended; empty where the body does not say.
        tool_calls: The tool calls beside each text, each whole, in one chunk.
        refusals: What stands in place of each text, if it is a refusal.
    """

    texts: tuple[str, ...]
    info: ResponseInfo = field(default_factory=ResponseInfo)
    finish_reasons: tuple[str | None, ...] = ()
    tool_calls: tuple[tuple[ToolCallChunk, ...], ...] = ()
    refusals: tuple[str | None, ...] = ()


@dataclass(slots=True)
class TokenDelta:
    """A piece of a streamed answer with its log probability (not frozen: an answer has many).

    Args:
        text: The text to append; "" for special tokens, whose text is never shown.
        token_id: The token's number in the model's vocabulary, if the server sends it.
        logprob: Natural logarithm of the token's probability, if the server sends it.
    """

    text: str
    token_id: int | None = None
    logprob: float | None = None


StreamEvent = str | TokenDelta | ToolCallChunk | ResponseInfo
"""What streams are decoded into; a text of which nothing else is known is a string. A
`ResponseInfo` ends a stream; without it the stream was cut."""
