"""What an answer must be: an instance of a pydantic class, or a dict that follows a schema."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NoReturn, Protocol, runtime_checkable

from pydantic import BaseModel
from pydantic.v1 import BaseModel as BaseModelV1
from typing_extensions import is_typeddict

from langchain_voxtral.tools.conforms import misfit
from langchain_voxtral.tools.json_schema import map_subschemas

__all__ = ["OutputSchema", "explain", "output_schema", "quoted"]

_LONGEST_QUOTE = 200
_MOST_REASONS = 3


@runtime_checkable
class OutputSchema(Protocol):
    """What an answer must be."""

    @property
    def name(self) -> str:
        """What errors call it."""

    def whole(self, text: str) -> Any:
        """Return the object that a JSON text is.

        Raises:
            ValueError: It is none, or does not fit; `explain` says it in words.
        """

    def part(self, begun: dict[str, Any]) -> Any:
        """Return what can be shown of an object whose end is still to come, or None."""


def output_schema(schema: object, parameters: Mapping[str, Any] | None) -> OutputSchema:
    """Return what an answer must be.

    Args:
        schema: What the user gave: a pydantic class, anything else that is a tool, or None.
        parameters: The JSON schema of it; None where the user gave none.

    Example:
        ```python
        from langchain_voxtral.tools.shapes import output_schema

        schema = {"title": "Sum", "type": "object", "properties": {"n": {"type": "integer"}}}
        assert output_schema(schema, schema).whole('{"n": 3}') == {"n": 3}
        ```
    """
    if isinstance(schema, type) and issubclass(schema, BaseModel | BaseModelV1):
        return _Instance(schema)
    if is_typeddict(schema):
        return _Dict(_nullable(parameters or {}))
    return _Dict(parameters or {})


@dataclass(frozen=True, slots=True)
class _Dict:
    schema: Mapping[str, Any]
    name: str = field(default="JSON object that fits the schema", init=False)

    def whole(self, text: str) -> Any:
        value = _object(text)
        try:
            reason = misfit(json.loads(text, parse_float=Decimal), self.schema)
        except (ArithmeticError, RecursionError) as error:
            raise ValueError(f"it cannot be checked against the schema ({error!r})") from error
        if reason is not None:
            raise ValueError(reason)
        return value

    def part(self, begun: dict[str, Any]) -> Any:
        return begun


def _nullable(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema that takes null in every place.

    The schema that langchain-core makes of a TypedDict leaves `Optional` out.
    """
    return {"anyOf": [map_subschemas(schema, _nullable), {"type": "null"}]}


@dataclass(frozen=True, slots=True)
class _Instance:
    kind: type[BaseModel] | type[BaseModelV1]

    @property
    def name(self) -> str:
        return self.kind.__name__

    def whole(self, text: str) -> Any:
        _object(text)
        # As JSON: a strict pydantic model takes dates, tuples, ... as strings and lists only there.
        if issubclass(self.kind, BaseModel):
            return self.kind.model_validate_json(text)
        return self.kind.parse_raw(text)

    def part(self, begun: dict[str, Any]) -> Any:
        try:
            return self.whole(json.dumps(begun))
        except ValueError:
            return None


def _object(text: str) -> dict[str, Any]:
    if not text.strip():
        raise ValueError("the answer is empty")
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the answer is not JSON ({error}): {quoted(text)}") from error
    if not isinstance(value, dict):
        raise ValueError(f"the answer is not a JSON object: {quoted(text)}")  # noqa: TRY004 - JSON
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def quoted(text: str) -> str:
    """Return a text as errors quote it: on one line, and not at full length."""
    return repr(text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}...")


def explain(error: ValueError) -> str:
    """Return in words what a `ValueError` says; of pydantic's, which field is wrong."""
    listed = getattr(error, "errors", None)
    if listed is None:
        return str(error)
    reasons = [f"{_place(one['loc'])}: {one['msg']}" for one in listed()]
    more = len(reasons) - _MOST_REASONS
    return "; ".join(reasons[:_MOST_REASONS]) + (f"; and {more} more" if more > 0 else "")


def _place(location: tuple[str | int, ...]) -> str:
    return "$" + "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in location)
