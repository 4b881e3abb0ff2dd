"""Budgets: what a call is expected to cost, and what it takes if that is never known."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import (
    BaseCallbackHandler,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import (
    MODEL,
    STREAM,
    Server,
    answering,
    streaming,
)
from support.priced_answers import costing

from langchain_voxtral import (
    ChatVoxtral,
    VoxtralLLM,
    VoxtralUsageCallbackHandler,
    get_voxtral_usage_callback,
)
from langchain_voxtral.errors import (
    VoxtralAPIError,
    VoxtralBudgetExceededError,
    VoxtralIncompleteStreamError,
)
from langchain_voxtral.usage.entry import enter_call

Make = Callable[..., ChatVoxtral | VoxtralLLM]
METADATA = {"lc_versions": {"langchain-voxtral": "1"}, "ls_model_name": "m"}


@pytest.fixture(autouse=True)
def _cents(server: Server) -> None:
    server.answer = costing(0.01)


def test_three_dimes_fit_into_thirty_cents(chat: ChatVoxtral, server: Server) -> None:
    server.answer = costing(0.1)
    with get_voxtral_usage_callback(max_cost_usd=0.3):
        for _ in range(3):
            chat.invoke("Hello!")
        with pytest.raises(VoxtralBudgetExceededError):
            chat.invoke("Hello!")


def test_a_budget_of_nothing_refuses_the_first_call(make: Make, server: Server) -> None:
    with get_voxtral_usage_callback(max_cost_usd=0), pytest.raises(VoxtralBudgetExceededError) as e:
        make().invoke("Hello!")
    assert server.requests == []
    assert str(e.value) == (
        "max_cost_usd=0 would be passed, so nothing was sent: $0.00 is spent, $0.00 is kept for "
        f"calls in flight, and the next of {MODEL} is expected to cost an amount that is not known "
        "yet. Raise max_cost_usd, or count in a new block."
    )


def test_calls_that_cost_nothing_never_use_up_a_budget(make: Make, server: Server) -> None:
    server.answer = costing(0.0)
    with get_voxtral_usage_callback(max_cost_usd=0.001):
        for _ in range(5):
            make().invoke("Hello!")
    assert len(server.requests) == 5


def test_a_call_is_expected_to_cost_as_much_as_the_dearest_of_its_model(
    make: Make, server: Server
) -> None:
    server.answer = costing(0.05, 0.01)
    with get_voxtral_usage_callback(max_cost_usd=0.1):
        for _ in range(2):
            make().invoke("Hello!")
        with pytest.raises(VoxtralBudgetExceededError, match=r"expected to cost \$0\.05\."):
            make().invoke("Hello!")
        make(model="other/Voxtral").invoke("Hello!")


def test_a_small_budget_is_written_as_its_sums_are(make: Make, server: Server) -> None:
    server.answer = costing(0.00004)
    sums = r"max_cost_usd=0\.00005 .* \$0\.00004 is spent"
    with get_voxtral_usage_callback(max_cost_usd=0.00005):
        make().invoke("Hello!")
        with pytest.raises(VoxtralBudgetExceededError, match=sums):
            make().invoke("Hello!")


def test_an_answer_from_the_cache_is_refused_with_the_others(
    make_chat: Callable[..., ChatVoxtral],
) -> None:
    chat = make_chat(cache=InMemoryCache())
    with get_voxtral_usage_callback(max_cost_usd=0.02) as usage:
        chat.invoke("Hello!")
        chat.invoke("Hello!")
        chat.invoke("Bye!")
        with pytest.raises(VoxtralBudgetExceededError):
            chat.invoke("Hello!")
    assert (usage.total.requests, usage.total.cached_responses) == (2, 1)


# Costs that are not known


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_after_a_call_of_unknown_cost_the_next_is_refused(
    make: Make, server: Server, call_mode: str
) -> None:
    server.answer = costing(None)
    with get_voxtral_usage_callback(max_cost_usd=1.0) as usage:
        await ask(make(), call_mode, "Hello!")
        with pytest.raises(VoxtralBudgetExceededError) as caught:
            await ask(make(), call_mode, "Hello!")
    assert str(caught.value) == (
        f"max_cost_usd=1 cannot be kept, so nothing was sent: what a call of {MODEL} cost is not "
        "known, because its server did not tell. Use a server that reports costs (for "
        "transcriptions price_per_minute= will do), or leave max_cost_usd out."
    )
    assert len(server.requests) == usage.total.requests_without_cost == 1


def test_after_a_first_call_that_ended_early_the_next_is_refused(
    make: Make, server: Server
) -> None:
    with get_voxtral_usage_callback(max_cost_usd=1.0) as usage:
        stream: Any = make().stream("Hello!")
        next(stream)
        stream.close()
        with pytest.raises(VoxtralBudgetExceededError) as caught:
            make().invoke("Hello!")
    assert str(caught.value) == (
        f"max_cost_usd=1 cannot be kept, so nothing was sent: what a call of {MODEL} cost is not "
        "known, because it ended early, before another one had told what such calls cost. Count in "
        "a new block whose first call ends, or leave max_cost_usd out."
    )
    assert len(server.requests) == usage.total.requests_without_cost == 1


def test_a_stream_that_broke_off_takes_as_much_as_the_dearest_before(
    make: Make, server: Server
) -> None:
    with get_voxtral_usage_callback(max_cost_usd=0.025) as usage:
        make().invoke("Hello!")
        server.answer = lambda _: streaming(*STREAM[:-1])
        with pytest.raises(VoxtralIncompleteStreamError):
            [*make().stream("Hello!")]
        with pytest.raises(VoxtralBudgetExceededError, match=r"\$0\.02 is spent"):
            make().invoke("Hello!")
    assert usage.total.cost_usd == 0.01


def test_a_request_that_the_server_refused_costs_nothing(make: Make, server: Server) -> None:
    server.answer = lambda _: answering({"detail": "boom"}, 500)
    with get_voxtral_usage_callback(max_cost_usd=0.025):
        for _ in range(3):
            with pytest.raises(VoxtralAPIError):
                make(max_retries=0).invoke("Hello!")


# Transcriptions, which tell beforehand what they are expected to cost


def start(usage: BaseCallbackHandler, estimate: float) -> CallbackManagerForLLMRun:
    """Start a request as transcriptions do."""
    manager = CallbackManager([usage], metadata=METADATA | {"estimated_cost_usd": estimate})
    enter_call(manager, "m", estimate)
    [run] = manager.on_llm_start({}, [""])
    return run


def transcription(cost: float | None) -> LLMResult:
    info: dict[str, Any] = {"audio_seconds": 60.0} | ({} if cost is None else {"cost": cost})
    message = AIMessage("Good morning.", response_metadata=info)
    return LLMResult(generations=[[ChatGeneration(message=message)]])


def test_a_recording_is_expected_to_cost_its_estimate_even_before_the_first() -> None:
    usage = VoxtralUsageCallbackHandler(max_cost_usd=0.01)
    with pytest.raises(VoxtralBudgetExceededError, match=r"expected to cost \$0\.011\."):
        start(usage, 0.011)
    start(usage, 0.01)


def test_what_calls_in_flight_will_cost_is_kept_until_they_end() -> None:
    usage = VoxtralUsageCallbackHandler(max_cost_usd=0.01)
    run = start(usage, 0.006)
    with pytest.raises(VoxtralBudgetExceededError, match=r"\$0\.006 is kept for calls in flight"):
        start(usage, 0.006)
    run.on_llm_end(transcription(0.004))
    start(usage, 0.006)


def test_a_recording_of_unknown_cost_takes_its_estimate() -> None:
    usage = VoxtralUsageCallbackHandler(max_cost_usd=0.01)
    start(usage, 0.006).on_llm_end(transcription(None))
    with pytest.raises(VoxtralBudgetExceededError, match=r"\$0\.006 is spent"):
        start(usage, 0.006)


def test_of_calls_that_start_at_once_only_as_many_are_made_as_the_budget_holds() -> None:
    usage = VoxtralUsageCallbackHandler(max_cost_usd=1.0)
    barrier = Barrier(8)
    runs = []

    def is_made(_: int) -> bool:
        barrier.wait()
        try:
            runs.append(start(usage, 0.25))
        except VoxtralBudgetExceededError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(is_made, range(8))) == 4


def test_of_a_call_that_one_handler_refuses_nothing_is_kept_by_another() -> None:
    outer = VoxtralUsageCallbackHandler(max_cost_usd=0.02)
    inner = VoxtralUsageCallbackHandler(max_cost_usd=0.01)
    with pytest.raises(VoxtralBudgetExceededError, match=r"max_cost_usd=0\.01 ") as refused:
        enter_call(CallbackManager([outer, inner]), "m", 0.02)
    start(outer, 0.02)
    del refused  # whose frames have what was kept
