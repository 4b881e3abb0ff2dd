"""Answers from LangChain's caches: whatever they cost is the past's."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from langchain_core.outputs import Generation, LLMResult

G = TypeVar("G", bound=Generation)

_fresh: ContextVar[list[Generation] | None] = ContextVar("fresh_answers", default=None)


def as_cached(generation: G) -> G:
    """Return a generation with a cost of 0, as LangChain marks the usage of those of chats."""
    changed: dict[str, object] = {}
    if generation.generation_info and "cost" in generation.generation_info:
        changed["generation_info"] = _without_cost(generation.generation_info)
    if (message := getattr(generation, "message", None)) is not None:
        metadata = _without_cost(message.response_metadata)
        usage = {**(message.usage_metadata or {}), "total_cost": 0}
        updated = {"response_metadata": metadata, "usage_metadata": usage}
        changed["message"] = message.model_copy(update=updated)
    return generation.model_copy(update=changed)


def _without_cost(metadata: dict[str, object]) -> dict[str, object]:
    known = {name: value for name, value in metadata.items() if name != "cost_complete"}
    return known | {"cost": 0}


@contextmanager
def noting_fresh_answers() -> Iterator[list[Generation]]:
    """Collect what a batch of an LLM asks a server for: LangChain does not tell it from the rest.

    The list is shared with the tasks and threads of the batch.
    """
    fresh: list[Generation] = []
    token = _fresh.set(fresh)
    try:
        yield fresh
    finally:
        _fresh.reset(token)


def note_fresh(result: LLMResult) -> LLMResult:
    """Note, and return, what a server has answered."""
    if (fresh := _fresh.get()) is not None:
        fresh += [answer for answers in result.generations for answer in answers]
    return result


def mark_cached(result: LLMResult, fresh: Sequence[Generation]) -> LLMResult:
    """Let the answers of a batch that no server was asked for cost 0."""
    ids = set(map(id, fresh))
    result.generations = [
        [answer if id(answer) in ids else as_cached(answer) for answer in answers]
        for answers in result.generations
    ]
    return result
