"""The form of an answer, in words and as a check, for servers that do not constrain it."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Protocol

from langchain_voxtral.completions.request import Ask
from langchain_voxtral.completions.response import Completion
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.tools.call_accumulator import ParsedToolCall
from langchain_voxtral.tools.conforms import misfit
from langchain_voxtral.tools.json_text import dumps

__all__ = ["Form", "form_of"]

_FENCED = re.compile(r"```(?:json)?\s*\n(.*?)\n?```", re.DOTALL | re.IGNORECASE)


class Form(Protocol):
    """What an answer must look like."""

    @property
    def instruction(self) -> str:
        """The form in words, for the model."""
        ...

    def judged(self, said: Completion) -> tuple[Completion, str | None]:
        """Return an answer in its form, and what is wrong with it, if anything."""
        ...


@dataclass(frozen=True, slots=True)
class CallForm:
    """A call of one of these tools."""

    tools: Sequence[Mapping[str, Any]]

    @property
    def instruction(self) -> str:
        """The form in words."""
        return "You must answer with a call of a function, and with nothing else."

    def judged(self, said: Completion) -> tuple[Completion, str | None]:
        """Check the calls against their tools' schemas; what misfits is no valid call."""
        schemas = {
            tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in self.tools
        }
        calls = tuple(_checked(call, schemas) for call in said.tool_calls)
        problems = [call.error for call in calls if call.error]
        if not calls:
            problems = ["it calls no function"]
        return replace(said, tool_calls=calls), problems[0] if problems else None


def _checked(call: ParsedToolCall, schemas: Mapping[str, Mapping[str, Any]]) -> ParsedToolCall:
    if call.error:
        return call
    if call.name not in schemas:
        return replace(call, error=f"there is no function {call.name!r}")
    problem = _problem(call.raw_arguments, schemas[call.name])
    return replace(call, error=f"{call.name}: {problem}") if problem else call


@dataclass(frozen=True, slots=True)
class ValueForm:
    """JSON of a schema, unless it is a call of a tool that is on offer beside it.

    Args:
        schema: The schema.
    """

    schema: Mapping[str, Any]

    @property
    def instruction(self) -> str:
        """The form in words."""
        schema = dumps(dict(self.schema), what="the schema of response_format")
        return f"Answer with JSON that follows this JSON schema, and with nothing else:\n{schema}"

    def judged(self, said: Completion) -> tuple[Completion, str | None]:
        """Check the text; a code fence around all of it is taken off."""
        if said.tool_calls:
            return said, None
        text = said.text.strip()
        fenced = _FENCED.fullmatch(text)
        text = fenced[1].strip() if fenced else text
        problem = _problem(text, self.schema)
        return (said if problem else replace(said, text=text)), problem


def _problem(text: str, schema: Mapping[str, Any]) -> str | None:
    """Return what keeps a text from being JSON of a schema, if anything."""
    try:
        return misfit(json.loads(text, parse_float=Decimal), schema)
    except (ValueError, ArithmeticError, RecursionError) as error:
        return f"it is no JSON ({error})"
    except LookupError as error:
        raise VoxtralInvalidRequestError(
            f"The schema of the answer has a $ref that names nothing in it: {error}."
        ) from error


def form_of(ask: Ask) -> Form | None:
    """Return the form that a question asks for; None if words cannot tell it."""
    if ask.tools.forced:
        return CallForm(ask.tools.offered)
    wanted = ask.options.response_format or {}
    match wanted.get("type"):
        case "json_schema":
            return ValueForm(wanted["json_schema"]["schema"])
        case "json_object":
            return ValueForm({"type": "object"})
        case _:
            return None
