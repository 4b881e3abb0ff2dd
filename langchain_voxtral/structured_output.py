"""`with_structured_output`: a chat model whose answers are objects of a schema."""

import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Literal, NoReturn

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import BaseTransformOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import Runnable, RunnableGenerator
from langchain_core.runnables.utils import AddableDict
from langchain_core.utils.json import parse_partial_json
from pydantic import BaseModel
from pydantic.v1 import BaseModel as BaseModelV1

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.tools.json_schema import close_objects
from langchain_voxtral.tools.schema import NO_PARAMETERS, TOOL_CHOICES, to_openai_tool

Method = Literal["function_calling", "json_schema", "json_mode"]

_MAX_QUOTE = 200
_MAX_REASONS = 3


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
    tracing = {"kwargs": {"method": method, "strict": strict}, "schema": schema}
    function = {}
    if schema is not None:
        function = to_openai_tool(schema, "schema", strict=strict)["function"]
    tool = None
    bound: Runnable[LanguageModelInput, AIMessage]
    if method == "function_calling" and schema is not None:
        tool = _forcible_name(function["name"])
        bound = model.bind_tools(
            [schema],
            tool_choice=tool,
            strict=strict,
            ls_structured_output_format=tracing,
            **kwargs,
        )
    else:
        bound = model.bind(
            response_format=_json_schema(function) if function else {"type": "json_object"},
            ls_structured_output_format=tracing,
            **kwargs,
        )
    output_class = None
    if isinstance(schema, type) and issubclass(schema, BaseModel | BaseModelV1):
        output_class = schema
    parser = StructuredOutputParser(output_class=output_class, tool=tool)
    if not include_raw:
        return bound | parser
    return bound | RunnableGenerator(parser.with_raw, parser.awith_raw)


def _forcible_name(name: str) -> str:
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
    """Reads the object out of an answer, or explains what is wrong with it.

    While an answer streams, its beginnings are completed to objects, and those that are valid
    are yielded. A whole answer is never repaired, neither is a stream at its end.

    Args:
        output_class: What the object must be an instance of; None: it is a dict.
        tool: The tool whose arguments it is; None: it is the text of the answer.
    """

    output_class: type[BaseModel] | type[BaseModelV1] | None = None
    tool: str | None = None

    def parse(self, text: str) -> Any:
        """Return the object that a text is."""
        return self.parse_result([Generation(text=text)])

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Return the object that an answer holds; None if it is `partial` and holds none yet."""
        message: BaseMessage = AIMessageChunk(content=result[0].text)
        if isinstance(result[0], ChatGeneration):
            message = result[0].message
        return self.parse_partial(message) if partial else self.parse_whole(message)

    async def aparse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Do what `parse_result` does; it is too short for a thread of its own."""
        return self.parse_result(result, partial=partial)

    def parse_whole(self, message: BaseMessage) -> Any:
        """Return the object that a whole answer holds.

        Raises:
            OutputParserException: It holds none, or one that is not valid.
        """
        text = str(message.text)
        try:
            json_text = self._json_text(message)
            if self.tool is not None:
                text = json_text
            return self._load(json_text)
        except ValueError as error:
            name = "JSON object" if self.output_class is None else self.output_class.__name__
            cut = message.response_metadata.get("finish_reason") == "length"
            raise OutputParserException(
                f"The answer is no {name}: {explain(error)}."
                + (" It was cut at max_tokens: raise max_tokens." if cut else ""),
                llm_output=text,
            ) from error

    def parse_partial(self, message: BaseMessage) -> Any:
        """Return the object that a begun answer can be completed to, or None."""
        try:
            begun = parse_partial_json(self._json_text(message))
            if not isinstance(begun, dict):
                return None
            return begun if self.output_class is None else self._load(json.dumps(begun))
        except ValueError:
            return None

    def _load(self, text: str) -> Any:
        value = _load_object(text)
        if self.output_class is None:
            return value
        # As JSON: only there a strict pydantic model takes strings for dates, lists for tuples.
        if issubclass(self.output_class, BaseModel):
            return self.output_class.model_validate_json(text)
        return self.output_class.parse_raw(text)

    def _json_text(self, message: BaseMessage) -> str:
        """Return the JSON of an answer: its text, or the arguments of the one call asked for.

        Raises:
            ValueError: There is no such call, or another one, or it is broken.
        """
        if self.tool is None:
            return _without_fence(str(message.text))
        calls = _tool_calls(message)
        if not calls:
            raise ValueError(f"no tool was called; the answer is {_quoted(str(message.text))}")
        if len(calls) > 1:
            raise ValueError(f"{len(calls)} calls came where one was asked for")
        [(name, arguments, broken)] = calls
        if not name:
            raise ValueError(f"the call was cut before its name was complete: {_quoted(arguments)}")
        if name != self.tool:
            raise ValueError(f"{name!r} was called in place of {self.tool!r}")
        if broken:
            raise ValueError(f"the call is broken ({broken}): {_quoted(arguments)}")
        # A function without parameters may be called without arguments.
        return arguments or "{}"

    # Streams

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[Any]:  # noqa: A002
        objects = _ObjectStream(self)
        for chunk in input:
            yield from objects.feed(chunk)
        yield from objects.close()

    async def _atransform(
        self,
        input: AsyncIterator[str | BaseMessage],  # noqa: A002
    ) -> AsyncIterator[Any]:
        objects = _ObjectStream(self)
        async for chunk in input:
            for value in objects.feed(chunk):
                yield value
        for value in objects.close():
            yield value

    def with_raw(self, messages: Iterator[BaseMessage]) -> Iterator[AddableDict]:
        """Yield an answer as it comes, and in the end what it holds or why it holds nothing."""
        received = []
        for message in messages:
            received.append(message)
            yield AddableDict(raw=message)
        yield self._outcome(received)

    async def awith_raw(self, messages: AsyncIterator[BaseMessage]) -> AsyncIterator[AddableDict]:
        """Do what `with_raw` does."""
        received = []
        async for message in messages:
            received.append(message)
            yield AddableDict(raw=message)
        yield self._outcome(received)

    def _outcome(self, received: Sequence[Any]) -> AddableDict:
        first, *rest = received or [AIMessage("")]
        try:
            parsed = self.parse_whole(first + rest if rest else first)
        except Exception as error:  # noqa: BLE001 - a validator may raise anything; it is returned
            return AddableDict(parsed=None, parsing_error=error)
        return AddableDict(parsed=parsed, parsing_error=None)


class _ObjectStream:
    """The objects of a streamed answer: completed beginnings, and in the end the whole.

    Not `BaseCumulativeTransformOutputParser`: that one ends with the completed beginning.
    """

    def __init__(self, parser: StructuredOutputParser) -> None:
        self._parser = parser
        self._message: Any = None
        self._last: Any = None

    def feed(self, chunk: str | BaseMessage) -> Iterator[Any]:
        """Take a part of the answer; yield the object so far if it has changed."""
        message = AIMessageChunk(content=chunk) if isinstance(chunk, str) else chunk
        self._message = message if self._message is None else self._message + message
        yield from self._changed(self._parser.parse_partial(self._message))

    def close(self) -> Iterator[Any]:
        """Yield the object of the whole answer if it was not yielded before."""
        if self._message is not None:
            yield from self._changed(self._parser.parse_whole(self._message))

    def _changed(self, value: Any) -> Iterator[Any]:
        if value is not None and value != self._last:
            self._last = value
            yield value


def _tool_calls(message: BaseMessage) -> list[tuple[str | None, str, str | None]]:
    """Return the name of each call, its arguments as text, and what is broken about it."""
    if isinstance(message, AIMessageChunk) and message.tool_call_chunks:
        # As the server wrote them: `tool_calls` of a chunk holds them completed.
        return [(part["name"], part["args"] or "", None) for part in message.tool_call_chunks]
    if not isinstance(message, AIMessage):
        return []
    valid = [(call["name"], json.dumps(call["args"]), None) for call in message.tool_calls]
    unknown = "its arguments are no JSON object"
    return valid + [
        (call["name"], call["args"] or "", call["error"] or unknown)
        for call in message.invalid_tool_calls
    ]


_FENCED = re.compile(r"\s*```(?:json)?\s*\n(.*?)\s*(?:```\s*)?", re.DOTALL | re.IGNORECASE)


def _without_fence(text: str) -> str:
    """Return a text without the Markdown code fence that all of it stands in, if there is one."""
    fenced = _FENCED.fullmatch(text)
    return fenced[1] if fenced else text


def _load_object(text: str) -> dict[str, Any]:
    if not text.strip():
        raise ValueError("the answer is empty")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the answer is not JSON ({error}): {_quoted(text)}") from error
    if not isinstance(value, dict):
        raise ValueError(f"the answer is not a JSON object: {_quoted(text)}")  # noqa: TRY004 - JSON
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _quoted(text: str) -> str:
    return repr(text if len(text) <= _MAX_QUOTE else f"{text[:_MAX_QUOTE]}...")


def explain(error: ValueError) -> str:
    """Return the message of a `ValueError`; of pydantic's, which fields are wrong."""
    listed = getattr(error, "errors", None)
    if listed is None:
        return str(error)
    reasons = [f"{_place(one['loc'])}: {one['msg']}" for one in listed()]
    more = len(reasons) - _MAX_REASONS
    return "; ".join(reasons[:_MAX_REASONS]) + (f"; and {more} more" if more > 0 else "")


def _place(location: tuple[str | int, ...]) -> str:
    return "$" + "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in location)
