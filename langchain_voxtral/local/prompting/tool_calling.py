"""From a client's request to the model's input: its prompt, and what constrains the answer.

Whether a tool is called is decided by the rule of `tool_selection`; which of the selected tools,
and with what arguments, by the model.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.prompting.chat_template import ChatTemplate
from langchain_voxtral.local.prompting.few_shot import call_examples
from langchain_voxtral.local.prompting.json_grammar import (
    Constraint,
    constrain,
    constrain_json,
)
from langchain_voxtral.local.prompting.prompt_reader import ParsedPrompt, parse_prompt
from langchain_voxtral.local.prompting.schema_validation import check_schema
from langchain_voxtral.local.prompting.tool_selection import (
    last_question,
    select_required_tools,
    select_tools,
)
from langchain_voxtral.local.response_formats import JsonSchema, PlainText, ResponseFormat
from langchain_voxtral.prompts import FORMATS, ToolCallSyntax, unescape
from langchain_voxtral.tools.call_ids import to_mistral_call_id
from langchain_voxtral.tools.call_schema import tool_call_schema

if TYPE_CHECKING:
    from langchain_voxtral.local.api.requests import InferenceRequest

MAX_TOOLS = 1_000
"""OpenAI's limit is 128."""

_OPENAI_CALLS = ToolCallSyntax("arguments")


@dataclass(frozen=True, slots=True)
class ModelInput:
    """What the model is given.

    Args:
        prompt: Its prompt, in its own format.
        constraint: How its decoding is constrained.
        tool_names: Tools of which the text will be one JSON call (in an array, if the client's
            schema is one of an array); none if it is no call.
        prefix: What the client gets before the text; the model does not write it.
    """

    prompt: str
    constraint: Constraint
    tool_names: tuple[str, ...] = ()
    prefix: str = ""


def plan_native(request: "InferenceRequest", template: ChatTemplate) -> ModelInput:
    """Return the model's input for a native request.

    A call that only the rule asks for is written as the prompt's own format writes calls. With
    a `response_format` only the alternatives of its schema are calls.

    Raises:
        ErrorResponse: As `plan_chat`.
    """
    prompt = parse_prompt(request.input)
    is_free = request.response_format is None or isinstance(request.response_format, PlainText)
    syntax = FORMATS[prompt.format].calls if prompt.format in FORMATS else _OPENAI_CALLS
    # A model that reads the tools in its prompt decides for itself, and writes its own calls.
    choice = "auto" if is_free and template.uses_few_shot else "none"
    planned = _plan(prompt, template, request.response_format, choice, syntax)
    if prompt.format in {"raw", template.own_format}:
        return replace(planned, prompt=request.input)
    return replace(planned, prefix=syntax.open) if planned.tool_names and is_free else planned


def plan_chat(
    prompt: ParsedPrompt,
    template: ChatTemplate,
    response_format: ResponseFormat | None,
    *,
    tool_choice: str = "auto",
) -> ModelInput:
    """Return the model's input for a conversation.

    Args:
        prompt: The conversation, and the tools on offer in OpenAI's form.
        template: The model's chat template.
        response_format: The request's. A schema of calls of these tools forces a call, whatever
            `tool_choice` is, unless its last alternative is no call: then the rule decides.
        tool_choice: `auto`: a call if the rule says so, else text, or what `response_format`
            describes; `none`: no call; `any`: a call; or the name of the tool to call.

    Raises:
        ErrorResponse: 400, there are too many tools, a schema cannot be enforced, the conversation
            cannot be written in the model's format, or `tool_choice` asks for a tool that is not
            on offer.
    """
    return _plan(prompt, template, response_format, tool_choice, _OPENAI_CALLS)


def _plan(
    prompt: ParsedPrompt,
    template: ChatTemplate,
    response_format: ResponseFormat | None,
    tool_choice: str,
    syntax: ToolCallSyntax,
) -> ModelInput:
    if len(prompt.tools) > MAX_TOOLS:
        raise ErrorResponse.with_message(400, f"tools: more than {MAX_TOOLS} are on offer")
    tools: list[Mapping[str, Any]] = [tool for tool in prompt.tools if _can_be_called(tool)]
    calls = None
    if isinstance(response_format, JsonSchema):
        calls = read_call_schema(response_format.json_schema.schema_, set(map(_name, tools)))
    if calls is not None:
        tool_choice = "any" if calls.final is None else "auto"
        tools = [tool for tool in tools if _name(tool) in calls.by_name]
    names = _select(tool_choice, tools, prompt)
    if not names:
        final = constrain(response_format) if calls is None else constrain_json(calls.final_only())
        return ModelInput(template.render(prompt), final)
    question = unescape(last_question(prompt.turns))
    if calls is None:
        # Each step of a conversation gets another id, the same at every try.
        call_id = to_mistral_call_id(f"{len(prompt.turns)} {question}")
        calls = make_call_schema(tools, names, syntax, call_id)
    constraint = constrain_json(calls.one_of(names), "tools")
    functions = [
        {**tool["function"], "parameters": calls.arguments(_name(tool))}
        for tool in tools
        if _name(tool) in names
    ]
    examples = call_examples(functions, calls.arguments_key, calls.definitions, question=question)
    return ModelInput(template.render(prompt, examples), constraint, names)


def _select(
    tool_choice: str, tools: Sequence[Mapping[str, Any]], prompt: ParsedPrompt
) -> tuple[str, ...]:
    """Return the names of the tools of which one is to be called; none for text."""
    if tool_choice == "none":
        return ()
    if tool_choice == "auto":
        return () if prompt.prefill else select_tools(tools, prompt.turns)
    if tool_choice == "any" and tools:
        return select_required_tools(tools, prompt.turns)
    if tool_choice in map(_name, tools):
        return (tool_choice,)
    raise ErrorResponse.with_message(
        400, f"tool_choice: {tool_choice!r} asks for a tool that is not on offer"
    )


def _can_be_called(tool: Mapping[str, Any]) -> bool:
    match tool:
        case {"function": {"name": str(), **function}}:
            return isinstance(function.get("parameters", {}), dict | None)
    return False


def _name(tool: Mapping[str, Any]) -> str:
    return str(tool["function"]["name"])


@dataclass(frozen=True, slots=True)
class CallSchema:
    """A JSON schema of an answer that is a call of a tool, or else a final answer.

    Args:
        by_name: The schemas of calls, by the tool's name.
        arguments_key: The key of a call's arguments.
        definitions: What `$ref` points into.
        final: The alternative that is no call; None if there is none.
        is_array: Calls are items of an array.
    """

    by_name: Mapping[str, Mapping[str, Any]]
    arguments_key: str
    definitions: Mapping[str, Any]
    final: Mapping[str, Any] | None = None
    is_array: bool = False

    def arguments(self, name: str) -> Any:
        """Return the schema of a tool's arguments."""
        return self.by_name[name]["properties"][self.arguments_key]

    def one_of(self, names: Collection[str]) -> dict[str, Any]:
        """Return the schema of one call of one of these tools (in an array, if there is one)."""
        calls = [call for name, call in self.by_name.items() if name in names]
        schema = calls[0] if len(calls) == 1 else {"anyOf": calls}
        if self.is_array:
            schema = {"type": "array", "minItems": 1, "maxItems": 1, "items": schema}
        return self._with_definitions(schema)

    def final_only(self) -> dict[str, Any]:
        """Return the schema of the alternative that is no call."""
        return self._with_definitions(self.final or {})

    def _with_definitions(self, schema: Mapping[str, Any]) -> dict[str, Any]:
        return {**schema, "$defs": self.definitions} if self.definitions else {**schema}


def make_call_schema(
    tools: Sequence[Mapping[str, Any]],
    names: Collection[str],
    syntax: ToolCallSyntax,
    call_id: str,
) -> CallSchema:
    """Return the schema of a call of one of the named tools, or refuse their parameters (400)."""
    chosen = [tool for tool in tools if _name(tool) in names]
    for tool in chosen:
        check_schema(tool["function"].get("parameters") or {}, f"parameters of {_name(tool)!r}")
    schema = tool_call_schema(chosen, arguments_key=syntax.arguments_key)
    calls = _by_name(_alternatives(schema))
    for call in calls.values() if syntax.id_key else ():
        call["properties"] = {**call["properties"], syntax.id_key: {"const": call_id}}
        call["required"] = [*call["required"], syntax.id_key]
    definitions = schema.get("$defs", {})
    return CallSchema(calls, syntax.arguments_key, definitions, is_array=syntax.array)


def read_call_schema(schema: Mapping[str, Any], names: Collection[str]) -> CallSchema | None:
    """Return the calls of these tools that a schema describes; None if it describes none.

    Recognised are the schemas that `tool_call_schema` makes: that of a call, an object with a
    constant `name` and its arguments; `anyOf` calls; an array of either; and `anyOf` of these
    with another schema at its end, that of a final answer.
    """
    alternatives = _alternatives(schema)
    first = alternatives[0]
    is_array = isinstance(first, Mapping) and first.get("type") == "array"
    if is_array:
        calls, rest = _alternatives(first.get("items")), alternatives[1:]
    else:
        calls = list(takewhile(lambda part: _arguments_key(part, names), alternatives))
        rest = alternatives[len(calls) :]
    keys = {_arguments_key(call, names) for call in calls}
    final = rest[0] if rest else None
    if len(keys) != 1 or "" in keys or len(rest) > 1 or not isinstance(final, Mapping | None):
        return None
    definitions = schema.get("$defs", {})
    return CallSchema(_by_name(calls), keys.pop(), definitions, final, is_array=is_array)


def _alternatives(schema: Any) -> list[Any]:
    """Return the schemas that a value may follow: the schema itself, if it has no `anyOf`."""
    any_of = schema.get("anyOf") if isinstance(schema, Mapping) else None
    return any_of if isinstance(any_of, list) and any_of else [schema]


def _arguments_key(schema: Any, names: Collection[str]) -> str:
    """Return the key of the arguments in the schema of a call; "" if it is none."""
    match schema:
        case {"properties": {"name": {"const": str(name)}, "arguments": _, **others}}:
            key = "arguments"
        case {"properties": {"name": {"const": str(name)}, "parameters": _, **others}}:
            key = "parameters"
        case _:
            return ""
    return key if name in names and not others else ""


def _by_name(calls: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    return {
        call["properties"]["name"]["const"]: {
            key: value for key, value in call.items() if key != "$defs"
        }
        for call in calls
    }
