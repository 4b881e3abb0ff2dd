"""Answers from LangChain's caches cost nothing: those of chats and those of LLMs."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.caches import RETURN_VAL_TYPE, BaseCache, InMemoryCache
from langchain_core.load import dumps, loads
from langchain_core.outputs import ChatGeneration, LLMResult
from support.documented_exchanges import HELLO_TEXT, Server

from langchain_voxtral import ChatVoxtral, VoxtralLLM, get_voxtral_usage_callback

COST = 0.0000436

pytestmark = pytest.mark.filterwarnings("ignore:.*`loads` is in beta")


class TextCache(BaseCache):
    """Keeps answers as text, as caches on disk do."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], str] = {}

    def lookup(self, prompt: str, llm_string: str) -> RETURN_VAL_TYPE | None:
        if (kept := self._kept.get((prompt, llm_string))) is None:
            return None
        found: RETURN_VAL_TYPE = loads(kept, allowed_objects="all")
        return found

    def update(self, prompt: str, llm_string: str, return_val: RETURN_VAL_TYPE) -> None:
        self._kept[prompt, llm_string] = dumps(return_val)

    def clear(self, **_: Any) -> None:
        self._kept.clear()


@pytest.fixture(params=[InMemoryCache, TextCache])
def cache(request: pytest.FixtureRequest) -> BaseCache:
    made: BaseCache = request.param()
    return made


def costs(result: LLMResult) -> list[list[Any]]:
    """Return the costs that each generation has: its message's, and its own."""
    found = []
    for [generation] in result.generations:
        assert isinstance(generation, ChatGeneration)
        told = [generation.message.response_metadata, generation.generation_info or {}]
        found.append([one["cost"] for one in told if "cost" in one])
    return found


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("streaming", [False, True])
async def test_a_cached_answer_of_a_chat_costs_nothing(
    make_chat: Callable[..., ChatVoxtral], cache: BaseCache, streaming: bool, is_async: bool
) -> None:
    chat = make_chat(cache=cache, streaming=streaming)
    with get_voxtral_usage_callback() as usage:
        answers = [
            await chat.ainvoke("Hello!") if is_async else chat.invoke("Hello!") for _ in range(3)
        ]
    asked, *cached = answers
    assert asked.response_metadata["cost"] > 0
    assert [answer.response_metadata["cost"] for answer in cached] == [0, 0]
    assert [answer.content for answer in cached] == [asked.content] * 2
    for answer in cached:
        assert answer.usage_metadata == {**(asked.usage_metadata or {}), "total_cost": 0}
    total = usage.total
    assert (total.requests, total.cached_responses) == (1, 2)
    assert total.cost_usd == asked.response_metadata["cost"]


@pytest.mark.parametrize("is_async", [False, True])
async def test_of_a_batch_of_an_llm_those_that_are_cached_cost_nothing(
    make_llm: Callable[..., VoxtralLLM], server: Server, cache: BaseCache, is_async: bool
) -> None:
    llm = make_llm(cache=cache)

    async def generate(*prompts: str) -> LLMResult:
        return await llm.agenerate([*prompts]) if is_async else llm.generate([*prompts])

    first = await generate("Hello!")
    second = await generate("Hi!", "Hello!", "Good day!")
    third = await generate("Hello!", "Hi!")
    assert len(server.requests) == 3
    assert costs(first) == [[COST, COST]]
    assert costs(second) == [[COST, COST], [0, 0], [COST, COST]]
    assert costs(third) == [[0, 0]] * 2
    assert (second.llm_output or {})["cost"] == 2 * COST
    assert "cost" not in (third.llm_output or {})
    [[answer], _] = third.generations
    assert answer.text == HELLO_TEXT
    assert isinstance(answer, ChatGeneration)
    assert getattr(answer.message, "usage_metadata", {})["total_cost"] == 0
    assert costs(first) == [[COST, COST]]  # which a cache in memory must not change


@pytest.mark.parametrize("is_async", [False, True])
async def test_answers_without_a_cache_keep_their_cost(
    make_llm: Callable[..., VoxtralLLM], is_async: bool
) -> None:
    llm, prompts = make_llm(), ["Hello!", "Hello!"]
    result = await llm.agenerate(prompts) if is_async else llm.generate(prompts)
    assert costs(result) == [[COST, COST]] * 2
