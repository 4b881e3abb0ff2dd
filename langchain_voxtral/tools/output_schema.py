"""The schema of an answer: the function that it is sent as, and what answers become."""

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, is_dataclass, make_dataclass
from enum import Enum
from functools import lru_cache
from types import FunctionType
from typing import Any, cast, get_origin, get_type_hints

from langchain_core.runnables import Runnable
from langchain_core.tools import StructuredTool
from pydantic import BaseModel, TypeAdapter, create_model
from pydantic.v1 import BaseModel as BaseModelV1

from langchain_voxtral.tools.choice import TOOL_CHOICES
from langchain_voxtral.tools.names import fit_name
from langchain_voxtral.tools.schema import (
    NO_PARAMETERS,
    checked_tool,
    explain_errors,
    to_function,
)

_NO_SCHEMA = (
    "{!r:.100} is no schema of an object. Give a pydantic class, a dataclass, a NamedTuple, an "
    "Enum, a TypedDict, a function, or a dict with a JSON schema. A list, a union or a single "
    "value can be a field of a class."
)


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """The schema of an answer.

    Args:
        function: The schema as a function in OpenAI's form, with a name that servers accept.
        output_class: The class that answers become objects of; None: they stay dicts.
    """

    function: dict[str, Any]
    output_class: Any = None

    @property
    def json_schema(self) -> dict[str, Any]:
        """The JSON schema of the objects, with the name as its title."""
        about: dict[str, Any] = {"title": self.function["name"]}
        if self.function.get("description"):
            about["description"] = self.function["description"]
        return {**about, **self.function.get("parameters", NO_PARAMETERS)}


def read_schema(schema: object, *, strict: bool | None = None) -> OutputSchema:
    """Return a schema that a user gave in any form.

    Raises:
        VoxtralInvalidRequestError: It is no schema of an object, or cannot be sent.
    """
    with explain_errors(schema, "schema"):
        tool, output_class = _classify(schema)
        function = to_function(tool, strict=strict)
        if isinstance(name := function.get("name", ""), str):
            name = fit_name(name)
            # A name that is a word of `tool_choice` could not be forced.
            function["name"] = f"{name}_" if name in TOOL_CHOICES else name
        return OutputSchema(checked_tool(function)["function"], output_class)


def _classify(schema: Any) -> tuple[Any, Any]:
    """Return a schema as something that is right as a tool, and the class of its objects."""
    # The origin of `Page[int]` is Page, if that is a dataclass, a NamedTuple or a TypedDict.
    origin = get_origin(schema) or schema
    if isinstance(origin, type):
        if issubclass(origin, BaseModel | BaseModelV1) and origin is not BaseModelV1:
            return schema, schema
        if issubclass(origin, Enum):
            return _enum_function(origin), origin
        if is_dataclass(origin) or (issubclass(origin, tuple) and hasattr(origin, "_fields")):
            return _record_tool(schema, origin), schema
        if issubclass(origin, dict) and hasattr(origin, "__required_keys__"):  # a TypedDict
            return schema if origin is schema else _record_tool(schema, origin), None
    elif isinstance(schema, Mapping) and schema:
        return _with_name(schema), None
    elif isinstance(schema, Runnable) or _is_function(schema):
        return schema, None
    raise TypeError(_NO_SCHEMA.format(schema))


def _is_function(schema: Any) -> bool:
    function = inspect.unwrap(getattr(schema, "__func__", schema)) if callable(schema) else schema
    # `typing.NamedTuple` and `typing.TypedDict` are functions, too.
    return (
        isinstance(function, FunctionType)
        and function.__name__ != "<lambda>"
        and function.__module__ != "typing"
    )


def _with_name(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a dict that has a name, if only None, and whose parameters are found."""
    inner = schema
    if schema.get("type") in ("function", "json_schema"):
        nested = schema.get(str(schema["type"]))
        inner = nested if isinstance(nested, Mapping) else schema
    if isinstance(inner.get("schema"), Mapping):  # as in OpenAI's `response_format`
        known = {key: inner[key] for key in ("description", "strict") if key in inner}
        return {"name": inner.get("name"), "parameters": inner["schema"], **known}
    if "parameters" in inner:
        return {"name": inner.get("title"), **inner}
    if inner.keys().isdisjoint(("title", "input_schema", "toolSpec")) and (
        "properties" in inner or "name" not in inner
    ):
        known = {key: part for key, part in inner.items() if key != "name"}
        return {"title": inner.get("name"), **known}
    return inner


def _record_tool(schema: Any, origin: Any) -> StructuredTool:
    """Return a tool whose parameters are those that pydantic makes objects of a class from."""
    described = _with_fields_of(origin) if issubclass(origin, tuple) else schema
    json_schema = TypeAdapter(described).json_schema()
    name = json_schema.get("title") or origin.__name__
    return StructuredTool(name=name, description=_docstring(origin), args_schema=json_schema)


def _with_fields_of(named_tuple: Any) -> type:
    """Return a dataclass like a NamedTuple, which pydantic describes as a list.

    From an object with these fields it makes a NamedTuple, too.
    """
    hints, defaults = get_type_hints(named_tuple, include_extras=True), named_tuple._field_defaults
    fields = [
        (name, hints.get(name, Any), *([_default(defaults[name])] if name in defaults else []))
        for name in named_tuple._fields
    ]
    return make_dataclass(named_tuple.__name__, fields)


def _default(value: Any) -> Any:
    is_hashable = type(value).__hash__ is not None
    return field(default=value) if is_hashable else field(default_factory=lambda: value)


def _enum_function(enum: type[Enum]) -> dict[str, Any]:
    """Return a function with a member's value as its only parameter."""
    members = dict.fromkeys(enum.__members__.values())  # of aliases one
    if not members:
        raise ValueError("it has no members")
    for member in members:
        if not _is_json(member):
            raise ValueError(f"the value of {member!r} is no JSON string, number, boolean or null")
    parameters = {
        "type": "object",
        "properties": {"value": {"enum": [member.value for member in members]}},
        "required": ["value"],
    }
    return {"name": enum.__name__, "description": _docstring(enum), "parameters": parameters}


def _is_json(member: Enum) -> bool:
    try:
        text = json.dumps({"value": member.value}, allow_nan=False)
        return load_object(type(member), text) is member
    except (TypeError, ValueError):
        return False


def _docstring(schema: type) -> str:
    """Return the docstring that a class's author wrote; Python writes `NAME(...)` itself."""
    text = inspect.cleandoc(vars(schema).get("__doc__") or "")
    return "" if text.startswith(f"{schema.__name__}(") else text


# Objects


def wrap_member(output_class: Any, text: str) -> str:
    """Return the value of an Enum's member, as JSON or plain text, as the object asked for.

    So answers a server that does not constrain answers. Any other text is returned as it is.
    """
    if not (isinstance(output_class, type) and issubclass(output_class, Enum)):
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = text.strip()
    is_member = any(type(value) is type(one.value) and value == one.value for one in output_class)
    return json.dumps({"value": value}) if is_member else text


def load_object(output_class: Any, text: str) -> Any:
    """Return the object of a class that JSON text describes.

    It is read as JSON: only there a strict class takes strings for dates, lists for tuples.

    Raises:
        Exception: Whatever pydantic, or a validator or constructor of the class, raises.
    """
    return _loader(output_class)(text)


def load_partial(output_class: Any, begun: Mapping[str, Any]) -> Any:
    """Return the object that a begun one can be completed to; None if it is not to be shown.

    A member of an Enum is either whole or another one. What can be added is not shown before it
    is whole, because LangChain adds up the values of a stream.
    """
    origin = get_origin(output_class) or output_class
    if issubclass(origin, Enum) or hasattr(origin, "__add__"):
        return None
    return load_object(output_class, json.dumps(begun))


@lru_cache(maxsize=128)
def _loader(output_class: Any) -> Callable[[str], Any]:
    if isinstance(output_class, type):
        if issubclass(output_class, BaseModel):
            return output_class.model_validate_json
        if issubclass(output_class, BaseModelV1):
            return output_class.parse_raw
        if issubclass(output_class, Enum):
            model: Any = create_model(output_class.__name__, value=(output_class, ...))
            return lambda text: model.model_validate_json(text).value
    return cast("Callable[[str], Any]", TypeAdapter(output_class).validate_json)
