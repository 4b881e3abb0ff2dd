"""Calls to DeepInfra. They cost a little money and run only if a key is set.

What is known of the hosted model is contradictory: its page documents text, and others saw a
deployment that takes speech only. So these tests first find out which of the two is there; text
is tested where text is taken, and the refusal where it is refused. They look at shapes, since a
model's words are its own.
"""

import os
from collections.abc import Callable
from functools import cache, reduce
from operator import add
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.errors import VoxtralNotFoundError, VoxtralUnsupportedFeatureError
from langchain_voxtral.providers import DEEPINFRA_KEY_VARIABLES, DEEPINFRA_URL

pytestmark = pytest.mark.live

if not any(os.environ.get(name, "").strip() for name in DEEPINFRA_KEY_VARIABLES):
    pytest.skip(
        f"Live tests need a DeepInfra key in one of {', '.join(DEEPINFRA_KEY_VARIABLES)}.",
        allow_module_level=True,
    )

QUESTION = "What is the capital of France? Answer in one short sentence."
COUNT = "Count from one to ten in words, on one line, with a comma after each word."


def _chat(**settings: Any) -> ChatVoxtral:
    return ChatVoxtral(base_url=DEEPINFRA_URL, **{"temperature": 0, "max_tokens": 60, **settings})


def _llm(**settings: Any) -> VoxtralLLM:
    return VoxtralLLM(base_url=DEEPINFRA_URL, **{"temperature": 0, "max_tokens": 60, **settings})


@cache
def _refusal() -> VoxtralUnsupportedFeatureError | None:
    """Check once whether the deployment accepts text; return its error if not."""
    try:
        with _chat(max_tokens=1) as chat:
            chat.invoke("Hi")
    except VoxtralUnsupportedFeatureError as error:
        return error
    return None


@pytest.fixture
def text_is_taken() -> None:
    if _refusal() is not None:
        pytest.skip("DeepInfra's deployment takes speech only; its refusal is tested instead.")


needs_text = pytest.mark.usefixtures("text_is_taken")


def _check_usage(message: AIMessage) -> None:
    usage, metadata = message.usage_metadata, message.response_metadata
    assert usage is not None
    assert usage["input_tokens"] > 0
    assert usage["output_tokens"] > 0
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]
    assert metadata["model_provider"] == "deepinfra"
    assert metadata["model_name"]
    assert metadata["cost"] >= 0


def test_the_error_of_a_speech_only_deployment_says_what_may_work() -> None:
    refusal = _refusal()
    if refusal is None:
        pytest.skip("DeepInfra's deployment takes text.")
    assert refusal.status_code in {400, 422}
    assert refusal.attempts == 1
    for alternative in ("transcription", "chat_completions", "base_url=", "'local'"):
        assert alternative in refusal.message


@needs_text
def test_invoke() -> None:
    with _chat() as chat:
        message = chat.invoke(QUESTION)
    assert message.text
    assert message.response_metadata["request_id"]
    _check_usage(message)


@needs_text
async def test_ainvoke() -> None:
    async with _chat() as chat:
        message = await chat.ainvoke(QUESTION)
    assert message.text
    _check_usage(message)


@needs_text
def test_stream() -> None:
    with _chat(chunk_coalescing=False) as chat:
        chunks = list(chat.stream(COUNT))
    _check_chunks(chunks)


@needs_text
async def test_astream() -> None:
    async with _chat(chunk_coalescing=False) as chat:
        chunks = [chunk async for chunk in chat.astream(COUNT)]
    _check_chunks(chunks)


def _check_chunks(chunks: list[AIMessageChunk]) -> None:
    assert len([chunk for chunk in chunks if chunk.text]) > 1
    assert [chunk.usage_metadata is not None for chunk in chunks[:-1]] == [False] * (
        len(chunks) - 1
    )
    whole = reduce(add, chunks)
    assert whole.response_metadata["finish_reason"] in {"stop", "length"}
    assert whole.response_metadata["finish_reason_source"] == "server"
    _check_usage(whole)


@needs_text
@pytest.mark.parametrize(
    "ask", [ChatVoxtral.invoke, lambda chat, prompt: _whole(chat.stream(prompt))]
)
def test_stop(ask: Callable[[ChatVoxtral, str], AIMessage]) -> None:
    with _chat(stop=["four"]) as chat:
        message = ask(chat, COUNT)
    assert message.text
    assert "four" not in message.text
    _check_usage(message)


def _whole(chunks: Any) -> AIMessageChunk:
    whole = reduce(add, chunks)
    assert isinstance(whole, AIMessageChunk)
    return whole


@needs_text
def test_length() -> None:
    with _chat(max_tokens=3) as chat:
        message = chat.invoke(COUNT)
    assert message.response_metadata["finish_reason"] == "length"
    assert message.response_metadata["finish_reason_source"] == "derived"


@needs_text
def test_llm() -> None:
    with _llm() as llm:
        result = llm.generate([QUESTION])
    generation = result.generations[0][0]
    assert generation.text
    assert generation.generation_info is not None
    assert generation.generation_info["usage_metadata"]["output_tokens"] > 0
    assert generation.generation_info["cost"] >= 0


@needs_text
def test_llm_streams() -> None:
    with _llm(chunk_coalescing=False) as llm:
        pieces = list(llm.stream(COUNT))
    assert len([piece for piece in pieces if piece]) > 1


def test_a_model_that_does_not_exist_is_named_in_the_error() -> None:
    with _chat(model="mistralai/no-such-model") as chat, pytest.raises(VoxtralNotFoundError) as no:
        chat.invoke(QUESTION)
    assert no.value.status_code == 404
    assert "mistralai/no-such-model" in no.value.message
