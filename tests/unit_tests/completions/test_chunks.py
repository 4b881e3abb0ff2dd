"""Chunks of text that are made without their constructors."""

import pickle
from collections.abc import Callable
from copy import deepcopy
from typing import Any, TypeVar, cast

import pytest
from langchain_core.load import dumpd
from langchain_core.messages import AIMessageChunk, message_chunk_to_message
from langchain_core.outputs import ChatGenerationChunk, GenerationChunk
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks
from pydantic import BaseModel

from langchain_voxtral.completions.chunks import (
    choose_exact,
    make_blocks_chunk,
    make_chat_chunk,
    make_llm_chunk,
)

T = TypeVar("T", bound=BaseModel)

TEXTS = ["", "word", " \n", "é\u2060\U0001f6d1", "<|eot_id|>"]


def construct_chat_chunk(text: str) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(content=text))


def construct_blocks_chunk(text: str) -> ChatGenerationChunk:
    content: list[Any] = [{"type": "text", "text": text}]
    message = AIMessageChunk(content=content, response_metadata={"output_version": "v1"})
    return ChatGenerationChunk(message=message)


def construct_llm_chunk(text: str) -> GenerationChunk:
    return GenerationChunk(text=text)


def state(model: BaseModel) -> dict[str, object]:
    """Everything that can be observed of an object."""
    values = [(name, type(value), value) for name, value in vars(model).items()]
    return {
        "type": type(model),
        "values": [item for item in values if not isinstance(item[2], BaseModel)],
        "models": [state(item) for _, _, item in values if isinstance(item, BaseModel)],
        "fields set": model.model_fields_set,
        "extra": model.model_extra,
        "private": model.__pydantic_private__,
        "repr": repr(model),
        "dump": model.model_dump(),
        "JSON": model.model_dump_json(exclude_unset=True),
        "serialized": dumpd(model),
    }


CHANGES: list[Callable[[Any], Any]] = [
    lambda chunk: chunk,
    deepcopy,
    lambda chunk: chunk.model_copy(deep=True),
    lambda chunk: pickle.loads(pickle.dumps(chunk)),  # noqa: S301 - our own
    lambda chunk: chunk + chunk,
    lambda chunk: type(chunk).model_validate(chunk.model_dump()),
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("change", CHANGES)
def test_a_chunk_is_what_the_constructor_makes(change: Callable[[Any], Any], text: str) -> None:
    for make, construct in (
        (make_chat_chunk, construct_chat_chunk),
        (make_blocks_chunk, construct_blocks_chunk),
        (make_llm_chunk, construct_llm_chunk),
    ):
        made: BaseModel = make(text)
        constructed: BaseModel = construct(text)
        assert made == constructed
        assert constructed == made
        assert state(change(made)) == state(change(constructed))


@pytest.mark.parametrize("text", TEXTS)
def test_a_message_is_what_the_constructor_makes(text: str) -> None:
    made = cast("AIMessageChunk", make_chat_chunk(text).message)
    constructed = AIMessageChunk(content=text)
    assert (type(made.text), made.text) == (type(constructed.text), text)
    assert made.content_blocks == constructed.content_blocks
    assert state(message_chunk_to_message(made)) == state(message_chunk_to_message(constructed))


def test_chunks_are_added_up_as_constructed_ones_are() -> None:
    last = ChatGenerationChunk(message=AIMessageChunk(content="", chunk_position="last"))
    sums = []
    for make in (make_chat_chunk, construct_chat_chunk):
        chunks = [*map(make, TEXTS), last]
        messages = [cast("AIMessageChunk", chunk.message) for chunk in chunks]
        merged = merge_chat_generation_chunks(chunks)
        assert merged is not None
        sums.append([state(merged), state(messages[0] + messages[1:])])
    assert sums[0] == sums[1]


def test_what_is_changed_of_one_chunk_is_unchanged_in_others() -> None:
    first, second = make_chat_chunk("a"), make_chat_chunk("a")
    message = cast("AIMessageChunk", first.message)
    for name, value in vars(message).items():
        if isinstance(value, dict):
            value["key"] = "value"
        elif isinstance(value, list):
            value.append({"name": "f", "args": {}, "id": "1"})
        else:
            setattr(message, name, "changed")
    message.unknown = "kept"  # type: ignore[attr-defined]
    first.generation_info = {"logprobs": None}
    assert message.model_extra == {"unknown": "kept"}
    assert state(second) == state(construct_chat_chunk("a"))
    assert state(make_chat_chunk("a")) == state(construct_chat_chunk("a"))
    make_llm_chunk("a").generation_info = {"logprobs": None}
    assert state(make_llm_chunk("a")) == state(construct_llm_chunk("a"))


class Chunk(BaseModel):
    """A chunk as another version of LangChain may have it."""

    text: str
    parts: list[str] = []
    length: int | None = None

    def model_post_init(self, _: Any) -> None:
        self.length = len(self.text)


def copy_of(values: dict[str, object], fields_set: set[str] | None = None) -> Chunk:
    chunk = Chunk.__new__(Chunk)
    chunk.__setstate__(
        {
            "__dict__": values,
            "__pydantic_fields_set__": {"text", "length"} if fields_set is None else fields_set,
            "__pydantic_extra__": None,
            "__pydantic_private__": None,
        }
    )
    return chunk


SHARED: list[str] = []


def raise_error(_: str) -> Chunk:
    raise AttributeError("no such slot")


INEXACT: dict[str, Callable[[str], Chunk]] = {
    "a field is missing": lambda text: copy_of({"text": text, "parts": []}),
    "a field that follows from the text is a template's": lambda text: copy_of(
        {"text": text, "parts": [], "length": 0}
    ),
    "the fields are in another order": lambda text: copy_of(
        {"text": text, "length": len(text), "parts": []}
    ),
    "a field is of another type": lambda text: copy_of(
        {"text": text, "parts": [], "length": float(len(text))}
    ),
    "other fields count as set": lambda text: copy_of(
        {"text": text, "parts": [], "length": len(text)}, {"text"}
    ),
    "a list is shared": lambda text: copy_of({"text": text, "parts": SHARED, "length": len(text)}),
    "it fails": raise_error,
}


@pytest.mark.parametrize("difference", INEXACT)
def test_chunks_are_constructed_where_a_copy_would_differ(difference: str) -> None:
    def construct(text: str) -> Chunk:
        return Chunk(text=text)

    def copy(text: str) -> Chunk:
        return copy_of({"text": text, "parts": [], "length": len(text)})

    assert choose_exact(copy, construct) is copy
    assert choose_exact(INEXACT[difference], construct) is construct


def test_the_installed_versions_let_chunks_be_copied() -> None:
    makers = [make_chat_chunk, make_blocks_chunk, make_llm_chunk]
    names = [maker.__name__ for maker in makers]
    assert names == ["_copy_chat_chunk", "_copy_blocks_chunk", "_copy_llm_chunk"]
