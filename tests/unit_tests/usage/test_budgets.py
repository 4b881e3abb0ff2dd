"""Budgets: the call that would pass `max_cost_usd` is refused before it is sent."""

import asyncio
import gc
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from typing import Any

import httpx
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
    CallbackManager,
    CallbackManagerForLLMRun,
)
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.tracers import LangChainTracer
from support.call_modes import CALL_MODES, ask, text_of
from support.documented_exchanges import (
    HELLO_ANSWER,
    MODEL,
    STREAM,
    Server,
    answering,
    streaming,
)
from support.run_log import RunLog
from support.scripted_models import ScriptedChat
from support.trace_recorder import TraceRecorder

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
    VoxtralInvalidRequestError,
)
from langchain_voxtral.usage.entry import enter_call

Make = Callable[..., ChatVoxtral | VoxtralLLM]
METADATA = {"lc_versions": {"langchain-voxtral": "1"}, "ls_model_name": "m"}


def final_event(cost: float | None) -> bytes:
    event = {
        "token": {"id": None, "text": "", "logprob": 0.0, "special": False},
        "details": {"finish_reason": "stop"},
        "num_output_tokens": 25,
        "num_input_tokens": 12,
        "estimated_cost": cost,
    }
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def costing(*costs: float | None, text: str = "Hello!") -> Callable[[httpx.Request], Any]:
    """Answer at these prices, whole or streamed; the last one stays."""
    left = list(costs)

    def answer(request: httpx.Request) -> httpx.Response:
        cost = left.pop(0) if len(left) > 1 else left[0]
        if json.loads(request.content).get("stream"):
            return streaming(*STREAM[:-1], final_event(cost))
        status = {"status": "succeeded", "tokens_input": 12, "tokens_generated": 25, "cost": cost}
        if cost is None:
            del status["cost"]
        results = [{"generated_text": text}]
        return answering(HELLO_ANSWER | {"inference_status": status, "results": results})

    return answer


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


@pytest.mark.parametrize("call_mode", ["batch", "abatch"])
async def test_of_a_refused_batch_of_an_llm_nothing_is_sent_and_nothing_stays_kept(
    llm: VoxtralLLM, server: Server, call_mode: str
) -> None:
    log = RunLog()

    async def batch(prompts: int) -> list[Any]:
        options: Any = {"config": {"callbacks": [log]}, "return_exceptions": True}
        answers = getattr(llm, call_mode)(["Hello!"] * prompts, **options)
        return list(await answers if call_mode == "abatch" else answers)

    with get_voxtral_usage_callback(max_cost_usd=0.035) as usage:
        llm.invoke("Hello!")
        refused = await batch(4)
        assert {type(error) for error in refused} == {VoxtralBudgetExceededError}
        assert log.runs == {}
        assert [text_of(answer) for answer in await batch(2)] == ["Hello!"] * 2
    assert len(server.requests) == usage.total.requests == 3


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("is_inline", [True, False])
async def test_calls_that_enter_at_once_and_are_refused_start_no_run(
    make: Make, *, is_first: bool, is_inline: bool
) -> None:
    model, log = make(), RunLog()
    log.run_inline = is_inline
    usage = VoxtralUsageCallbackHandler(max_cost_usd=0.035)
    await model.ainvoke("Hello!", config={"callbacks": [usage]})
    callbacks: list[BaseCallbackHandler] = [usage, log] if is_first else [log, usage]
    calls = [model.ainvoke("Hello!", config={"callbacks": callbacks}) for _ in range(4)]
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert [isinstance(answer, VoxtralBudgetExceededError) for answer in answers].count(True) == 2
    assert [len(run.ends) for run in log.runs.values()] == [1, 1]


def test_of_a_call_that_fails_before_its_run_starts_nothing_stays_kept(make: Make) -> None:
    model: Any = make()
    with get_voxtral_usage_callback(max_cost_usd=0.02):
        model.invoke("Hello!")
        with pytest.raises((TypeError, ValueError, AttributeError)) as kept:
            model.generate([None])
        model.invoke("Hello!")
    del kept


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
def test_of_a_stream_that_nobody_reads_nothing_stays_kept(make: Make, call_mode: str) -> None:
    model = make()
    with get_voxtral_usage_callback(max_cost_usd=0.02) as usage:
        model.invoke("Hello!")
        stream = getattr(model, call_mode)("Hello!")
        with pytest.raises(
            VoxtralBudgetExceededError, match=r"\$0\.01 is kept for calls in flight"
        ):
            model.invoke("Hello!")
        del stream
        model.invoke("Hello!")
    assert usage.total.requests == 2


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_call_of_a_model_that_does_not_stream_is_kept_once(
    make_chat: Callable[..., ChatVoxtral], call_mode: str
) -> None:
    with get_voxtral_usage_callback(max_cost_usd=0.02) as usage:
        for _ in range(2):
            await ask(make_chat(disable_streaming=True), call_mode, "Hello!")
    assert usage.total.requests == 2


class SlowStart(AsyncCallbackHandler):
    """Delays the start of runs for ever."""

    def __init__(self) -> None:
        self.is_called = asyncio.Event()

    async def on_llm_start(self, *args: Any, **kwargs: Any) -> None:
        self.is_called.set()
        await asyncio.Event().wait()

    on_chat_model_start = on_llm_start


@pytest.mark.parametrize("call_mode", ["ainvoke", "astream"])
async def test_of_a_call_that_is_cancelled_while_its_run_starts_nothing_stays_kept(
    make: Make, server: Server, call_mode: str
) -> None:
    """LangChain tells nobody of the end of such a run; as of parallel nodes of a graph."""
    model, slow = make(), SlowStart()
    with get_voxtral_usage_callback(max_cost_usd=0.02) as usage:
        await model.ainvoke("Hello!")
        task = asyncio.create_task(ask(model, call_mode, "Hello!", config={"callbacks": [slow]}))
        await slow.is_called.wait()
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        del task  # with its error, whose frames have the stream
        await asyncio.sleep(0)  # the loop has it, too
        gc.collect()
        await model.ainvoke("Hello!")
    assert len(server.requests) == usage.total.requests == 2


def test_prompts_that_the_cache_answers_are_not_kept_when_others_fail(
    make_llm: Callable[..., VoxtralLLM], server: Server
) -> None:
    llm = make_llm(cache=InMemoryCache(), max_retries=0)
    with get_voxtral_usage_callback(max_cost_usd=0.03):
        llm.invoke("Hello!")
        server.answer = lambda _: answering({"detail": "no"}, 400)
        with pytest.raises(VoxtralInvalidRequestError) as kept:
            llm.generate(["Hello!", "Bye!"])
        server.answer = costing(0.01)
        for prompt in ("Good morning!", "Good night!"):
            llm.invoke(prompt)
    del kept


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


def test_of_a_call_that_one_handler_refuses_nothing_is_kept_by_another() -> None:
    outer = VoxtralUsageCallbackHandler(max_cost_usd=0.02)
    inner = VoxtralUsageCallbackHandler(max_cost_usd=0.01)
    with pytest.raises(VoxtralBudgetExceededError, match=r"max_cost_usd=0\.01 ") as refused:
        enter_call(CallbackManager([outer, inner]), "m", 0.02)
    start(outer, 0.02)
    del refused  # whose frames have what was kept


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
