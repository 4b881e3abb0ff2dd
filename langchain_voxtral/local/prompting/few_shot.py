"""Examples of what the model is to write, generated from schemas.

A model of 135M reads no JSON schema; it imitates. Two questions and answers for each tool, made
of the tool's own words and of values that differ from one to the next, are what makes it take the
right tool, and take the arguments from the question instead of from an example.
"""

import json
import math
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

from langchain_voxtral.messages.turns import Turn
from langchain_voxtral.tools.json_schema import resolve_ref

__all__ = ["call_examples"]

_ROUNDS = 2
_ROOM = 4000
"""Characters that examples may have together: a quarter of the context, about."""

_LONGEST_QUESTION = 120
_DEPTH = 5
"""Levels of a value that are made up; what lies deeper is left out."""

_WORDS = ("Alpha", "Bravo", "Kilo", "Delta", "Echo", "Foxtrot", "Golf", "Hotel", "India", "Juliet")
_WORDS_OF_OTHER_SCRIPTS = ("春天集团", "さくら会社", "Надежда", "Müller")
_NUMBERS = (8, 5, 31, 14, 60, 2, 79, 3)
_FORMATS = {
    "date": "2001-02-03",
    "date-time": "2001-02-03T04:05:06Z",
    "time": "04:05:06Z",
    "duration": "P1D",
    "email": "someone@example.com",
    "hostname": "example.com",
    "uri": "https://example.com",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
}
_COMBINERS = ("anyOf", "oneOf", "allOf")


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
        definitions: What `$ref` in the parameters points into: the document's `$defs`.
        question: What is asked: values share neither words nor digits with it, which the
            model would mix up, but are of other scripts if the question is.

    Example:
        ```python
        from langchain_voxtral.local.prompting.few_shot import call_examples

        add = {
            "name": "add",
            "description": "Add two integers.",
            "parameters": {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
        }
        question, answer, *_ = call_examples([add], "arguments")
        assert question.text == "Add two integers: a 8, b 5"
        assert answer.text == '{"name": "add", "arguments": {"a": 8, "b": 5}}'
        ```
    """
    words = _WORDS if question.isascii() else _WORDS_OF_OTHER_SCRIPTS
    sampler = _Sampler(
        {"$defs": definitions or {}},
        [word for word in words if word not in question] or words,
        [n for n in _NUMBERS if not set(str(n)) & set(question)] or _NUMBERS,
    )
    turns: list[Turn] = []
    room = _ROOM
    for round_ in range(_ROUNDS):
        for function in functions:
            pair = _example(function, arguments_key, sampler, whole=round_ == 0)
            room -= sum(len(turn.text) for turn in pair)
            if room < 0:
                return tuple(turns)
            turns += pair
    return tuple(turns)


def _example(
    function: Mapping[str, Any], arguments_key: str, sampler: "_Sampler", *, whole: bool
) -> tuple[Turn, Turn]:
    arguments = sampler.value(function.get("parameters") or {"type": "object"}, whole=whole)
    if not isinstance(arguments, Mapping):
        arguments = {}
    said = ", ".join(f"{name} {_said(value)}" for name, value in arguments.items())
    purpose = _purpose(function)
    call = {"name": function["name"], arguments_key: arguments}
    return (
        Turn("user", f"{purpose}: {said}" if said else purpose),
        Turn("assistant", json.dumps(call, ensure_ascii=False)),
    )


def _purpose(function: Mapping[str, Any]) -> str:
    described = str(function.get("description") or "").strip() or function["name"].replace("_", " ")
    return textwrap.shorten(described.splitlines()[0], _LONGEST_QUESTION).rstrip(".:")


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class _Sampler:
    """Makes values that schemas describe, each another one than before.

    Args:
        root: The document that `$ref` points into.
        words: What strings are made of.
        numbers: What numbers are made of.
    """

    def __init__(
        self, root: Mapping[str, Any], words: Sequence[str], numbers: Sequence[int]
    ) -> None:
        self._root = root
        self._words = cycle(words)
        self._numbers = cycle(numbers)
        self._makers: Mapping[str, Callable[[Mapping[str, Any], int, bool], Any]] = {
            "object": self._object,
            "array": self._array,
            "string": lambda schema, *_: _FORMATS.get(schema.get("format", ""), next(self._words)),
            "integer": lambda schema, *_: _within(next(self._numbers), schema),
            "number": lambda schema, *_: _within(next(self._numbers) + 0.5, schema),
            "boolean": lambda *_: True,
            "null": lambda *_: None,
        }

    def value(self, schema: Any, *, whole: bool = True, depth: int = 0) -> Any:
        """Return a value of a schema; a cut or boolean one is a word.

        Args:
            schema: The schema.
            whole: Objects have their optional properties too.
            depth: Levels around it.
        """
        if not isinstance(schema, Mapping) or depth > _DEPTH:
            return next(self._words)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return schema["enum"][next(self._numbers) % len(schema["enum"])]
        inner = next(self._inner(schema), None)
        if inner is not None:
            return self.value(inner, whole=whole, depth=depth + 1)
        kinds = schema.get("type", "object" if "properties" in schema else "string")
        kind = kinds if isinstance(kinds, str) else kinds[0]
        return self._makers[kind](schema, depth + 1, whole)

    def _inner(self, schema: Mapping[str, Any]) -> Iterator[Any]:
        if "$ref" in schema:
            yield resolve_ref(schema["$ref"], self._root)
        for combiner in _COMBINERS:
            if combiner in schema and "properties" not in schema:
                yield schema[combiner][0]

    def _object(self, schema: Mapping[str, Any], depth: int, whole: bool) -> dict[str, Any]:  # noqa: FBT001 - one of a table of makers
        required = schema.get("required", ())
        return {
            name: self.value(part, whole=whole, depth=depth)
            for name, part in schema.get("properties", {}).items()
            if name in required or (whole and depth <= _DEPTH)
        }

    def _array(self, schema: Mapping[str, Any], depth: int, whole: bool) -> list[Any]:  # noqa: FBT001 - one of a table of makers
        parts = schema.get("prefixItems") or [schema.get("items", {})]
        return [self.value(part, whole=whole, depth=depth) for part in parts]


def _within(number: float, schema: Mapping[str, Any]) -> float:
    least: float = schema.get("minimum", -math.inf)
    most: float = schema.get("maximum", math.inf)
    return max(least, min(most, number))
