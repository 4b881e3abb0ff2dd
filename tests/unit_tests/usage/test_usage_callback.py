"""The usage handler: sums over models, call modes, threads, blocks and the cache."""

import asyncio
import pickle
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from copy import copy, deepcopy
from typing import Any
from uuid import uuid4

import httpx
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import CallbackManager
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers.context import _configure_hooks
from pydantic import SecretStr
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import (
    KEY,
    MODEL,
    Server,
    answering,
    as_documented,
)
from support.priced_answers import STREAMED, UNKNOWN, WHOLE, used
from support.scripted_models import ScriptedChat

from langchain_voxtral import (
    ChatVoxtral,
    VoxtralLLM,
    VoxtralUsageCallbackHandler,
    get_voxtral_usage_callback,
)
from langchain_voxtral.errors import (
    VoxtralBudgetExceededError,
)
from langchain_voxtral.usage.sums import VoxtralUsage

Make = Callable[..., ChatVoxtral | VoxtralLLM]


# What is summed


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_the_sum_is_right_in_every_call_mode(make: Make, call_mode: str) -> None:
    usage = VoxtralUsageCallbackHandler()
    model = make()
    for _ in range(2):
        await ask(model, call_mode, "Hello!", config={"callbacks": [usage]})
    assert usage.total == used(call_mode) + used(call_mode)
    assert usage.by_model == {MODEL: usage.total}


@pytest.mark.filterwarnings("ignore:.* is in beta")
async def test_events_of_version_3_are_counted(chat: ChatVoxtral) -> None:
    with get_voxtral_usage_callback() as usage:
        list(chat.stream_events("Hello!", version="v3"))
        stream = await chat.astream_events("Hello!", version="v3")
        [event async for event in stream]
        # The run ends in a task of its own, after the last event.
        await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()})
    assert usage.total == STREAMED + STREAMED


@pytest.mark.parametrize("call_mode", ["batch", "abatch"])
async def test_each_prompt_of_a_batch_is_counted(make: Make, call_mode: str) -> None:
    model = make()
    with get_voxtral_usage_callback() as usage:
        if call_mode == "batch":
            model.batch(["Hello!"] * 3)
        else:
            await model.abatch(["Hello!"] * 3)
    assert usage.total == WHOLE + WHOLE + WHOLE


def test_each_prompt_of_generate_is_counted(chat: ChatVoxtral, llm: VoxtralLLM) -> None:
    with get_voxtral_usage_callback() as usage:
        chat.generate([[HumanMessage("Hello!")], [HumanMessage("Bye!")]])
        llm.generate(["Hello!", "Bye!"])
    assert usage.total.requests == 4
    assert usage.total.input_tokens == 4 * 12


def test_several_completions_of_one_request_are_counted_once(make: Make) -> None:
    with get_voxtral_usage_callback() as usage:
        make(n=3).invoke("Hello!")
    assert usage.total == WHOLE


def test_models_are_counted_by_the_names_that_were_asked_for(make: Make) -> None:
    with get_voxtral_usage_callback() as usage:
        make().invoke("Hello!")
        make().invoke("Hello!", model="other/Voxtral")
        make(model="other/Voxtral").invoke("Hello!")
    assert usage.by_model == {MODEL: WHOLE, "other/Voxtral": WHOLE + WHOLE}
    assert usage.total == WHOLE + WHOLE + WHOLE


def test_models_of_other_providers_in_a_chain_are_not_counted(chat: ChatVoxtral) -> None:
    message = AIMessage(
        "Hi",
        usage_metadata={"input_tokens": 7, "output_tokens": 7, "total_tokens": 14},
        response_metadata={"model_name": "other"},
    )
    with get_voxtral_usage_callback() as usage:
        (chat | StrOutputParser() | ScriptedChat(answer=[message])).invoke("Hello!")
    assert usage.total == WHOLE


def test_a_call_of_unknown_usage_and_cost_is_counted_as_such(make: Make, server: Server) -> None:
    server.answer = lambda _: answering({"results": [{"generated_text": "Hi"}]})
    with get_voxtral_usage_callback() as usage:
        make().invoke("Hello!")
    assert usage.total == UNKNOWN


def transcription(cost_source: str) -> LLMResult:
    metadata = {"cost": 0.003, "cost_source": cost_source, "audio_seconds": 60.0}
    message = AIMessage("Good morning.", response_metadata=metadata)
    return LLMResult(generations=[[ChatGeneration(message=message)]])


@pytest.mark.parametrize(("source", "estimated"), [("server", 0.0), ("estimated", 0.003)])
def test_seconds_of_audio_are_usage_and_estimates_are_told_apart(
    source: str, estimated: float
) -> None:
    usage = VoxtralUsageCallbackHandler()
    metadata = {"lc_versions": {"langchain-voxtral": "1"}, "ls_model_name": "scribe"}
    manager = CallbackManager([usage], metadata=metadata)
    (run,) = manager.on_llm_start({}, ["a recording of 60 s"])
    run.on_llm_end(transcription(source))
    expected = VoxtralUsage(
        requests=1, audio_seconds=60.0, cost_usd=0.003, estimated_cost_usd=estimated
    )
    assert usage.by_model == {"scribe": expected}


def test_a_cached_answer_costs_nothing_and_is_no_request(
    make_chat: Callable[..., ChatVoxtral],
) -> None:
    chat = make_chat(cache=InMemoryCache())
    with get_voxtral_usage_callback() as usage:
        for _ in range(3):
            chat.invoke("Hello!")
    assert usage.total == WHOLE + VoxtralUsage(cached_responses=2)


def test_a_cached_answer_of_an_llm_is_not_seen(make_llm: Callable[..., VoxtralLLM]) -> None:
    llm = make_llm(cache=InMemoryCache())
    with get_voxtral_usage_callback() as usage:
        for _ in range(3):
            llm.invoke("Hello!")
    assert usage.total == WHOLE


# Where calls are counted


def test_nothing_is_counted_after_a_block_also_one_that_raised(chat: ChatVoxtral) -> None:
    with get_voxtral_usage_callback() as usage:
        pass
    with pytest.raises(KeyError), get_voxtral_usage_callback() as raised:
        raise KeyError
    chat.invoke("Hello!")
    assert usage.total == raised.total == VoxtralUsage()


def test_nested_blocks_both_count_and_each_call_once(chat: ChatVoxtral) -> None:
    def nested(_: Any) -> None:
        with get_voxtral_usage_callback() as inner:
            chat.invoke("Hello!")
            chat.invoke("Hello!", config={"callbacks": [inner, outer]})
        assert inner.total == WHOLE + WHOLE

    with get_voxtral_usage_callback() as outer:
        chat.invoke("Hello!")
        RunnableLambda(nested).invoke(None)
        chat.invoke("Hello!")
    assert outer.total == WHOLE + WHOLE + WHOLE + WHOLE


def test_a_block_registers_no_hook_of_its_own() -> None:
    with get_voxtral_usage_callback():
        pass
    before = len(_configure_hooks)
    with get_voxtral_usage_callback(), get_voxtral_usage_callback():
        pass
    assert len(_configure_hooks) == before


async def test_blocks_of_two_tasks_count_their_own_calls(chat: ChatVoxtral) -> None:
    async def count(calls: int) -> int:
        with get_voxtral_usage_callback() as usage:
            for _ in range(calls):
                await chat.ainvoke("Hello!")
        return usage.total.requests

    assert tuple(await asyncio.gather(count(1), count(3))) == (1, 3)


async def test_a_generator_with_a_block_may_be_closed_by_another_task(
    chat: ChatVoxtral, caplog: pytest.LogCaptureFixture
) -> None:
    async def serve() -> AsyncGenerator[str]:
        with get_voxtral_usage_callback() as usage:
            yield (await chat.ainvoke("Hello!")).text
            yield str(usage)

    left, read = serve(), serve()
    await asyncio.create_task(anext(left))
    await asyncio.create_task(left.aclose())
    assert caplog.messages == []
    answers = [await asyncio.create_task(anext(read)) for _ in range(2)]
    assert answers[1].startswith("1 request, ")
    with pytest.raises(StopAsyncIteration):
        await anext(read)
    [warning] = caplog.messages
    assert warning == (
        "get_voxtral_usage_callback() ends in another task than it began in, and counted no calls "
        "of this one: pass a VoxtralUsageCallbackHandler as a callback instead."
    )


def test_a_thread_counts_for_the_block_only_in_a_copy_of_its_context(chat: ChatVoxtral) -> None:
    with get_voxtral_usage_callback() as usage, ThreadPoolExecutor(1) as pool:
        pool.submit(chat.invoke, "Hello!").result()
        assert usage.total == VoxtralUsage()
        pool.submit(copy_context().run, chat.invoke, "Hello!").result()
    assert usage.total == WHOLE


@pytest.mark.parametrize("make_copy", [copy, deepcopy, lambda one: one.model_copy(deep=True)])
def test_copies_of_a_model_count_into_the_sums_of_its_handler(make_copy: Any) -> None:
    usage = VoxtralUsageCallbackHandler(max_cost_usd=1)
    chat = ChatVoxtral(api_key=SecretStr(KEY), callbacks=[usage])
    copied = make_copy(chat)
    client = httpx.Client(transport=httpx.MockTransport(as_documented))
    copied.model_copy(update={"http_client": client}).invoke("Hello!")
    assert usage.total == WHOLE


def test_a_pickled_handler_goes_on_for_itself(chat: ChatVoxtral) -> None:
    usage = VoxtralUsageCallbackHandler(max_cost_usd=0.0001)
    chat.invoke("Hello!", config={"callbacks": [usage]})
    pickled = pickle.loads(pickle.dumps(usage))  # noqa: S301 - our own
    assert repr(pickled) == repr(usage)
    chat.invoke("Hello!", config={"callbacks": [pickled]})
    assert (usage.total, pickled.total) == (WHOLE, WHOLE + WHOLE)
    with pytest.raises(VoxtralBudgetExceededError, match=r"\$0\.0000872 is spent"):
        chat.invoke("Hello!", config={"callbacks": [pickled]})


def test_calls_from_many_threads_are_summed_exactly() -> None:
    usage = VoxtralUsageCallbackHandler()
    metadata = {"lc_versions": {"langchain-voxtral": "1"}, "ls_model_name": "m"}
    result = LLMResult(
        generations=[
            [
                ChatGeneration(
                    message=AIMessage(
                        "Hi",
                        usage_metadata={"input_tokens": 3, "output_tokens": 2, "total_tokens": 5},
                        response_metadata={"cost": 0.125, "attempts": 2},
                    )
                )
            ]
        ]
    )

    def call_often() -> None:
        for _ in range(250):
            run_id = uuid4()
            usage.on_llm_start({}, [""], run_id=run_id, metadata=metadata)
            usage.on_llm_end(result, run_id=run_id)

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(call_often) for _ in range(8)]:
            future.result()
    assert usage.total == VoxtralUsage(
        requests=2000, retries=2000, input_tokens=6000, output_tokens=4000, cost_usd=250.0
    )


# What is shown


def test_printing_shows_one_line_and_the_repr_shows_each_model(
    chat: ChatVoxtral, capsys: pytest.CaptureFixture[str]
) -> None:
    with get_voxtral_usage_callback() as usage:
        chat.invoke("Hello!")
    print(usage)  # noqa: T201
    line = "1 request, 12 input and 25 output tokens, $0.0000436\n"
    assert capsys.readouterr().out == line
    each = "VoxtralUsage(requests=1, input_tokens=12, output_tokens=25, cost_usd=4.36e-05)"
    assert repr(usage) == (
        f"VoxtralUsageCallbackHandler(total={each}, by_model={{'{MODEL}': {each}}}, "
        "max_cost_usd=None)"
    )


def test_what_was_read_does_not_change_later(chat: ChatVoxtral) -> None:
    with get_voxtral_usage_callback() as usage:
        chat.invoke("Hello!")
        total, by_model = usage.total, usage.by_model
        chat.invoke("Hello!")
    assert (total, by_model) == (WHOLE, {MODEL: WHOLE})
