"""Budgets: the call that would pass `max_cost_usd` is refused before it is sent."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tracers import LangChainTracer
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import (
    MODEL,
    Server,
)
from support.priced_answers import costing
from support.scripted_models import ScriptedChat
from support.trace_recorder import TraceRecorder

from langchain_voxtral import (
    ChatVoxtral,
    VoxtralLLM,
    VoxtralUsageCallbackHandler,
    get_voxtral_usage_callback,
)
from langchain_voxtral.errors import (
    VoxtralBudgetExceededError,
    VoxtralInvalidRequestError,
)

Make = Callable[..., ChatVoxtral | VoxtralLLM]


@pytest.fixture(autouse=True)
def _cents(server: Server) -> None:
    server.answer = costing(0.01)


REFUSED = (
    "max_cost_usd=0.025 would be passed, so nothing was sent: $0.02 is spent, $0.00 is kept for "
    f"calls in flight, and the next of {MODEL} is expected to cost $0.01. Raise max_cost_usd, or "
    "count in a new block."
)


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_the_call_that_would_pass_the_limit_is_not_sent(
    make: Make, server: Server, call_mode: str
) -> None:
    model = make()
    with get_voxtral_usage_callback(max_cost_usd=0.025) as usage:
        await ask(model, call_mode, "Hello!")
        await ask(model, call_mode, "Hello!")
        with pytest.raises(VoxtralBudgetExceededError) as caught:
            await ask(model, call_mode, "Hello!")
    assert str(caught.value) == REFUSED
    assert len(server.requests) == usage.total.requests == 2
    assert usage.total.cost_usd == 0.02


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_refused_call_starts_no_run(make: Make, call_mode: str) -> None:
    recorder = TraceRecorder()
    config: Any = {
        "callbacks": [
            LangChainTracer(client=recorder),
            VoxtralUsageCallbackHandler(max_cost_usd=0),
        ]
    }
    with pytest.raises(VoxtralBudgetExceededError):
        await ask(make(), call_mode, "Hello!", config=config)
    assert recorder.created == []


async def read_events(chat: ChatVoxtral, version_3: str) -> None:
    if version_3 == "stream_events":
        list(chat.stream_events("Hello!", version="v3"))
    else:
        stream = await chat.astream_events("Hello!", version="v3")
        [event async for event in stream]


@pytest.mark.filterwarnings("ignore:.* is in beta")
@pytest.mark.parametrize("version_3", ["stream_events", "astream_events"])
async def test_events_of_version_3_are_refused(
    chat: ChatVoxtral, server: Server, version_3: str
) -> None:
    with get_voxtral_usage_callback(max_cost_usd=0.015) as usage:
        chat.invoke("Hello!")
        with pytest.raises(VoxtralBudgetExceededError):
            await read_events(chat, version_3)
    assert len(server.requests) == usage.total.requests == 1


@pytest.mark.filterwarnings("ignore:.* is in beta")
@pytest.mark.parametrize("version_3", ["stream_events", "astream_events"])
async def test_refused_events_of_version_3_start_no_run(
    make_chat: Callable[..., ChatVoxtral], version_3: str
) -> None:
    recorder = TraceRecorder()
    chat = make_chat(callbacks=[LangChainTracer(client=recorder)])
    with get_voxtral_usage_callback(max_cost_usd=0), pytest.raises(VoxtralBudgetExceededError):
        await read_events(chat, version_3)
    assert recorder.created == []


@pytest.mark.parametrize("call_mode", ["generate", "agenerate"])
async def test_prompts_that_the_budget_cannot_hold_together_are_refused_together(
    make: Make, server: Server, call_mode: str
) -> None:
    model: Any = make()
    prompt: Any = [HumanMessage("Hello!")] if isinstance(model, ChatVoxtral) else "Hello!"

    async def generate(prompts: int) -> None:
        result = getattr(model, call_mode)([prompt] * prompts)
        await result if call_mode == "agenerate" else None

    with get_voxtral_usage_callback(max_cost_usd=0.045) as usage:
        await generate(1)
        with pytest.raises(VoxtralBudgetExceededError, match=r"expected to cost \$0\.04\."):
            await generate(4)
        await generate(3)
    assert len(server.requests) == usage.total.requests == 1 + 3


def test_of_a_batch_in_threads_as_many_calls_are_made_as_the_budget_holds(
    chat: ChatVoxtral, server: Server
) -> None:
    with get_voxtral_usage_callback(max_cost_usd=0.035) as usage:
        chat.invoke("Hello!")
        answers = chat.batch(["Hello!"] * 4, return_exceptions=True)
    kinds = sorted(type(answer).__name__ for answer in answers)
    assert kinds == ["AIMessage"] * 2 + ["VoxtralBudgetExceededError"] * 2
    assert len(server.requests) == usage.total.requests == 3


async def test_of_a_batch_in_tasks_as_many_calls_are_made_as_the_budget_holds(
    chat: ChatVoxtral, server: Server
) -> None:
    with get_voxtral_usage_callback(max_cost_usd=0.035) as usage:
        await chat.ainvoke("Hello!")
        answers = await chat.abatch(["Hello!"] * 4, return_exceptions=True)
    kinds = sorted(type(answer).__name__ for answer in answers)
    assert kinds == ["AIMessage"] * 2 + ["VoxtralBudgetExceededError"] * 2
    assert len(server.requests) == usage.total.requests == 3


def test_a_fallback_to_a_model_of_the_same_budget_is_refused_and_to_another_is_not(
    chat: ChatVoxtral, server: Server
) -> None:
    with get_voxtral_usage_callback(max_cost_usd=0.01):
        chat.invoke("Hello!")
        with pytest.raises(VoxtralBudgetExceededError):
            chat.with_fallbacks([chat]).invoke("Hello!")
        other = ScriptedChat(answer=[AIMessage("From elsewhere.")])
        assert chat.with_fallbacks([other]).invoke("Hello!").text == "From elsewhere."
    assert len(server.requests) == 1


def test_a_retry_of_runnables_sends_nothing(chat: ChatVoxtral, server: Server) -> None:
    usage = VoxtralUsageCallbackHandler(max_cost_usd=0)
    chain = chat.with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    with pytest.raises(VoxtralBudgetExceededError):
        chain.invoke("Hello!", config={"callbacks": [usage]})
    assert server.requests == []
    assert usage.total.requests == 0


# Where budgets apply


def test_the_limit_of_every_block_around_a_call_holds(chat: ChatVoxtral) -> None:
    with get_voxtral_usage_callback(max_cost_usd=0.015) as outer:
        with get_voxtral_usage_callback(max_cost_usd=1) as inner:
            chat.invoke("Hello!")
            with pytest.raises(VoxtralBudgetExceededError, match=r"max_cost_usd=0\.015 "):
                chat.invoke("Hello!")
        with (
            get_voxtral_usage_callback(max_cost_usd=0.005),
            pytest.raises(VoxtralBudgetExceededError, match=r"max_cost_usd=0\.015 "),
        ):
            chat.invoke("Hello!")
    chat.invoke("Hello!")
    assert outer.total.requests == inner.total.requests == 1


def test_a_call_that_a_handler_sees_twice_is_in_flight_once(chat: ChatVoxtral) -> None:
    with get_voxtral_usage_callback(max_cost_usd=0.02) as usage:
        for _ in range(2):
            chat.invoke("Hello!", config={"callbacks": [usage]})
    assert usage.total.requests == 2


def test_a_budget_does_not_count_what_ran_before_its_block(chat: ChatVoxtral) -> None:
    for _ in range(3):
        with get_voxtral_usage_callback(max_cost_usd=0.01):
            chat.invoke("Hello!")


def test_a_handler_of_the_model_itself_refuses_too(
    make_chat: Callable[..., ChatVoxtral], server: Server
) -> None:
    usage = VoxtralUsageCallbackHandler(max_cost_usd=0.01)
    chat = make_chat(callbacks=[usage])
    chat.invoke("Hello!")
    with pytest.raises(VoxtralBudgetExceededError):
        chat.invoke("Hello!")
    assert len(server.requests) == 1


@pytest.mark.parametrize("limit", [-0.01, float("nan"), float("inf"), True, "1", b"1", [1]])
def test_a_limit_that_is_no_amount_is_one_clear_error(limit: Any) -> None:
    with pytest.raises(VoxtralInvalidRequestError) as caught:
        VoxtralUsageCallbackHandler(max_cost_usd=limit)
    assert str(caught.value) == (
        "max_cost_usd must be a number of US dollars, 0 or more, or None for no limit, not "
        f"{limit!r}."
    )


def test_a_block_takes_no_limit_that_is_no_amount() -> None:
    with (
        pytest.raises(VoxtralInvalidRequestError),
        get_voxtral_usage_callback(max_cost_usd=-1),
    ):
        pass
