"""What a server says, whichever endpoint said it."""

from dataclasses import dataclass, field

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
    """

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost: float | None = None
    cached_tokens: int | None = None
    audio_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer.

    Args:
        texts: One text for each response asked for; without the prompt.
        usage: Totals over all of them.
        request_id: The server's id of the request.
        runtime_ms: Milliseconds of inference, as the server says.
        finish_reasons: For each text why it ended; the native endpoint does not say it here.
        calls: For each text the tool calls that came beside it, each whole, in one part.
    """

    texts: tuple[str, ...]
    usage: Usage = field(default_factory=Usage)
    request_id: str | None = None
    runtime_ms: int | None = None
    finish_reasons: tuple[str | None, ...] = ()
    calls: tuple[tuple[ToolCallChunk, ...], ...] = ()


@dataclass(slots=True)
class Delta:
    """A piece of a streamed answer (not frozen: one is made for every token).

    Args:
        text: The text to append; "" for special tokens, whose text is never shown.
        token_id: The token's number in the model's vocabulary, when the server tells it.
        logprob: Natural logarithm of the token's probability, when the server tells it.
    """

    text: str
    token_id: int | None = None
    logprob: float | None = None


@dataclass(frozen=True, slots=True)
class Final:
    """The last event of a streamed answer; without it the stream was cut.

    Args:
        finish_reason: `stop`, `length`, `tool_calls`, `content_filter`, ...
        usage: Tokens and cost.
        request_id: The server's id of the request.
    """

    finish_reason: str
    usage: Usage = field(default_factory=Usage)
    request_id: str | None = None


StreamEvent = Delta | ToolCallChunk | Final
