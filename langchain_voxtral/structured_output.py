"""`with_structured_output`: a chat model whose answers are objects of a schema."""

from typing import Any, Literal

from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.runnables import Runnable

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.output_parsers import RawOutputParser, StructuredOutputParser
from langchain_voxtral.tools.json_schema import close_objects
from langchain_voxtral.tools.output_schema import OutputSchema, read_schema

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
    read = None if schema is None else read_schema(schema, strict=strict)
    tool: Any = {"type": "function", "function": read.function} if read else None
    tracing = {"kwargs": {"method": method, "strict": strict}, "schema": tool}
    forced = read.function["name"] if read and method == "function_calling" else None
    bound: Runnable[LanguageModelInput, Any]
    if forced is not None:
        bound = model.bind_tools(
            [tool], tool_choice=forced, ls_structured_output_format=tracing, **kwargs
        )
    else:
        bound = model.bind(
            response_format=_response_format(read) if read else {"type": "json_object"},
            ls_structured_output_format=tracing,
            **kwargs,
        )
    parser = RawOutputParser if include_raw else StructuredOutputParser
    return bound | parser(
        output_class=read.output_class if read else None,
        tool=forced,
        json_schema=read.json_schema if read else {"type": "object"},
    )


def _response_format(schema: OutputSchema) -> dict[str, Any]:
    wanted = {"name": schema.function["name"], "schema": close_objects(schema.json_schema)}
    if "strict" in schema.function:
        wanted["strict"] = schema.function["strict"]
    return {"type": "json_schema", "json_schema": wanted}
