"""The tools of one request: how they are offered, constrain the answer, and are read from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.messages import Turn
from langchain_voxtral.providers import Provider
from langchain_voxtral.settings import SamplingSettings
from langchain_voxtral.tools.answer_parser import AnswerParser
from langchain_voxtral.tools.call_schema import tool_call_schema
from langchain_voxtral.tools.choice import normalize_tool_choice
from langchain_voxtral.tools.json_text import dumps
from langchain_voxtral.tools.names import fit_name
from langchain_voxtral.tools.schema import to_openai_tools, tool_name

TOOL_CALL_SCHEMA_NAME = "tool_call"
"""The name of the schema that a required call is constrained by."""

_OPENAI_CHOICES = {"auto": "auto", "any": "required", "none": "none"}
"""Tool choices by OpenAI's names; any other choice is a tool's name."""


@dataclass(frozen=True, slots=True)
class ToolOptions:
    """The tools of one call.

    Args:
        tools: Tools on offer, in OpenAI's form.
        choice: `auto`, `any`, `none`, or the name of the tool that must be called.
        parallel: Whether one answer may call several; None leaves it to the server.
        given_names: The names that tools were given, by those that they are sent under, where
            they differ: a generic class, such as `Page[int]`, is sent as `Page_int`.
    """

    tools: Sequence[dict[str, Any]] = ()
    choice: str = "auto"
    parallel: bool | None = None
    given_names: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def pop_from(cls, kwargs: dict[str, Any]) -> "ToolOptions":
        """Take the tool options out of the keyword arguments of a call.

        Raises:
            VoxtralInvalidRequestError: A tool or a choice that cannot be sent.
        """
        if not kwargs:
            return cls()
        strict, parallel = (_pop_bool(kwargs, name) for name in ("strict", "parallel_tool_calls"))
        if kwargs.keys().isdisjoint(("tools", "tool_choice")):
            return cls(parallel=parallel)
        tools = to_openai_tools(kwargs.pop("tools", None) or (), strict=strict)
        choice = normalize_tool_choice(kwargs.pop("tool_choice", None), tools)
        given_names: dict[str, str] = {}
        for tool in tools:
            name = tool_name(tool)
            sent = tool["function"]["name"] = fit_name(name)
            if (other := given_names.setdefault(sent, name)) != name:
                raise VoxtralInvalidRequestError(
                    f"The tools {other!r} and {name!r} would both be sent as {sent!r}: rename one."
                )
        differing = {sent: name for sent, name in given_names.items() if sent != name}
        return cls(tools, fit_name(choice), parallel, differing)

    def rename_calls(self, turns: Sequence[Turn]) -> Sequence[Turn]:
        """Return a conversation whose calls have the names that tools are sent under."""
        sent = {name: sent for sent, name in self.given_names.items()}
        return [
            replace(
                turn,
                tool_calls=tuple(
                    replace(call, name=sent.get(call.name, call.name)) for call in turn.tool_calls
                ),
            )
            for turn in turns
        ]

    @property
    def is_required(self) -> bool:
        """Whether the answer must be a call."""
        return self.choice not in {"auto", "none"}

    @property
    def visible(self) -> Sequence[dict[str, Any]]:
        """The tools that the model is to know of."""
        if self.choice == "none":
            return ()
        if self.choice in {"auto", "any"}:
            return self.tools
        return [tool for tool in self.tools if tool["function"]["name"] == self.choice]


def _pop_bool(kwargs: dict[str, Any], name: str) -> bool | None:
    value = kwargs.pop(name, None)
    if value is None or isinstance(value, bool):
        return value
    raise VoxtralInvalidRequestError(f"{name}={value!r}: it is True, False or None.")


@dataclass(frozen=True, slots=True)
class ToolCallParsing:
    """How tool calls are read out of the text.

    Args:
        names: The tools on offer.
        is_required: Whether the text can be nothing else, because a grammar made it.
        beside_text: Whether calls may stand beside text: the prompt asks for calls in the text.
        any_name: Whether an answer that is wholly calls may be one of tools that are not on offer.
        given_names: As in `ToolOptions`.
    """

    names: Sequence[str]
    is_required: bool = False
    beside_text: bool = True
    any_name: bool = False
    given_names: Mapping[str, str] = field(default_factory=dict)

    def parser(self) -> AnswerParser:
        """Return a parser for one completion."""
        return AnswerParser(
            self.names,
            forced=self.is_required,
            beside_text=self.beside_text,
            any_name=self.any_name,
        )


def tool_parsing(
    settings: SamplingSettings, tools: ToolOptions, *, in_prompt: bool
) -> ToolCallParsing | None:
    """Return how tool calls are read out of the text, if they are.

    Args:
        settings: The settings of the call; in another form than text, any JSON may be an answer.
        tools: The tools of the call.
        in_prompt: Whether the prompt describes the tools. Else the server parses the calls, and
            only an answer that is wholly calls was left to the client.
    """
    names = [tool_name(tool) for tool in tools.visible]
    if not names:
        return None
    return ToolCallParsing(
        names,
        is_required=in_prompt and tools.is_required,
        beside_text=in_prompt,
        any_name=check_form(settings, tools) == "text",
        given_names=tools.given_names,
    )


def check_form(settings: SamplingSettings, tools: ToolOptions) -> str:
    """Return the type of the `response_format`; refuse one beside a call that is required."""
    kind = str((settings.response_format or {"type": "text"})["type"])
    if tools.is_required and kind != "text":
        raise _contradiction(tools.choice, kind)
    return kind


def _contradiction(choice: str, kind: str) -> VoxtralInvalidRequestError:
    return VoxtralInvalidRequestError(
        f"tool_choice={choice!r} and a response_format of type {kind!r} cannot both hold: an "
        "answer would have to be a call and that form at once. Leave one out; with "
        "tool_choice='auto' a 'json_schema' may stand beside tools."
    )


def tool_constraint(
    settings: SamplingSettings, tools: ToolOptions, arguments_key: str
) -> Mapping[str, Any] | None:
    """Return the `response_format` that tools make, if any."""
    kind = check_form(settings, tools)
    if not tools.visible or (kind == "text" and not tools.is_required):
        return None
    if kind not in {"text", "json_schema"}:
        raise _contradiction(tools.choice, kind)
    wanted = settings.response_format
    final = None if wanted is None or kind == "text" else wanted["json_schema"]["schema"]
    schema = tool_call_schema(
        tools.visible, arguments_key=arguments_key, several=tools.parallel is True, final=final
    )
    return {"type": "json_schema", "json_schema": {"name": TOOL_CALL_SCHEMA_NAME, "schema": schema}}


def describe_form(settings: SamplingSettings, tools: ToolOptions) -> str:
    """Return the form of the answer in words for the model; empty if words cannot tell it."""
    if tools.is_required:
        return "You must answer with a call of a function, and with nothing else."
    match settings.response_format:
        case {"type": "json_schema", "json_schema": {"schema": wanted}}:
            schema = dumps(wanted, what="the schema of response_format")
        case {"type": "json_object"}:
            schema = dumps({"type": "object"}, what="the schema of response_format")
        case _:
            return ""
    return f"Answer with JSON that follows this JSON schema, and with nothing else:\n{schema}"


def tool_fields(tools: ToolOptions, provider: Provider) -> dict[str, Any]:
    """Return the fields of a chat completions request for tools."""
    offered, choice = tools.tools, _OPENAI_CHOICES.get(tools.choice)
    fields: dict[str, Any] = {"tool_choice": choice}
    if choice is None and provider.supports_named_tool_choice:
        fields["tool_choice"] = {"type": "function", "function": {"name": tools.choice}}
    elif choice is None:
        offered, fields["tool_choice"] = tools.visible, _OPENAI_CHOICES["any"]
    if tools.parallel is not None:
        fields["parallel_tool_calls"] = tools.parallel
    return {"tools": list(offered), **fields}
