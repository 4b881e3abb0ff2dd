"""`with_structured_output`: a chat model whose answers are objects of a schema."""

from collections.abc import Mapping
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.runnables import Runnable

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.output_parsers import RawOutputParser, StructuredOutputParser
from langchain_voxtral.tools.json_schema import close_objects
from langchain_voxtral.tools.output_schema import read_schema
from langchain_voxtral.tools.schema import NO_PARAMETERS

Method = Literal["function_calling", "json_schema", "json_mode"]


def bind_schema(
    model: BaseChatModel,
    schema: dict[str, Any] | type | None,
    *,
    method: Method = "function_calling",
    include_raw: bool = False,
    strict: bool | None = None,
    **kwargs: Any,
) -> Runnable[LanguageModelInput, Any]:
    """Return a chat model that answers with objects of a schema.

    Raises:
        VoxtralInvalidRequestError: There is no schema, or it cannot be sent.
        OutputParserException: (when called) The answer is no object of the schema.
    """
    if method not in {"function_calling", "json_schema", "json_mode"}:
        raise VoxtralInvalidRequestError(
            f"method cannot be {method!r}; it is 'function_calling', 'json_schema' or 'json_mode'."
        )
    if taken := kwargs.keys() & {"tools", "tool_choice"}:
        raise VoxtralInvalidRequestError(
            f"{' and '.join(sorted(taken))} cannot stand beside a schema, which is the one form "
            "that the answer has: use bind_tools(...), or an agent with response_format=."
        )
    if schema is None and method != "json_mode":
        raise VoxtralInvalidRequestError(
            f"method={method!r} needs a schema; without one only method='json_mode' works."
        )
    function, output_class = {}, None
    if schema is not None:
        read = read_schema(schema, strict=strict)
        function, output_class = read.function, read.output_class
    json_schema = _json_schema(function)
    tracing = {
        "kwargs": {"method": method, "strict": strict},
        "schema": json_schema if function else None,
    }
    tool = None
    bound: Runnable[LanguageModelInput, Any]
    if function and method == "function_calling":
        tool = function["name"]
        bound = model.bind_tools(
            [{"type": "function", "function": function}],
            tool_choice=tool,
            ls_structured_output_format=tracing,
            **kwargs,
        )
    else:
        bound = model.bind(
            response_format=_response_format(function) if function else {"type": "json_object"},
            ls_structured_output_format=tracing,
            **kwargs,
        )
    parser = RawOutputParser if include_raw else StructuredOutputParser
    return bound | parser(output_class=output_class, tool=tool, json_schema=json_schema)


def _json_schema(function: Mapping[str, Any]) -> dict[str, Any]:
    if not function:
        return {"type": "object"}
    about = {"title": function["name"], "description": function.get("description")}
    return {
        **{key: text for key, text in about.items() if text},
        **function.get("parameters", NO_PARAMETERS),
    }


def _response_format(function: Mapping[str, Any]) -> dict[str, Any]:
    schema = close_objects(_json_schema(function))
    strictness = {"strict": function["strict"]} if "strict" in function else {}
    return {
        "type": "json_schema",
        "json_schema": {"name": function["name"], "schema": schema, **strictness},
    }
