"""Budgets: what calls are expected to cost is kept for them, and not for longer."""

import asyncio
import gc
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
)
from support.call_modes import CALL_MODES, ask, text_of
from support.documented_exchanges import (
    Server,
    answering,
)
from support.priced_answers import costing
from support.run_log import RunLog

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
