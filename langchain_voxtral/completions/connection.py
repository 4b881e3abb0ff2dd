"""How completions are asked for and streamed, beside where requests go."""

from typing import Literal, Self

from pydantic import Field, model_validator

from langchain_voxtral.connection import PART_CONFIG, ConnectionSettings, Seconds
from langchain_voxtral.errors import VoxtralUnsupportedFeatureError
from langchain_voxtral.providers import PROVIDERS

DEFAULT_STREAM_IDLE_TIMEOUT = 60.0
"""Seconds without a token in a stream, unless `stream_idle_timeout` says otherwise."""
LOCAL_STREAM_IDLE_TIMEOUT = 300.0
"""The same for the embedded engine, which reads long prompts slowly."""


class CompletionConnection(ConnectionSettings):
    """Where requests for completions go, which endpoint answers them, and how streams are kept."""

    model_config = PART_CONFIG

    api: Literal["auto", "native", "chat_completions"] = Field(
        default="auto",
        description='`"native"`: this package writes the prompt; `"chat_completions"`: the server '
        'writes it and parses tool calls; `"auto"`: native for text, chat completions '
        "for recordings and for servers without the native endpoint.",
    )
    stream_idle_timeout: Seconds | None = Field(
        default=DEFAULT_STREAM_IDLE_TIMEOUT,
        description="Seconds without a token when streaming; the default is 300 with the embedded "
        "engine.",
    )
    max_stream_resumes: int = Field(
        default=0,
        ge=0,
        description="How often a broken stream is resumed, by sending the prompt with the text so "
        "far. No character is lost or doubled; the words after a break may differ. Not "
        "with `response_format` or a required tool call, whose grammar would start "
        "over, and with chat completions not within a tool call. The error of a stream "
        "that is not resumed says why.",
    )

    @model_validator(mode="after")
    def _check_native_endpoint(self) -> Self:
        if self.api == "native":
            try:
                PROVIDERS[self.server].path("native")
            except VoxtralUnsupportedFeatureError as error:
                raise ValueError(error.message) from None
        return self
