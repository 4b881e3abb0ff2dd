"""What a call asks of a server: messages, settings and tools into the body of one endpoint."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from langchain_voxtral.completions.response import ToolCallParsing
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import Turn
from langchain_voxtral.messages.openai import to_openai
from langchain_voxtral.prompts import (
    PromptFormat,
    SpecialTokens,
    has_special_tokens,
    reject_special_tokens,
    render,
)
from langchain_voxtral.protocol.endpoints import CHAT_COMPLETIONS, NATIVE, TextEndpoint
from langchain_voxtral.providers import PROVIDERS, Provider
from langchain_voxtral.settings import SamplingSettings
from langchain_voxtral.tools.schema import normalize_tool_choice, to_openai_tools, tool_call_schema

__all__ = [
    "Ask",
    "Plan",
    "SystemWithAudio",
    "ToolOptions",
    "chat_plan",
    "native_plan",
    "prompt_plan",
]

logger = logging.getLogger("langchain_voxtral")

SystemWithAudio = Literal["merge", "error"]

FORCED = "tool_call"
"""The name of the schema that a forced call is constrained by."""


@dataclass(frozen=True, slots=True)
class ToolOptions:
    """The tools of one call.

    Args:
        tools: Tools on offer, in OpenAI's form.
        choice: `auto`, `any`, `none`, or the name of the tool that must be called.
        several: Whether one answer may call several; None: not said.
    """

    tools: Sequence[dict[str, Any]] = ()
    choice: str = "auto"
    several: bool | None = None

    @classmethod
    def taken_from(cls, given: dict[str, Any]) -> "ToolOptions":
        """Take the tool options out of the arguments of a call.

        Raises:
            VoxtralInvalidRequestError: A tool or a choice that cannot be sent.
        """
        strict, several = (_taken_bool(given, name) for name in ("strict", "parallel_tool_calls"))
        tools = to_openai_tools(given.pop("tools", None) or (), strict=strict)
        return cls(tools, normalize_tool_choice(given.pop("tool_choice", None), tools), several)

    @property
    def forced(self) -> bool:
        """Whether the answer must be a call."""
        return self.choice not in {"auto", "none"}

    @property
    def offered(self) -> Sequence[dict[str, Any]]:
        """The tools that the model is to know of."""
        if self.choice == "none":
            return ()
        if self.choice in {"auto", "any"}:
            return self.tools
        return [tool for tool in self.tools if tool["function"]["name"] == self.choice]


def _taken_bool(given: dict[str, Any], name: str) -> bool | None:
    value = given.pop(name, None)
    if value is None or isinstance(value, bool):
        return value
    raise VoxtralInvalidRequestError(f"{name}={value!r}: it is True, False or None.")


@dataclass(frozen=True, slots=True)
class Ask:
    """A question, whichever endpoint it goes to.

    Args:
        turns: The conversation.
        options: Settings.
        tools: Tools.
    """

    turns: Sequence[Turn]
    options: SamplingSettings
    tools: ToolOptions = field(default_factory=ToolOptions)

    @property
    def has_audio(self) -> bool:
        """Whether there are recordings in the conversation."""
        return any(turn.parts for turn in self.turns)


@dataclass(frozen=True, slots=True)
class Plan:
    """One request, up to its address.

    Args:
        options: Settings.
        body: The request's body, without what asks for a stream.
        api: The endpoint.
        stops: Where the client cuts the text.
        restores: Whether content was neutralised, so that the answer must be restored.
        calls: How tool calls are read out of the text, if they are.
        carries_audio: Whether there are recordings in the body.
    """

    options: SamplingSettings
    body: Mapping[str, Any]
    api: TextEndpoint = NATIVE
    stops: Sequence[str] = ()
    restores: bool = False
    calls: ToolCallParsing | None = None
    carries_audio: bool = False

    @property
    def resumable(self) -> bool:
        """Whether a cut stream may go on: a raw prompt can, a grammar would start over."""
        return self.api is NATIVE and "response_format" not in self.body


def prompt_plan(
    prompt: str,
    prompt_format: PromptFormat | None,
    options: SamplingSettings,
    *,
    restores: bool,
    response_format: Mapping[str, Any] | None = None,
    calls: ToolCallParsing | None = None,
) -> Plan:
    """Plan to send an input string.

    Args:
        prompt: The input string.
        prompt_format: Its format; None if it is the caller's own.
        options: Settings.
        restores: Whether its content was neutralised.
        response_format: What to constrain the answer to, in place of what the options say.
        calls: How tool calls are read out of the answer, if they are.
    """
    sent_stops, stops = options.stops_for(prompt_format)
    body: dict[str, Any] = {"input": prompt}
    if sent_stops is not None:
        body["stop"] = sent_stops
    body |= options.body(NATIVE)
    if response_format is not None:
        body["response_format"] = response_format
    return Plan(options, body, NATIVE, stops, restores, calls)


def native_plan(
    ask: Ask,
    prompt_format: PromptFormat,
    special_tokens: SpecialTokens,
    *,
    instruction: str | None = None,
) -> Plan:
    """Plan to send a conversation to the native endpoint: tools go into the prompt.

    Args:
        ask: The question.
        prompt_format: The prompt's format.
        special_tokens: What to do with special tokens in content.
        instruction: The answer's form in words, for a server that does not constrain it.

    Raises:
        VoxtralInvalidRequestError: The conversation, or a combination of tools and
            `response_format`, that cannot be sent.
    """
    prompt = render(
        ask.turns,
        prompt_format,
        special_tokens=special_tokens,
        tools=ask.tools.offered,
        instruction=instruction or "",
    )
    constraint = _constraint(ask, prompt_format.calls.arguments_key)
    names = [tool["function"]["name"] for tool in ask.tools.offered]
    options = ask.options
    if instruction is not None:
        options, constraint = options.with_call({"response_format": None}), None
    return prompt_plan(
        prompt,
        prompt_format,
        options,
        restores=special_tokens == "neutralize" and has_special_tokens(ask.turns),
        response_format=constraint,
        calls=ToolCallParsing(names, forced=ask.tools.forced) if names else None,
    )


def _constraint(ask: Ask, arguments_key: str) -> Mapping[str, Any] | None:
    """Return what calls make of `response_format`, if anything."""
    tools, wanted = ask.tools, ask.options.response_format
    kind = _kind(ask)
    if not tools.offered or (kind == "text" and not tools.forced):
        return None
    if kind not in {"text", "json_schema"}:
        raise _contradiction(tools.choice, kind)
    final = None if wanted is None or kind == "text" else wanted["json_schema"]["schema"]
    schema = tool_call_schema(
        tools.offered, arguments_key=arguments_key, several=tools.several is True, final=final
    )
    return {"type": "json_schema", "json_schema": {"name": FORCED, "schema": schema}}


def _kind(ask: Ask) -> str:
    """Return the type of the `response_format` that is asked for.

    Raises:
        VoxtralInvalidRequestError: The answer must be a call, and have a form beside it.
    """
    kind = str((ask.options.response_format or {"type": "text"})["type"])
    if ask.tools.forced and kind != "text":
        raise _contradiction(ask.tools.choice, kind)
    return kind


def _contradiction(choice: str, kind: str) -> VoxtralInvalidRequestError:
    return VoxtralInvalidRequestError(
        f"tool_choice={choice!r} and a response_format of type {kind!r} cannot both hold: an "
        "answer would have to be a call and that form at once. Leave one out; with "
        "tool_choice='auto' a 'json_schema' may stand beside tools."
    )


_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
"""Our choices of tools by OpenAI's names; any other is a tool's name."""


def chat_plan(
    ask: Ask,
    special_tokens: SpecialTokens,
    server: Provider = PROVIDERS["deepinfra"],
    *,
    system_with_audio: SystemWithAudio = "merge",
    instruction: str | None = None,
) -> Plan:
    """Plan to send a conversation to chat completions: the server writes the prompt.

    Args:
        ask: The question, its recordings loaded.
        special_tokens: What to do with special tokens in content. The server escapes them, or
            should: `neutralize` leaves them to it.
        server: Who answers.
        system_with_audio: What to do with system text beside recordings, if the server takes
            none: have it begin the user's text, or refuse it.
        instruction: The answer's form in words, for a server that does not constrain it.

    Raises:
        VoxtralInvalidRequestError: The conversation, or a combination of tools and
            `response_format`, that cannot be sent.
    """
    options, tools = ask.options, ask.tools
    _kind(ask)  # refuses a form beside a call that must come
    if special_tokens == "error":
        reject_special_tokens(ask.turns, tools.tools, instruction or "")
    if ask.has_audio and not server.system_with_audio:
        _check_system(ask.turns, system_with_audio)
    body: dict[str, Any] = {
        "model": options.model,
        "messages": to_openai(
            ask.turns,
            instruction=instruction or "",
            audio_part=server.audio_part,
            system_with_audio=server.system_with_audio,
        ),
    }
    if options.stop is not None:
        body["stop"] = options.stop
    sent = options.body(CHAT_COMPLETIONS)
    body |= {server.names.get(name, name): value for name, value in sent.items()}
    if instruction is not None:
        body.pop("response_format", None)
    if tools.tools:
        body |= _tools_sent(tools, server)
    return Plan(options, body, CHAT_COMPLETIONS, options.stop or (), carries_audio=ask.has_audio)


def _tools_sent(tools: ToolOptions, server: Provider) -> dict[str, Any]:
    """Return the fields of a request that tell of tools."""
    offered, choice = tools.tools, _CHOICES.get(tools.choice)
    sent: dict[str, Any] = {"tool_choice": choice}
    if choice is None and server.names_tools:
        sent["tool_choice"] = {"type": "function", "function": {"name": tools.choice}}
    elif choice is None:
        offered, sent["tool_choice"] = tools.offered, _CHOICES["any"]
    if tools.several is not None:
        sent["parallel_tool_calls"] = tools.several
    return {"tools": list(offered), **sent}


def _check_system(turns: Sequence[Turn], system_with_audio: SystemWithAudio) -> None:
    if not any(turn.role == "system" for turn in turns):
        return
    if system_with_audio == "error":
        raise VoxtralInvalidRequestError(
            "There is system text beside a recording, which the model does not take: put it into "
            "the user's message, or pass system_with_audio='merge'."
        )
    _tell_of_merging()


@cache  # once in a process: it is so for every request of such a conversation
def _tell_of_merging() -> None:
    logger.warning(
        "The model takes no system text beside recordings, so it begins the user's text "
        "(system_with_audio='merge'; 'error' refuses it)."
    )
