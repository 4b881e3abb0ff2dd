"""Parsers of answers: the object that a message holds, or what is wrong with it."""

import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, NoReturn

from langchain_core import exceptions
from langchain_core.exceptions import ModelError, OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.output_parsers import BaseTransformOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.utils import AddableDict
from langchain_core.utils.json import parse_partial_json
from pydantic import BaseModel, WithJsonSchema, create_model
from pydantic.v1 import BaseModel as BaseModelV1

from langchain_voxtral.tools.fenced_json import strip_json_fence
from langchain_voxtral.tools.output_schema import load_object, load_partial, wrap_member
from langchain_voxtral.tools.schema import inline_definitions

_MAX_QUOTE = 200
_MAX_REASONS = 3


class StructuredOutputParser(BaseTransformOutputParser[Any]):
    """Reads the object out of an answer, or explains what is wrong with it.

    While an answer streams, its beginnings are completed to objects, and those that are valid
    are yielded. A whole answer is never repaired, neither is a stream at its end.

    Args:
        output_class: What the object must be an instance of; None: it is a dict.
        tool: The tool whose arguments it is; None: it is the text of the answer.
        json_schema: The JSON schema of the object.
    """

    output_class: Any = None
    tool: str | None = None
    json_schema: dict[str, Any]

    @property
    def OutputType(self) -> Any:  # noqa: N802 - LangChain's name
        """The type of the objects, for schemas."""
        output_class = self.output_class
        if output_class is None:
            return Annotated[dict[str, Any], WithJsonSchema(inline_definitions(self.json_schema))]
        if isinstance(output_class, type) and issubclass(output_class, BaseModelV1):
            return Annotated[Any, WithJsonSchema(inline_definitions(self.json_schema))]
        return output_class

    def parse(self, text: str) -> Any:
        """Return the object that a text is."""
        return self.parse_result([Generation(text=text)])

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Return the object that an answer holds; None if it is `partial` and holds none yet."""
        message = _message(result[0])
        return self.parse_partial(message) if partial else self.parse_whole(message)

    async def aparse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        """Do what `parse_result` does; it is too short for a thread of its own."""
        return self.parse_result(result, partial=partial)

    def parse_whole(self, message: BaseMessage) -> Any:
        """Return the object that a whole answer holds.

        Raises:
            OutputParserException: It holds none, or one that is not valid.
            ModelRefusalError: The model refused; before langchain-core 1.7.5 that is an
                OutputParserException, too.
        """
        text = str(message.text)
        if refusal := message.additional_kwargs.get("refusal"):
            raise refused(message, refusal)
        try:
            json_text = self._json_text(message)
            if self.tool is not None:
                text = json_text
            return self._load(json_text)
        except Exception as error:  # a validator or a constructor may raise anything
            name = getattr(self.output_class, "__name__", "JSON object")
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
            return begun if self.output_class is None else load_partial(self.output_class, begun)
        except Exception:  # noqa: BLE001 - as above, and more will come
            return None

    def _load(self, text: str) -> Any:
        value = _load_object(text)
        return value if self.output_class is None else load_object(self.output_class, text)

    def _json_text(self, message: BaseMessage) -> str:
        """Return the JSON of an answer: its text, or the arguments of the one call asked for.

        Raises:
            ValueError: There is no such call, or another one, or it is broken.
        """
        if self.tool is None:
            return self._unfenced(str(message.text))
        calls = _tool_calls(message)
        if len(calls) > 1:
            raise ValueError(f"{len(calls)} calls came where one was asked for")
        [(name, arguments, broken)] = calls or [(None, str(message.text), None)]
        if not name:
            # A stream adds a bracket to the arguments of a call that is broken.
            for written in (arguments, arguments.removesuffix("}")):
                if (json_text := self._uncalled(written)) is not None:
                    return json_text
            if not calls:
                raise ValueError(f"no tool was called; the answer is {_quoted(arguments)}")
            raise ValueError(f"the call was cut before its name was complete: {_quoted(arguments)}")
        if name != self.tool:
            raise ValueError(f"{name!r} was called in place of {self.tool!r}")
        if broken:
            raise ValueError(f"the call is broken ({broken}): {_quoted(arguments)}")
        # A function without parameters may be called without arguments.
        return arguments or "{}"

    def _unfenced(self, text: str) -> str:
        """Return the JSON of an object that a model wrote as text, perhaps with a fence around."""
        return wrap_member(self.output_class, strip_json_fence(text))

    def _uncalled(self, text: str) -> str | None:
        """Return the arguments that a model wrote as text, in a call or without one; else None.

        Without a call they must be recognizable: all that are required, and no others.
        """
        try:
            value = _load_object(self._unfenced(text))
        except ValueError:
            return None
        match value:
            case {"name": self.tool, "arguments": dict(arguments), **rest} | {
                "name": self.tool,
                "parameters": dict(arguments),
                **rest,
            } if not rest:
                return json.dumps(arguments)
        required = set(self.json_schema.get("required", ()))
        is_known = value.keys() <= self.json_schema.get("properties", {}).keys()
        return json.dumps(value) if value and is_known and required <= value.keys() else None

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


class RawOutputParser(StructuredOutputParser):
    """Returns an answer itself, and the object in it or why it holds none."""

    @property
    def OutputType(self) -> Any:  # noqa: N802 - LangChain's name
        """The type of the results."""
        return dict[str, Any]

    def get_output_schema(
        self,
        config: RunnableConfig | None = None,  # noqa: ARG002 - it changes nothing
    ) -> type[BaseModel]:
        """Return the schema of the results."""
        parsed = super().OutputType
        error = Annotated[Any, WithJsonSchema({"type": ["string", "null"]})]
        types = {"raw": AIMessage, "parsed": parsed | None, "parsing_error": error}
        fields: dict[str, Any] = {name: (type_, ...) for name, type_ in types.items()}
        return create_model("RawOutput", **fields)

    def parse_result(
        self,
        result: list[Generation],
        *,
        partial: bool = False,  # noqa: ARG002 - LangChain's parameter
    ) -> Any:
        """Return an answer and what it holds."""
        message = _message(result[0])
        return {"raw": message, **self._outcome(message)}

    def _transform(self, input: Iterator[str | BaseMessage]) -> Iterator[AddableDict]:  # noqa: A002
        whole: Any = None
        for chunk in input:
            message = _as_message(chunk)
            whole = message if whole is None else whole + message
            yield AddableDict(raw=message)
        yield self._outcome(AIMessage("") if whole is None else whole)

    async def _atransform(
        self,
        input: AsyncIterator[str | BaseMessage],  # noqa: A002
    ) -> AsyncIterator[AddableDict]:
        whole: Any = None
        async for chunk in input:
            message = _as_message(chunk)
            whole = message if whole is None else whole + message
            yield AddableDict(raw=message)
        yield self._outcome(AIMessage("") if whole is None else whole)

    def _outcome(self, message: BaseMessage) -> AddableDict:
        try:
            return AddableDict(parsed=self.parse_whole(message), parsing_error=None)
        except (OutputParserException, ModelError) as error:
            return AddableDict(parsed=None, parsing_error=error)


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
        message = _as_message(chunk)
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


def _message(generation: Generation) -> BaseMessage:
    if isinstance(generation, ChatGeneration):
        return generation.message
    return AIMessageChunk(content=generation.text)


def _as_message(chunk: str | BaseMessage) -> BaseMessage:
    return AIMessageChunk(content=chunk) if isinstance(chunk, str) else chunk


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


def refused(message: BaseMessage, refusal: str) -> Exception:
    """Return the error that LangChain's own parsers raise for a refusal."""
    # Since langchain-core 1.7.5.
    if (error_class := getattr(exceptions, "ModelRefusalError", None)) is not None:
        block = {"type": "refusal", "refusal": refusal}
        error: Exception = error_class.from_refusal(block, raw_message=message)
        return error
    return OutputParserException(f"The model refused to answer: {refusal}", llm_output=refusal)


def explain(error: Exception) -> str:
    """Return what an error says; of pydantic's, which fields are wrong."""
    listed = getattr(error, "errors", None)
    if listed is None:
        return str(error) if isinstance(error, ValueError) else repr(error)
    reasons = [f"{_place(one['loc'])}: {one['msg']}" for one in listed()]
    more = len(reasons) - _MAX_REASONS
    return "; ".join(reasons[:_MAX_REASONS]) + (f"; and {more} more" if more > 0 else "")


def _place(location: tuple[str | int, ...]) -> str:
    return "$" + "".join(f"[{at}]" if isinstance(at, int) else f".{at}" for at in location)
