"""The endpoints for text: their fields, and what reads their responses."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from langchain_voxtral.protocol import chat_completions, native
from langchain_voxtral.protocol.chat_completions import ChatDecoder
from langchain_voxtral.protocol.native import NativeDecoder
from langchain_voxtral.protocol.responses import ParsedResponse
from langchain_voxtral.providers import EndpointName


@dataclass(frozen=True, slots=True)
class TextEndpoint:
    """One of the endpoints for text.

    Args:
        name: Its name in the table of providers, which has its paths.
        parse_response: Reads a whole response.
        decoder: Makes a decoder of a streamed one.
        field_names: Its names for settings that it does not call as this package does.
        stream_fields: What a request for a stream has in its body.
        logprobs_fields: The fields that ask for log probabilities, which only streams are read for.
    """

    name: EndpointName
    parse_response: Callable[..., ParsedResponse]
    decoder: Callable[..., NativeDecoder | ChatDecoder]
    field_names: Mapping[str, str] = field(default_factory=dict)
    stream_fields: Mapping[str, object] = field(default_factory=lambda: {"stream": True})
    logprobs_fields: Mapping[str, object] = field(default_factory=dict)


NATIVE = TextEndpoint(
    name="native",
    parse_response=native.parse_response,
    decoder=NativeDecoder,
    field_names={"max_tokens": "max_new_tokens", "n": "num_responses"},
)
"""Text generation from a raw prompt; streams always have log probabilities."""

CHAT_COMPLETIONS = TextEndpoint(
    name="chat_completions",
    parse_response=chat_completions.parse_response,
    decoder=ChatDecoder,
    stream_fields={"stream": True, "stream_options": {"include_usage": True}},
    logprobs_fields={"logprobs": True},
)
"""OpenAI's chat completions, where the server writes the prompt and reads the tool calls."""
