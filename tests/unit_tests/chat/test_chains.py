"""LangChain's features around a model: chains, events, caches, fallbacks, configurable fields."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from langchain_core.caches import BaseCache, InMemoryCache
from langchain_core.globals import set_llm_cache
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.runnables import ConfigurableField
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import HELLO_INPUT, HELLO_TEXT, TOKENS, Server, answering

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.errors import VoxtralRateLimitError
from langchain_voxtral.prompts import LLAMA3

Make = Callable[..., ChatVoxtral | VoxtralLLM]
PROMPT = ChatPromptTemplate.from_messages([("human", "{word}!")])
USAGE = {"input_tokens": 12, "output_tokens": 25, "total_tokens": 37}

EVENTS_3 = pytest.mark.filterwarnings("ignore:.* is in beta")


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_chain_answers_in_every_call_mode(
    chat: ChatVoxtral, server: Server, call_mode: str
) -> None:
    chain = PROMPT | chat | StrOutputParser()
    expected = "Hello! It's" if "stream" in call_mode else HELLO_TEXT
    assert await ask(chain, call_mode, {"word": "Hello"}) == expected
    assert server.body["input"] == HELLO_INPUT


def test_a_chain_streams_token_by_token(chat: ChatVoxtral) -> None:
    chain = PROMPT | chat | StrOutputParser()
    assert [piece for piece in chain.stream({"word": "Hello"}) if piece] == list(TOKENS)


@pytest.mark.parametrize("call_mode", ["batch", "abatch"])
async def test_a_batch_sends_each_prompt_once(make: Make, server: Server, call_mode: str) -> None:
    model = make()
    prompts: list[Any] = ["one", "two", "three"]
    answers = model.batch(prompts) if call_mode == "batch" else await model.abatch(prompts)
    assert [getattr(answer, "text", answer) for answer in answers] == [HELLO_TEXT] * 3
    asked = [body["input"].split("\n\n")[1].partition("<|")[0] for body in server.bodies]
    assert sorted(asked) == sorted(prompts)


async def test_events_of_version_2_carry_the_tokens(chat: ChatVoxtral) -> None:
    chain = PROMPT | chat | StrOutputParser()
    events = [event async for event in chain.astream_events({"word": "Hello"}, version="v2")]
    streamed = [event["data"] for event in events if event["event"] == "on_chat_model_stream"]
    assert [data["chunk"].text for data in streamed] == [*TOKENS, ""]
    (ended,) = [event["data"] for event in events if event["event"] == "on_chat_model_end"]
    assert ended["output"].text == "Hello! It's"
    assert ended["output"].usage_metadata == USAGE


async def test_events_of_version_2_carry_the_tokens_of_an_llm(llm: VoxtralLLM) -> None:
    events = [event async for event in llm.astream_events("Hello!", version="v2")]
    streamed = [event["data"] for event in events if event["event"] == "on_llm_stream"]
    assert [data["chunk"] for data in streamed] == [*TOKENS, ""]


@EVENTS_3
def test_events_of_version_3_are_a_valid_stream(chat: ChatVoxtral) -> None:
    lifecycle = pytest.importorskip("langchain_tests.utils.stream_lifecycle")
    stream = chat.stream_events("Hello!", version="v3")
    events = list(stream)
    lifecycle.assert_valid_event_stream(events)
    assert stream.output.text == "Hello! It's"
    assert stream.output.usage_metadata == USAGE


@EVENTS_3
async def test_async_events_of_version_3_are_a_valid_stream(chat: ChatVoxtral) -> None:
    lifecycle = pytest.importorskip("langchain_tests.utils.stream_lifecycle")
    stream = await chat.astream_events("Hello!", version="v3")
    events = [event async for event in stream]
    lifecycle.assert_valid_event_stream(events)
    assert (await stream.output).usage_metadata == USAGE


# Settings that LangChain sets


def test_bound_options_are_sent(make: Make, server: Server) -> None:
    make().bind(stop=["END"], max_tokens=3).invoke("Hello!")
    assert (server.body["stop"], server.body["max_new_tokens"]) == (["END", "<|eot_id|>"], 3)


def test_configurable_fields_are_sent(make: Make, server: Server) -> None:
    model = make(stop=["END"]).configurable_fields(
        temperature=ConfigurableField("heat"), model=ConfigurableField("which")
    )
    model.with_config(configurable={"heat": 0.75, "which": "own/er"}).invoke("Hello!")
    model.invoke("Hello!")
    assert [body["temperature"] for body in server.bodies] == [0.75, 0.2]
    assert [body["stop"] for body in server.bodies] == [["END", "<|eot_id|>"]] * 2
    assert [str(request.url).partition("/inference/")[2] for request in server.requests] == [
        "own/er",
        "mistralai/Voxtral-Mini-3B-2507",
    ]


def test_configurable_alternatives_are_chosen(
    make_chat: Callable[..., ChatVoxtral], server: Server
) -> None:
    model = make_chat().configurable_alternatives(
        ConfigurableField("which"), other=make_chat(temperature=0.75)
    )
    model.with_config(configurable={"which": "other"}).invoke("Hello!")
    assert server.body["temperature"] == 0.75


@pytest.mark.parametrize("call_mode", ["invoke", "ainvoke"])
async def test_a_fallback_takes_over_at_a_rate_limit(
    make_chat: Callable[..., ChatVoxtral], server: Server, call_mode: str
) -> None:
    server.answer = lambda _: answering({"detail": "Rate limited"}, 429)
    model = make_chat(max_retries=0).with_fallbacks(
        [FakeListChatModel(responses=["another"])], exceptions_to_handle=(VoxtralRateLimitError,)
    )
    assert await ask(model, call_mode, "Hello!") == "another"
    assert len(server.requests) == 1


def test_langchains_retries_know_transient_errors(
    make_chat: Callable[..., ChatVoxtral], server: Server
) -> None:
    server.answer = lambda _: answering({"detail": "Rate limited"}, 429)
    model = make_chat(max_retries=0).with_retry(
        retry_if_exception_type=(VoxtralRateLimitError,),
        wait_exponential_jitter=False,
        stop_after_attempt=2,
    )
    with pytest.raises(VoxtralRateLimitError):
        model.invoke("Hello!")
    assert len(server.requests) == 2


class CountingLimiter(BaseRateLimiter):
    """A rate limiter without a limit that counts acquisitions."""

    def __init__(self) -> None:
        self.passed: list[str] = []

    def acquire(self, *, blocking: bool = True) -> bool:
        self.passed.append("sync")
        return True

    async def aacquire(self, *, blocking: bool = True) -> bool:
        self.passed.append("async")
        return True


async def test_a_rate_limiter_is_acquired_before_every_request(
    make_chat: Callable[..., ChatVoxtral],
) -> None:
    limiter = CountingLimiter()
    model = make_chat(rate_limiter=limiter)
    for call_mode in CALL_MODES:
        await ask(model, call_mode, "Hello!")
    assert limiter.passed == ["sync", "async", "sync", "async"]


# Caches


@pytest.fixture
def global_cache() -> Iterator[BaseCache]:
    cache = InMemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


@pytest.mark.usefixtures("global_cache")
@pytest.mark.parametrize("call_mode", ["invoke", "ainvoke"])
async def test_the_same_question_is_answered_from_the_cache(
    make: Make, server: Server, call_mode: str
) -> None:
    model = make()
    answers = [await ask(model, call_mode, "Hello!") for _ in range(2)]
    assert answers == [HELLO_TEXT] * 2
    assert len(server.requests) == 1


def test_a_cached_answer_costs_nothing_more(make_chat: Callable[..., ChatVoxtral]) -> None:
    chat = make_chat(cache=InMemoryCache())
    _, hit = chat.invoke("Hello!"), chat.invoke("Hello!")
    assert isinstance(hit, AIMessage)
    assert hit.usage_metadata == USAGE | {"total_cost": 0}


@pytest.mark.parametrize(
    "difference",
    [
        {"temperature": 0.9},
        {"stop": ["END"]},
        {"model": "own/er"},
        {"seed": 5},
        {"max_tokens": 5},
        {"model_kwargs": {"a": 1}},
        {"response_format": {"type": "json_object"}},
        {"prompt_format": "mistral"},
        {"special_tokens": "allow"},
        {"base_url": "https://other.example/v1"},
    ],
)
def test_a_cache_distinguishes_models_by_what_changes_the_answer(
    make: Make, server: Server, difference: dict[str, Any]
) -> None:
    cache = InMemoryCache()
    make(cache=cache).invoke("Hello!")
    make(cache=cache, **difference).invoke("Hello!")
    assert len(server.requests) == 2


@pytest.mark.parametrize("difference", [{"temperature": 0.9}, {"stop": ["END"]}, {"seed": 5}])
def test_a_cache_distinguishes_calls_by_their_options(
    make_chat: Callable[..., ChatVoxtral], server: Server, difference: dict[str, Any]
) -> None:
    chat = make_chat(cache=InMemoryCache())
    chat.invoke("Hello!")
    chat.invoke("Hello!", **difference)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "difference",
    [
        {"stop": ["END"]},
        pytest.param(
            {"temperature": 0.9},
            marks=pytest.mark.xfail(
                reason="langchain-core's BaseLLM.generate makes its cache key without the "
                "options of the call, stop excepted."
            ),
        ),
    ],
)
def test_a_cache_distinguishes_calls_of_an_llm_by_their_options(
    make_llm: Callable[..., VoxtralLLM], server: Server, difference: dict[str, Any]
) -> None:
    llm = make_llm(cache=InMemoryCache())
    llm.invoke("Hello!")
    llm.invoke("Hello!", **difference)
    assert len(server.requests) == 2


def test_a_cache_distinguishes_prompt_formats_of_one_name(make: Make, server: Server) -> None:
    cache = InMemoryCache()
    for begin in ("", "<s>"):
        make(cache=cache, prompt_format=replace(LLAMA3, begin=begin)).invoke("Hello!")
    assert len(server.requests) == 2


def test_a_cache_ignores_the_key(make: Make, server: Server) -> None:
    cache = InMemoryCache()
    make(cache=cache).invoke("Hello!")
    make(cache=cache, api_key="another-key").invoke("Hello!")
    assert len(server.requests) == 1
