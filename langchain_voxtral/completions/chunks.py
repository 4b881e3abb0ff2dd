"""The items of a stream as LangChain's chunks; those of text are made without constructors.

The constructors cost more than all else that we do for a token. Here a chunk gets a copy of the
fields of one that was constructed, which makes it the same in all that can be observed. Where a
version of LangChain or pydantic differs, which is found out on import, chunks are constructed.
"""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar, cast

from langchain_core.messages import AIMessageChunk
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk
from pydantic import BaseModel

from langchain_voxtral.completions.outputs import (
    FIRST_TOOL_CALL_INDEX,
    content_of,
    finish_info,
    generation_info,
    logprobs_metadata,
    refusal_kwargs,
    response_metadata,
    usage_metadata,
)
from langchain_voxtral.completions.response import StreamItem, TextDelta
from langchain_voxtral.protocol.responses import ResponseInfo

T = TypeVar("T", bound=BaseModel)

_SLOTS = ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
_SETTERS: list[Any] = [getattr(vars(BaseModel).get(slot), "__set__", None) for slot in _SLOTS]
_set_values, _set_fields_set, _set_extra, _set_private = _SETTERS
_SAMPLES = ("", "word", " \n\u2060<|eot_id|>")


def _construct_chat_chunk(text: str) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=text))


def _construct_blocks_chunk(text: str) -> ChatGenerationChunk:
    message = AIMessageChunk(content=_blocks(text), response_metadata={"output_version": "v1"})
    return ChatGenerationChunk(message=message)


def _blocks(text: str) -> list[str | dict[str, Any]]:
    return [{"type": "text", "text": text}]


def _construct_llm_chunk(text: str) -> GenerationChunk:
    return GenerationChunk(text=text)


_CHAT_CHUNK = _construct_chat_chunk("")
_CHAT_VALUES, _MESSAGE_VALUES = dict(vars(_CHAT_CHUNK)), dict(vars(_CHAT_CHUNK.message))
_LLM_VALUES = dict(vars(_construct_llm_chunk("")))
_TEXT_TYPE = type(_CHAT_CHUNK.text)  # a string that can also be called


def _copy_chat_chunk(text: str) -> ChatGenerationChunk:
    values = _MESSAGE_VALUES.copy()
    values["content"] = text
    values["additional_kwargs"] = {}
    values["response_metadata"] = {}
    values["tool_calls"] = []
    values["invalid_tool_calls"] = []
    values["tool_call_chunks"] = []
    message = _make(AIMessageChunk, values, {"content"}, {})
    values = _CHAT_VALUES.copy()
    values["text"] = str.__new__(_TEXT_TYPE, text)
    values["message"] = message
    return _make(ChatGenerationChunk, values, {"message", "text"}, None)


def _copy_blocks_chunk(text: str) -> ChatGenerationChunk:
    chunk = _copy_chat_chunk(text)
    values = vars(chunk.message)
    values["content"] = _blocks(text)
    values["response_metadata"] = {"output_version": "v1"}
    _set_fields_set(chunk.message, {"content", "response_metadata"})
    return chunk


def _copy_llm_chunk(text: str) -> GenerationChunk:
    values = _LLM_VALUES.copy()
    values["text"] = text
    return _make(GenerationChunk, values, {"text"}, None)


def _make(
    cls: type[T], values: dict[str, Any], fields_set: set[str], extra: dict[str, Any] | None
) -> T:
    """Return an object without calling its constructor."""
    made = object.__new__(cls)
    _set_values(made, values)
    _set_fields_set(made, fields_set)
    _set_extra(made, extra)
    _set_private(made, None)
    return made


def choose_exact(copy: Callable[[str], T], construct: Callable[[str], T]) -> Callable[[str], T]:
    """Return `copy` if it makes what `construct` makes, of any text, else `construct`."""
    try:
        for text in _SAMPLES:
            one, other = copy(text), copy(text)
            is_shared = not _mutable_ids(one).isdisjoint(_mutable_ids(other))
            if is_shared or _state(one) != _state(construct(text)):
                return construct
    except Exception:  # noqa: BLE001 - whatever another version does
        return construct
    return copy


def _state(value: object) -> object:
    """Return all that an object holds, with its types and in its order."""
    if not isinstance(value, BaseModel):
        return type(value), value
    slots = [getattr(value, slot) for slot in BaseModel.__slots__]
    return type(value), slots, [(name, _state(item)) for name, item in vars(value).items()]


def _mutable_ids(model: BaseModel) -> set[int]:
    """Return the identities of what it holds that can be changed."""
    parts = [*(getattr(model, slot) for slot in BaseModel.__slots__), *vars(model).values()]
    models = [part for part in parts if isinstance(part, BaseModel)]
    mutable = {id(part) for part in parts if not isinstance(part, Hashable)}
    return mutable.union(*map(_mutable_ids, models))


make_chat_chunk = choose_exact(_copy_chat_chunk, _construct_chat_chunk)
"""Return a chat model's chunk of a text."""

make_blocks_chunk = choose_exact(_copy_blocks_chunk, _construct_blocks_chunk)
"""Return a chat model's chunk of a text that is LangChain's standard content already."""

make_llm_chunk = choose_exact(_copy_llm_chunk, _construct_llm_chunk)
"""Return an LLM's chunk of a text."""


def to_chat_chunk(item: StreamItem) -> ChatGenerationChunk:
    """Return an item of a stream as a chat model's chunk."""
    if isinstance(item, str):
        return make_chat_chunk(item)
    if isinstance(item, TextDelta):
        return ChatGenerationChunk(
            message=AIMessageChunk(content=item.text),
            generation_info={"logprobs": logprobs_metadata(item.logprobs)},
        )
    if isinstance(item, ResponseInfo):
        return ChatGenerationChunk(message=_last_message(item), generation_info=finish_info(item))
    chunk = tool_call_chunk(
        name=item.name, args=item.arguments, id=item.id, index=FIRST_TOOL_CALL_INDEX + item.index
    )
    return ChatGenerationChunk(message=AIMessageChunk(content="", tool_call_chunks=[chunk]))


def to_blocks_chunk(item: StreamItem) -> ChatGenerationChunk:
    """Return what LangChain would make of a chunk with `output_version="v1"`, for less."""
    if isinstance(item, str) and item:
        return make_blocks_chunk(item)
    return to_chat_chunk(item)


def _last_message(info: ResponseInfo) -> AIMessageChunk:
    """Return the message of the last chunk; it alone has metadata, since LangChain adds them up."""
    return AIMessageChunk(
        content=content_of("", info),
        additional_kwargs=refusal_kwargs(info),
        usage_metadata=usage_metadata(info),
        response_metadata=response_metadata(info),
        chunk_position="last",
    )


def to_llm_chunk(item: StreamItem) -> GenerationChunk:
    """Return an item of a stream as an LLM's chunk."""
    if isinstance(item, str):
        return make_llm_chunk(item)
    if isinstance(item, TextDelta):
        return GenerationChunk(
            text=item.text, generation_info={"logprobs": logprobs_metadata(item.logprobs)}
        )
    info = cast("ResponseInfo", item)  # a string offers no tools, so there are no calls
    return _LastChunk(text="", generation_info=generation_info(info), message=_last_message(info))


class _LastChunk(GenerationChunk):
    """The chunk with the metadata; added to the text before it, it makes a chat generation.

    LangChain adds up the chunks of a stream and hands the sum to the tracers, which read usage
    from messages only.
    """

    message: AIMessageChunk

    def __radd__(self, before: GenerationChunk) -> ChatGenerationChunk:  # type: ignore[misc]  # on purpose, see above
        whole = before + GenerationChunk(text=self.text, generation_info=self.generation_info)
        message = self.message.model_copy(update={"content": whole.text})
        return ChatGenerationChunk(message=message, generation_info=whole.generation_info)
