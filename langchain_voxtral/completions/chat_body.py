"""The body of a request for chat completions, by what a server takes."""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any, Literal

from langchain_voxtral.completions.tools import ToolOptions, tool_fields
from langchain_voxtral.errors import VoxtralInvalidRequestError, VoxtralUnsupportedFeatureError
from langchain_voxtral.messages import Turn
from langchain_voxtral.messages.openai import to_openai
from langchain_voxtral.profiles import check_chat_model
from langchain_voxtral.protocol.endpoints import CHAT_COMPLETIONS
from langchain_voxtral.providers import Provider
from langchain_voxtral.settings import SamplingSettings, request_fields

logger = logging.getLogger("langchain_voxtral")

SystemWithAudio = Literal["merge", "error"]


def chat_body(
    turns: Sequence[Turn],
    settings: SamplingSettings,
    tools: ToolOptions,
    provider: Provider,
    instruction: str = "",
) -> dict[str, Any]:
    """Return the body, without the fields that ask for a stream; see `RequestBuilder.from_turns`.

    Raises:
        VoxtralUnsupportedFeatureError: The server has no field for a setting, or the model does
            not chat; the message says which.
    """
    messages = to_openai(
        turns,
        instruction=instruction,
        audio_part=provider.audio_part,
        turn_order=provider.turn_order,
    )
    body: dict[str, Any] = {"model": settings.model, "messages": messages}
    if messages[-1]["role"] == "assistant":
        messages[-1] |= provider.prefill_message_fields
        body |= provider.prefill_fields
    if settings.stop is not None:
        body["stop"] = settings.stop
    body |= _chat_fields(settings, provider)
    if instruction:
        body.pop("response_format", None)
    if tools.tools:
        body |= tool_fields(tools, provider)
    return body


def _chat_fields(settings: SamplingSettings, provider: Provider) -> dict[str, Any]:
    """Return what of these settings goes into the body, by a server's names."""
    check_chat_model(settings.model, provider.chat_model)
    for name in sorted(provider.missing_settings):
        is_format = name == (settings.response_format or {}).get("type")
        value = getattr(settings, name, None)
        if is_format or (value not in (None, False) and (name, value) != ("n", 1)):
            setting = f"response_format of type {name!r}" if is_format else f"{name}="
            raise VoxtralUnsupportedFeatureError(
                f"server={provider.name!r} has no field for {setting}: leave it unset."
            )
    fields = request_fields(settings, CHAT_COMPLETIONS)
    return {provider.field_names.get(name, name): value for name, value in fields.items()}


def check_system_turns(turns: Sequence[Turn], choice: SystemWithAudio) -> None:
    """Check the system turns of a conversation with recordings, which can have none.

    Raises:
        VoxtralInvalidRequestError: There is one, and it is not to be merged.
    """
    if not any(turn.role == "system" for turn in turns):
        return
    if choice == "error":
        raise VoxtralInvalidRequestError(
            "There is system text beside a recording, which the model does not take: put it "
            "into the user's message, or pass system_with_audio='merge'."
        )
    warn_system_merged()


@cache  # once in a process: it is so for every request of such a conversation
def warn_system_merged() -> None:
    """Log that system text begins the user's text."""
    logger.warning(
        "The model takes no system text beside recordings, so it begins the user's text "
        "(system_with_audio='merge'; 'error' refuses it)."
    )
