"""Examples of tool calls, generated from the schemas of the tools.

A model of 135M reads no JSON schema; it imitates. For each tool it is shown two questions with
their calls, made of the tool's own words and of values that differ from one to the next: so it
takes the right tool, and the arguments from the question. A third question has no values, and its
call empty ones: so it does not take the arguments from an example when a question has none.
"""

import json
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from itertools import count, cycle
from typing import Any

from langchain_voxtral.messages.turns import Turn
from langchain_voxtral.tools.json_schema import resolve_ref

_ALL, _REQUIRED, _EMPTY = range(3)
"""The examples of a tool: with all arguments, without optional ones, and with empty values."""
MAX_EXAMPLE_CHARACTERS = 4000
"""Characters of all examples together: about a quarter of the context."""
MAX_QUESTION_CHARACTERS = 120
MAX_VALUES = 1000
"""Values made up for all examples: in a schema that refers to itself they multiply."""
MAX_DEPTH = 5
"""Levels of a value that is made up; what lies deeper is left out."""

_WORDS = ("Alpha", "Delta", "Omega", "Sigma", "Vector", "Tensor", "Matrix")
"""Each is one token of SmolLM2. Of words of several, such as `K` and `ilo`, more get into answers
(`benchmarks/structured_answers.py`)."""
_NON_ASCII_WORDS = ("春天集团", "さくら会社", "Надежда", "Müller")
"""For a question with such letters, which the model would else not copy."""
_NUMBERS = (8, 5, 31, 14, 60, 2, 79, 3)
_FORMATS: dict[str | None, tuple[str, str, str]] = {
    "date": ("2001-02-03", "1998-07-06", "0001-01-01"),
    "date-time": ("2001-02-03T04:05:06Z", "1998-07-06T15:14:13Z", "0001-01-01T00:00:00Z"),
    "time": ("04:05:06Z", "15:14:13Z", "00:00:00Z"),
    "duration": ("P1D", "PT2H", "PT0S"),
    "email": ("alpha@example.com", "delta@example.org", "nobody@example.com"),
    "hostname": ("example.com", "example.org", "example.invalid"),
    "uri": ("https://example.com", "https://example.org", "https://example.invalid"),
    "uuid": (
        "6ba7b810-9dad-41d1-80b4-00c04fd430c8",
        "3d813cbb-47fb-42ba-91df-831e1593ac29",
        "00000000-0000-0000-0000-000000000000",
    ),
    "ipv4": ("192.0.2.1", "198.51.100.2", "0.0.0.0"),  # noqa: S104 - no address to listen on
    "ipv6": ("2001:db8::1", "2001:db8::2", "::"),
}
"""Two values of a format, and one that says nothing."""


def call_examples(
    functions: Sequence[Mapping[str, Any]],
    arguments_key: str,
    definitions: Mapping[str, Any] | None = None,
    *,
    question: str = "",
) -> tuple[Turn, ...]:
    """Return questions that tools are for, each with the call that answers it.

    Args:
        functions: The tools: `name`, `description` and `parameters`, a valid schema.
        arguments_key: The key of the arguments in a call.
        definitions: The `$defs` of the document that the parameters stand in.
        question: The user's: examples share neither words nor digits with it, because the
            model would mix them up.
    """
    values = _ExampleValues(definitions or {}, question)
    turns: list[Turn] = []
    characters = 0
    # Where its words are hard to copy, the model would leave them out as the third example does.
    for example in (_ALL, _REQUIRED, _EMPTY) if question.isascii() else (_ALL, _REQUIRED):
        values.example = example
        for function in functions:
            arguments = values.create(function.get("parameters") or {"type": "object"})
            if not isinstance(arguments, Mapping):
                arguments = {}
            call = {"name": function["name"], arguments_key: arguments}
            asked = Turn("user", _question(function, {} if example == _EMPTY else arguments))
            answer = Turn("assistant", json.dumps(call, ensure_ascii=False))
            characters += len(asked.text) + len(answer.text)
            if characters > MAX_EXAMPLE_CHARACTERS:
                return tuple(turns)
            turns += (asked, answer)
    return tuple(turns)


def _question(function: Mapping[str, Any], arguments: Mapping[str, Any]) -> str:
    purpose = str(function.get("description") or "").strip() or function["name"].replace("_", " ")
    first_line = purpose.splitlines()[0][: 10 * MAX_QUESTION_CHARACTERS]
    purpose = textwrap.shorten(first_line, MAX_QUESTION_CHARACTERS).rstrip(".:")
    written = [
        f"{name} {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
        for name, value in arguments.items()
    ]
    return f"{purpose}: {', '.join(written)}" if written else purpose


class _ExampleValues:
    """Makes values that are valid against schemas, each different from the one before."""

    def __init__(self, definitions: Mapping[str, Any], question: str) -> None:
        self.example = _ALL
        self._created = count(1)
        self._root = {"$defs": definitions}
        words = _WORDS if question.isascii() else _NON_ASCII_WORDS
        self._words = cycle([word for word in words if word not in question] or words)
        numbers = [number for number in _NUMBERS if not set(str(number)) & set(question)]
        self._numbers = cycle(numbers or _NUMBERS)
        self._makers: Mapping[str, Callable[[Mapping[str, Any], int], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": lambda schema, _: self._string(schema),
            "integer": lambda schema, _: self._number(schema),
            "number": lambda schema, _: self._number(schema, 0.5),
            "boolean": lambda *_: self.example != _EMPTY,
            "null": lambda *_: None,
        }

    def create(self, schema: Any, depth: int = 0) -> Any:
        """Return a value; a word beyond the limits, and for a schema that is a boolean."""
        if not isinstance(schema, Mapping) or depth > MAX_DEPTH or next(self._created) > MAX_VALUES:
            return next(self._words)
        choices = [schema["const"]] if "const" in schema else schema.get("enum")
        if choices:
            return choices[next(self._numbers) % len(choices)]
        part = self._first_part(schema)
        if part is not None:
            return self.create(part, depth + 1)
        types = schema.get("type", "object" if "properties" in schema else "string")
        return self._makers[types if isinstance(types, str) else types[0]](schema, depth + 1)

    def _first_part(self, schema: Mapping[str, Any]) -> Any:
        """Return the schema that this one refers to, or its first alternative."""
        if "$ref" in schema:
            return resolve_ref(schema["$ref"], self._root)
        combined = [schema[key] for key in ("anyOf", "oneOf", "allOf") if key in schema]
        return combined[0][0] if combined and "properties" not in schema else None

    def _string(self, schema: Mapping[str, Any]) -> str:
        if formats := _FORMATS.get(schema.get("format")):
            return formats[self.example]
        is_empty = self.example == _EMPTY and not schema.keys() & {"pattern", "minLength"}
        return "" if is_empty else next(self._words)

    def _number(self, schema: Mapping[str, Any], fraction: float = 0) -> float:
        number = 0 if self.example == _EMPTY else next(self._numbers) + fraction
        return _clamp(number, schema)

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        required = schema.get("required", ())
        return {
            name: self.create(part, depth)
            for name, part in schema.get("properties", {}).items()
            if name in required or (self.example == _ALL and depth <= MAX_DEPTH)
        }

    def _array(self, schema: Mapping[str, Any], depth: int) -> list[Any]:
        if self.example == _EMPTY and not schema.keys() & {"prefixItems", "minItems"}:
            return []
        items = schema.get("prefixItems") or [schema.get("items", {})]
        return [self.create(item, depth) for item in items]


def _clamp(number: float, schema: Mapping[str, Any]) -> float:
    minimum: float = schema.get("minimum", -math.inf)
    maximum: float = schema.get("maximum", math.inf)
    return max(minimum, min(maximum, number))
