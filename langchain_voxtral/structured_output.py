"""`with_structured_output`: a chat model whose answers are objects of a schema."""

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Literal

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import BaseTransformOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import Runnable, RunnableGenerator
from langchain_core.runnables.utils import AddableDict
from langchain_core.utils.json import parse_partial_json
from pydantic import ConfigDict

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.tools.json_schema import close_objects
from langchain_voxtral.tools.schema import NO_PARAMETERS, TOOL_CHOICES, to_openai_tool
from langchain_voxtral.tools.shapes import OutputSchema, explain, output_schema, quoted

__all__ = ["Method", "StructuredOutputParser", "bind_schema"]

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

    `function_calling` is the default: `response_format` only constrains what is generated,
    while the description of a tool also tells the model what the fields mean.

    Args:
        model: A chat model that can bind tools.
        schema: A pydantic class (the answer is an instance), or a TypedDict, a JSON schema with
            a title or an OpenAI function (the answer is a dict that follows the schema; of a
            TypedDict any field may be None). None, with `json_mode`: any object.
        method: `function_calling`, a forced call of a tool that takes the schema as its
            arguments; `json_schema`, an answer constrained to the schema; `json_mode`, the
            same where there is a schema, else any JSON object.
        include_raw: Whether the answer is `{"raw": ..., "parsed": ..., "parsing_error": ...}`,
            and an answer that does not fit no error.
        strict: OpenAI's `strict`; None says nothing about it.
        **kwargs: Options of the calls, as `bind` takes them.

    Raises:
        VoxtralInvalidRequestError: There is no schema, or it cannot be sent.
        OutputParserException: (when called) The answer is no object of the schema.

    Example:
        ```python
        from pydantic import BaseModel

        from langchain_voxtral import ChatVoxtral
        from langchain_voxtral.structured_output import bind_schema

        class City(BaseModel):
            '''A city.'''

            name: str

        cities = bind_schema(ChatVoxtral(), City)  # = ChatVoxtral().with_structured_output(City)
        ```
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
    tracing = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
    function = {} if schema is None else to_openai_tool(schema, "schema", strict=strict)["function"]
    bound: Runnable[LanguageModelInput, AIMessage]
    if method == "function_calling" and schema is not None:
        tool = _choosable(function["name"])
        bound = model.bind_tools(
            [schema],
            tool_choice=tool,
            strict=strict,
            ls_structured_output_format=tracing,
            **kwargs,
        )
    else:
        tool = None
        bound = model.bind(
            response_format=_json_schema(function) if function else {"type": "json_object"},
            ls_structured_output_format=tracing,
            **kwargs,
        )
    parameters = function.get("parameters", NO_PARAMETERS) if function else None
    parser = StructuredOutputParser(shape=output_schema(schema, parameters), tool=tool)
    if not include_raw:
        return bound | parser
    return bound | RunnableGenerator(parser.with_raw, parser.awith_raw)


def _choosable(name: str) -> str:
    if name in TOOL_CHOICES:
        raise VoxtralInvalidRequestError(
            f"A schema named {name!r} cannot be forced, because the word has a meaning of its own "
            "in tool_choice: give the schema another title."
        )
    return name


def _json_schema(function: Mapping[str, Any]) -> dict[str, Any]:
    about = {"title": function["name"]}
    if function.get("description"):
        about["description"] = function["description"]
    schema = about | close_objects(function.get("parameters", NO_PARAMETERS))
    strictness = {"strict": function["strict"]} if "strict" in function else {}
    return {
        "type": "json_schema",
        "json_schema": {"name": function["name"], "schema": schema, **strictness},
    }


class StructuredOutputParser(BaseTransformOutputParser[Any]):
    """Reads the object out of an answer, and says what is wrong where there is none.

    A whole answer is never repaired. While an answer is streamed its beginnings are completed
    to objects, and those that fit are shown; at its end it is read like a whole one.

    Args:
        shape: What the object must be.
        tool: The tool whose arguments it is; None: it is the text of the answer.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    shape: OutputSchema
    tool: str | None = None

    def parse(self, text: str) -> Any:
        """Return the object that a text is."""
        return self.read(AIMessage(content=text))

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Return the object that an answer holds; with `partial`, None where it holds none yet."""
        generation = result[0]
        message: BaseMessage = AIMessage(content=generation.text)
        if isinstance(generation, ChatGeneration):
            message = generation.message
        return self.beginning(message) if partial else self.read(message)

    async def aparse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Do what `parse_result` does; it is too short for a thread of its own."""
        return self.parse_result(result, partial=partial)

    def read(self, message: BaseMessage) -> Any:
        """Return the object that a whole answer holds.

        Raises:
            OutputParserException: It holds none, or one that does not fit.
        """
        text = str(message.text)
        try:
            if self.tool is not None:
                text = _arguments(message, self.tool)
            return self.shape.whole(text)
        except ValueError as error:
            cut = message.response_metadata.get("finish_reason") == "length"
            raise OutputParserException(
                f"The answer is no {self.shape.name}: {explain(error)}."
                + (" It was cut at max_tokens: raise max_tokens." if cut else ""),
                llm_output=text,
            ) from error

    def beginning(self, message: BaseMessage) -> Any:
        """Return what can be shown of an answer whose end is still to come, or None."""
        try:
            text = str(message.text) if self.tool is None else _arguments(message, self.tool)
            begun = parse_partial_json(text)
        except ValueError:
            return None
        return self.shape.part(begun) if isinstance(begun, dict) else None

    # Streams

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:  # noqa: A002
        reading = _Reading(self)
        for chunk in input:
            yield from reading.add(chunk)
        yield from reading.end()

    async def _atransform(
        self,
        input: AsyncIterator[str | BaseMessage],  # noqa: A002
    ) -> AsyncIterator[Any]:
        reading = _Reading(self)
        async for chunk in input:
            for value in reading.add(chunk):
                yield value
        for value in reading.end():
            yield value

    def with_raw(self, messages: Iterator[BaseMessage]) -> Iterator[AddableDict]:
        """Pass an answer on as it comes, and in the end what it holds or why it holds nothing."""
        whole = None
        for message in messages:
            whole = _joined(whole, message)
            yield AddableDict(raw=message)
        yield self._outcome(whole)

    async def awith_raw(self, messages: AsyncIterator[BaseMessage]) -> AsyncIterator[AddableDict]:
        """Do what `with_raw` does."""
        whole = None
        async for message in messages:
            whole = _joined(whole, message)
            yield AddableDict(raw=message)
        yield self._outcome(whole)

    def _outcome(self, message: BaseMessage | None) -> AddableDict:
        try:
            return AddableDict(parsed=self.read(message or AIMessage("")), parsing_error=None)
        except Exception as error:  # noqa: BLE001 - a validator may raise anything; it is returned
            return AddableDict(parsed=None, parsing_error=error)


class _Reading:
    """A streamed answer so far, and the last object that was shown of it."""

    def __init__(self, parser: StructuredOutputParser) -> None:
        self._parser = parser
        self._message: BaseMessage | None = None
        self._shown: Any = None

    def add(self, chunk: str | BaseMessage) -> Iterator[Any]:
        message = AIMessageChunk(content=chunk) if isinstance(chunk, str) else chunk
        self._message = _joined(self._message, message)
        yield from self._show(self._parser.beginning(self._message))

    def end(self) -> Iterator[Any]:
        if self._message is not None:
            yield from self._show(self._parser.read(self._message))

    def _show(self, value: Any) -> Iterator[Any]:
        if value is not None and value != self._shown:
            self._shown = value
            yield value


def _joined(whole: BaseMessage | None, message: BaseMessage) -> BaseMessage:
    if isinstance(whole, AIMessageChunk) and isinstance(message, AIMessageChunk):
        return whole + message
    return message


def _arguments(message: BaseMessage, tool: str) -> str:
    """Return the arguments of the one call that was asked for, as JSON text.

    Raises:
        ValueError: There is no such call, or another one, or it is broken.
    """
    calls = _calls(message)
    if not calls:
        raise ValueError(f"no tool was called; the answer says {quoted(str(message.text))}")
    if len(calls) > 1:
        raise ValueError(f"{len(calls)} calls came where one was asked for")
    [(name, arguments, broken)] = calls
    if not name:
        raise ValueError(f"the call broke off before its name was whole: {quoted(arguments)}")
    if name != tool:
        raise ValueError(f"{name!r} was called in place of {tool!r}")
    if broken:
        raise ValueError(f"the call is broken ({broken}): {quoted(arguments)}")
    # A function without parameters may be called without arguments.
    return arguments or "{}"


def _calls(message: BaseMessage) -> list[tuple[str | None, str, str | None]]:
    """Return the name of each call, its arguments as text, and what is broken about it."""
    if isinstance(message, AIMessageChunk) and message.tool_call_chunks:
        # As the server wrote them: `tool_calls` of a chunk holds them completed.
        return [(part["name"], part["args"] or "", None) for part in message.tool_call_chunks]
    if not isinstance(message, AIMessage):
        return []
    whole = [(call["name"], json.dumps(call["args"]), None) for call in message.tool_calls]
    unread = "its arguments are no JSON object"
    return whole + [
        (call["name"], call["args"] or "", call["error"] or unread)
        for call in message.invalid_tool_calls
    ]
