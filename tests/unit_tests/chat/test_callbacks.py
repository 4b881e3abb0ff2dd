"""Callbacks: every token once and in order, and usage where LangChain expects it."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    UsageMetadataCallbackHandler,
    get_usage_metadata_callback,
)
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import TOKENS, Server, answering

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.errors import VoxtralAPIError

Make = Callable[..., ChatVoxtral | VoxtralLLM]
MODEL = "mistralai/Voxtral-Mini-3B-2507"
USAGE = {"input_tokens": 12, "output_tokens": 25, "total_tokens": 37}


class Listener(BaseCallbackHandler):
    """Records events."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.chunks: list[str] = []
        self.results: list[LLMResult] = []
        self.errors: list[BaseException] = []

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:
        self.tokens.append(token)
        self.chunks.append(chunk.text)

    def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
        self.results.append(response)

    def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
        self.errors.append(error)


class AsyncListener(AsyncCallbackHandler):
    """Records events asynchronously."""

    def __init__(self) -> None:
        self.tokens: list[str] = []

    async def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        self.tokens.append(token)


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_handler_receives_every_token_once_and_in_order(make: Make, call_mode: str) -> None:
    listener = Listener()
    await ask(make(), call_mode, "Hello!", config={"callbacks": [listener]})
    assert listener.tokens == [*TOKENS, ""]
    assert listener.chunks == [*TOKENS, ""]
    assert [result.generations[0][0].text for result in listener.results] == ["Hello! It's"]


async def test_an_async_handler_receives_every_token_once_and_in_order(make: Make) -> None:
    listener = AsyncListener()
    await ask(make(), "astream", "Hello!", config={"callbacks": [listener]})
    assert listener.tokens == [*TOKENS, ""]


@pytest.mark.filterwarnings("ignore:.* is in beta")
@pytest.mark.parametrize("version_3", ["stream_events", "astream_events"])
async def test_a_handler_receives_every_token_of_events_of_version_3(
    chat: ChatVoxtral, version_3: str
) -> None:
    listener = Listener()
    config: Any = {"callbacks": [listener]}
    if version_3 == "stream_events":
        list(chat.stream_events("Hello!", version="v3", config=config))
    else:
        stream = await chat.astream_events("Hello!", version="v3", config=config)
        [event async for event in stream]
    assert listener.tokens == [*TOKENS, ""]


@pytest.mark.parametrize("call_mode", ["invoke", "ainvoke"])
async def test_streaming_reports_tokens_of_invoke_to_handlers(
    make_chat: Callable[..., ChatVoxtral], call_mode: str
) -> None:
    listener = Listener()
    await ask(make_chat(streaming=True), call_mode, "Hello!", config={"callbacks": [listener]})
    assert listener.tokens == [*TOKENS, ""]


@pytest.mark.parametrize("call_mode", ["invoke", "ainvoke"])
async def test_invoke_without_streaming_reports_no_tokens(make: Make, call_mode: str) -> None:
    listener = Listener()
    await ask(make(), call_mode, "Hello!", config={"callbacks": [listener]})
    assert listener.tokens == []


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_handler_receives_a_failure_once(
    make: Make, server: Server, call_mode: str
) -> None:
    server.answer = lambda _: answering({"detail": "boom"}, 500)
    listener = Listener()
    with pytest.raises(VoxtralAPIError) as caught:
        await ask(make(max_retries=0), call_mode, "Hello!", config={"callbacks": [listener]})
    assert listener.errors == [caught.value]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_the_usage_handler_counts_in_every_call_mode(make: Make, call_mode: str) -> None:
    handler = UsageMetadataCallbackHandler()
    model = make()
    for _ in range(2):
        await ask(model, call_mode, "Hello!", config={"callbacks": [handler]})
    assert handler.usage_metadata == {MODEL: {name: 2 * n for name, n in USAGE.items()}}


async def test_the_usage_context_counts_in_every_call_mode(make: Make) -> None:
    model = make()
    with get_usage_metadata_callback() as counted:
        for call_mode in CALL_MODES:
            await ask(model, call_mode, "Hello!")
    assert counted.usage_metadata == {MODEL: {name: 4 * n for name, n in USAGE.items()}}


@pytest.mark.parametrize("call_mode", ["batch", "abatch"])
async def test_the_usage_handler_counts_each_prompt_of_a_batch(make: Make, call_mode: str) -> None:
    handler = UsageMetadataCallbackHandler()
    model = make()
    if call_mode == "batch":
        model.batch(["Hello!"] * 3, config={"callbacks": [handler]})
    else:
        await model.abatch(["Hello!"] * 3, config={"callbacks": [handler]})
    assert handler.usage_metadata == {MODEL: {name: 3 * n for name, n in USAGE.items()}}


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_the_end_of_an_llm_stream_carries_a_message_with_its_usage(
    llm: VoxtralLLM, call_mode: str
) -> None:
    listener = Listener()
    await ask(llm, call_mode, "Hello!", config={"callbacks": [listener]})
    ((generation,),) = listener.results[0].generations
    assert isinstance(generation, ChatGeneration)
    assert isinstance(generation.message, AIMessage)
    assert generation.message.text == generation.text == "Hello! It's"
    assert generation.message.usage_metadata == USAGE
    assert generation.generation_info == {
        "model_name": MODEL,
        "model_provider": "deepinfra",
        "endpoint": "native",
        "finish_reason": "stop",
        "finish_reason_source": "server",
        "cost": 0.0000386,
        "usage_metadata": USAGE,
    }


def test_a_handler_of_the_constructor_receives_events_too(
    make_chat: Callable[..., ChatVoxtral],
) -> None:
    listener = Listener()
    answer: BaseMessage = make_chat(callbacks=[listener]).invoke("Hello!")
    assert [result.generations[0][0].text for result in listener.results] == [answer.text]
