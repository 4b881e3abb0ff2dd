"""Budgets of a usage handler: each request is refused, or kept, before it is sent."""

from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.tracers import LangChainTracer
from support.run_log import RunLog
from support.scripted_server import ScriptedServer
from support.trace_recorder import TraceRecorder
from support.transcription_calls import (
    HELLO,
    LONG,
    MODEL,
    PARSES,
    SHORT,
    parser_of,
)
from support.transcription_ways import SOME_WAYS, WAYS

from langchain_voxtral import VoxtralUsageCallbackHandler, get_voxtral_usage_callback
from langchain_voxtral.errors import VoxtralBudgetExceededError


@pytest.mark.parametrize("way", SOME_WAYS)
def test_a_chunk_that_would_pass_the_budget_is_refused_before_its_run(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The recording costs $0.30, its first two chunks less than $0.20."""
    usage, log = VoxtralUsageCallbackHandler(max_cost_usd=0.2), RunLog()
    with ScriptedServer(default=HELLO) as server:
        parser = parser_of(server, chunk_seconds=11, max_concurrency=1, price_per_minute=0.6)
        with pytest.raises(VoxtralBudgetExceededError, match=r"max_cost_usd=0\.2 would be passed"):
            WAYS[way](parser, LONG, {"callbacks": [log, usage]})
        assert len(server.requests) == 2
    assert [run.message.content for run in log.requests] == ["Hello."] * 2
    assert "on_llm_start" not in caplog.text  # LangChain logs what a handler raises there
    assert usage.total.requests == 2
    assert usage.total.cost_usd == usage.total.estimated_cost_usd == pytest.approx(0.1985)
    assert usage.by_model[MODEL].audio_seconds == pytest.approx(19.85)


@pytest.mark.parametrize("method", PARSES)
def test_a_block_counts_and_limits_a_parser_alone(method: str) -> None:
    with ScriptedServer(default=HELLO) as server:
        parser = parser_of(server, price_per_minute=0.6, on_error="mark")
        with get_voxtral_usage_callback(max_cost_usd=0.03) as usage:
            PARSES[method](parser, SHORT)
            with pytest.raises(VoxtralBudgetExceededError):  # never marked
                PARSES[method](parser, SHORT)
        assert len(server.requests) == 1
    assert str(usage) == "1 request, 2.0 s of audio, $0.02 (estimated)"


@pytest.mark.parametrize("method", PARSES)
def test_chunks_in_flight_are_kept_in_the_budget_and_no_run_stays_open(method: str) -> None:
    log, recorder = RunLog(), TraceRecorder()
    with ScriptedServer(default=HELLO) as server:
        parser = parser_of(server, chunk_seconds=11, max_concurrency=3, price_per_minute=0.6)
        way = WAYS["parse" if method == "parse" else "aparse"]
        usage = VoxtralUsageCallbackHandler(max_cost_usd=0.15)
        config: Any = {"callbacks": [LangChainTracer(client=recorder), log, usage]}
        with pytest.raises(VoxtralBudgetExceededError):
            way(parser, LONG, config)
        assert len(server.requests) == 1
    assert len(log.requests) == len(recorder.model_runs) == 1
    assert len([run for run in recorder.created if run["run_type"] == "llm"]) == 1
    assert all(run.ends for run in log.runs.values())


class Refusing(BaseCallbackHandler):
    """Refuses each run, as a budget does that was passed meanwhile."""

    raise_error = True

    def on_llm_start(self, *_: Any, **__: Any) -> None:
        raise VoxtralBudgetExceededError("Enough.")


class AsyncRefusing(AsyncCallbackHandler):
    """Does the same, asynchronously."""

    raise_error = True

    async def on_llm_start(self, *_: Any, **__: Any) -> None:
        raise VoxtralBudgetExceededError("Enough.")


@pytest.mark.parametrize(
    ("refusing", "way"),
    # What an asynchronous handler raises is not raised by LangChain where it is called in a thread.
    [(Refusing, "parse"), (Refusing, "aparse"), (AsyncRefusing, "aparse")],
)
def test_a_start_that_a_handler_refuses_leaves_no_run_open(refusing: Any, way: str) -> None:
    log, recorder, usage = RunLog(), TraceRecorder(), VoxtralUsageCallbackHandler()
    with ScriptedServer(default=HELLO) as server:
        config: Any = {"callbacks": [log, LangChainTracer(client=recorder), usage, refusing()]}
        with pytest.raises(VoxtralBudgetExceededError, match=r"Enough\."):
            WAYS[way](parser_of(server), SHORT, config)
        assert server.requests == []
    assert log.requests == []
    assert not usage._ledger._in_flight
    assert [run["run_type"] for run in recorder.created] == ["chain"]
