"""The endpoints that answer text: what they call things, how they answer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from langchain_voxtral.protocol import chat_completions, native
from langchain_voxtral.protocol.chat_completions import ChatDecoder
from langchain_voxtral.protocol.native import NativeDecoder
from langchain_voxtral.protocol.responses import ParsedResponse
from langchain_voxtral.providers import Route

_SHARED_NAMES = {
    name: name
    for name in (
        "temperature",
        "top_p",
        "top_k",
        "min_p",
        "repetition_penalty",
        "presence_penalty",
        "frequency_penalty",
        "seed",
        "response_format",
        "user",
        "prompt_cache_key",
    )
}


@dataclass(frozen=True, slots=True)
class TextEndpoint:
    """One of the endpoints for text.

    Args:
        route: What it is in the table of servers, which has its paths.
        names: Our names of settings, and what they are called in its request body.
        decode: Reads a whole answer.
        stream: Makes a reader of a streamed one.
        stream_fields: What a request for a stream has in its body.
        logprobs_fields: The fields that ask for log probabilities, which only streams are read for.
    """

    route: Route
    names: Mapping[str, str]
    decode: Callable[..., ParsedResponse]
    stream: Callable[..., NativeDecoder | ChatDecoder]
    stream_fields: Mapping[str, object] = field(default_factory=lambda: {"stream": True})
    logprobs_fields: Mapping[str, object] = field(default_factory=dict)


NATIVE = TextEndpoint(
    route="native",
    names={"max_tokens": "max_new_tokens", **_SHARED_NAMES, "n": "num_responses"},
    decode=native.parse_response,
    stream=NativeDecoder,
)
"""Text generation from a raw prompt; the answer's tokens tell their probabilities unasked."""

CHAT_COMPLETIONS = TextEndpoint(
    route="chat_completions",
    names={"max_tokens": "max_tokens", **_SHARED_NAMES, "n": "n"},
    decode=chat_completions.parse_response,
    stream=ChatDecoder,
    stream_fields={"stream": True, "stream_options": {"include_usage": True}},
    logprobs_fields={"logprobs": True},
)
"""OpenAI's chat completions, where the server writes the prompt and reads the tool calls."""
