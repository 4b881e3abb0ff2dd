"""From what a client asks for to what the model is given: its prompt, and what constrains it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from langchain_voxtral.local.api.requests import (
    InferenceRequest,
    JsonSchema,
    PlainText,
    ResponseFormat,
)
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.prompting.chat_template import Template
from langchain_voxtral.local.prompting.copying import with_letters_of, with_words_of
from langchain_voxtral.local.prompting.few_shot import call_examples
from langchain_voxtral.local.prompting.json_grammar import Constraint, constrain, constrain_json
from langchain_voxtral.local.prompting.prompt_reader import ParsedPrompt, parse_prompt
from langchain_voxtral.local.prompting.tool_calling import (
    CallSchema,
    make_call_schema,
    read_call_schema,
)
from langchain_voxtral.local.prompting.tool_selection import called_for, last_request, preferred
from langchain_voxtral.messages.turns import Turn
from langchain_voxtral.prompts import FORMATS, ToolCallSyntax, unescape
from langchain_voxtral.tools.call_ids import to_mistral_call_id

__all__ = ["Task", "plan_input", "plan_task"]


@dataclass(frozen=True, slots=True)
class Task:
    """One thing for the model to do.

    Args:
        prompt: What it reads, in its own format.
        constraint: How its decoding is constrained.
        tool_names: Tools of which the text will be one JSON call `{"name": …, ARGUMENTS_KEY: {…}}`
            (in an array, if the client's schema is one of an array); none if it is no call.
        opening: What the client is told before the text; the model does not write it.
    """

    prompt: str
    constraint: Constraint
    tool_names: tuple[str, ...] = ()
    opening: str = ""


def plan_input(wanted: InferenceRequest, template: Template) -> Task:
    """Decide what the model is to do with a native request.

    A call that nothing but the rule asks for is written as the prompt's own format writes
    calls. A `response_format` constrains the text: then only its own alternatives are calls.

    Args:
        wanted: The request.
        template: The model's format.

    Raises:
        ErrorResponse: As `plan_task`.
    """
    reading = parse_prompt(wanted.input)
    is_own = reading.format in {"raw", template.name}
    is_free = wanted.response_format is None or isinstance(wanted.response_format, PlainText)
    syntax = (
        FORMATS[reading.format].calls if reading.format in FORMATS else ToolCallSyntax("arguments")
    )
    task = _plan(
        reading,
        template,
        wanted.response_format,
        # A model that reads the tools in its prompt decides for itself, and writes its own calls.
        choice="auto" if is_free and template.by_example else "none",
        arguments_key=syntax.arguments_key,
        own_format_text=wanted.input if is_own else None,
        form=_form(syntax, wanted.input),
    )
    return replace(task, opening=syntax.open) if task.tool_names and is_free else task


def plan_task(
    reading: ParsedPrompt,
    template: Template,
    wanted: ResponseFormat | None,
    *,
    choice: str = "auto",
    arguments_key: str = "arguments",
    own_format_text: str | None = None,
) -> Task:
    """Decide what the model is to do, and say it in the model's own format.

    Whether a tool is called is decided here, by the rule of `tool_selection`;
    which of those that are called for, and with what arguments, by the model.

    Args:
        reading: The conversation, and the tools on offer in OpenAI's form.
        template: The model's format.
        wanted: The request's `response_format`. If it is a schema of calls of these tools it
            forces one (`choice` is then not looked at), unless its last alternative is no
            call: then the rule decides between the calls and that.
        choice: `auto`: a call if the rule says so, else text, or what `wanted` describes;
            `none`: no call; `any`: a call; or the name of the one tool to call.
        arguments_key: The key of the arguments in a call that `wanted` does not describe.
        own_format_text: The client's prompt if it is in the model's own format, and so goes
            to the model as it is.

    Raises:
        ErrorResponse: 400, a schema cannot be enforced, the conversation cannot be written in the
            model's format, or `choice` asks for a tool that is not on offer.
    """
    return _plan(
        reading,
        template,
        wanted,
        choice=choice,
        arguments_key=arguments_key,
        own_format_text=own_format_text,
    )


def _as_it_is(calls: CallSchema) -> CallSchema:
    return calls


def _form(syntax: ToolCallSyntax, prompt: str) -> Callable[[CallSchema], CallSchema]:
    """Return what gives the schema of a call the form that a prompt's format demands."""
    if not syntax.array:
        return _as_it_is
    # The same prompt gets the same id, and no two prompts of a conversation are the same.
    return lambda calls: calls.in_array(**{syntax.id_key: to_mistral_call_id(prompt)})


def _plan(
    reading: ParsedPrompt,
    template: Template,
    wanted: ResponseFormat | None,
    *,
    choice: str,
    arguments_key: str,
    own_format_text: str | None,
    form: Callable[[CallSchema], CallSchema] = _as_it_is,
) -> Task:
    def written(examples: Sequence[Turn] = ()) -> str:
        if own_format_text is None:
            return template.write(reading, examples)
        return own_format_text.removeprefix(template.begin)

    tools: list[Mapping[str, Any]] = [tool for tool in reading.tools if _can_be_called(tool)]
    calls = _asked_for(wanted, tools)
    if calls is not None:
        choice = "any" if calls.final is None else "auto"
        tools = [tool for tool in tools if _name(tool) in calls.calls]
    names = _choose(choice, tools, reading)
    if not names:
        free = constrain(wanted) if calls is None else constrain_json(calls.final_schema())
        return Task(written(), free)
    calls = calls or form(make_call_schema(tools, names, arguments_key))
    asked = unescape(last_request(reading.turns))
    constraint = constrain_json(with_letters_of(asked, calls.one_of(names)))
    functions = [
        {**tool["function"], "parameters": calls.arguments(_name(tool))}
        for tool in tools
        if _name(tool) in names
    ]
    examples = call_examples(functions, calls.arguments_key, calls.definitions, question=asked)
    return Task(written(examples), with_words_of(asked, constraint), names)


def _asked_for(
    wanted: ResponseFormat | None, tools: Sequence[Mapping[str, Any]]
) -> CallSchema | None:
    """Return the calls that a `response_format` describes, if it does."""
    if not isinstance(wanted, JsonSchema):
        return None
    return read_call_schema(wanted.json_schema.schema_, [_name(tool) for tool in tools])


def _choose(
    choice: str, tools: Sequence[Mapping[str, Any]], reading: ParsedPrompt
) -> tuple[str, ...]:
    """Return the names of the tools of which one is to be called; none for text."""
    names = tuple(map(_name, tools))
    if choice == "none":
        return ()
    if choice == "auto":
        return () if reading.prefill else called_for(tools, reading.turns)
    if choice == "any" and names:
        return preferred(tools, reading.turns)
    if choice in names:
        return (choice,)
    raise ErrorResponse.with_message(
        400, f"tool_choice: {choice!r} asks for a tool that is not on offer"
    )


def _can_be_called(tool: Mapping[str, Any]) -> bool:
    match tool:
        case {"function": {"name": str(), "parameters": dict() | None}}:
            return True
        case {"function": {"name": str(), **function}}:
            return "parameters" not in function
    return False


def _name(tool: Mapping[str, Any]) -> str:
    return str(tool["function"]["name"])
