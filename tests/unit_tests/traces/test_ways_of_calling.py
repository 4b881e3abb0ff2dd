"""Runs of models that LangChain's other ways of calling start: fallbacks, alternatives, parents."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks.manager import trace_as_chain_group
from langchain_core.runnables import ConfigurableField
from langchain_core.tracers import LangChainTracer
from langchain_core.tracers.context import tracing_v2_enabled
from langsmith import traceable, tracing_context
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import MODEL, Server, answering
from support.trace_recorder import TraceRecorder

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.errors import VoxtralError

Make = Callable[..., ChatVoxtral | VoxtralLLM]


@pytest.fixture
def recorder() -> TraceRecorder:
    return TraceRecorder()


@pytest.fixture
def config(recorder: TraceRecorder) -> Any:
    return {"callbacks": [LangChainTracer(client=recorder)]}


def told(recorder: TraceRecorder, *names: str) -> list[tuple[Any, ...]]:
    """Return these metadata of each run of a model."""
    runs = [one["extra"]["metadata"] for one in recorder.model_runs]
    return [tuple(one.get(name) for name in names) for one in runs]


def cost_in(call_mode: str) -> float:
    return 0.0000386 if "stream" in call_mode else 0.0000436


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_model_and_its_fallback_have_a_run_each(
    make: Make, server: Server, recorder: TraceRecorder, config: Any, call_mode: str
) -> None:
    usual = server.answer
    refusals = iter([answering({"detail": "no"}, 400, {"x-request-id": "R7"})])
    server.answer = lambda request: next(refusals, None) or usual(request)
    model: Any = make(model="own/er").with_fallbacks([make()], exceptions_to_handle=(VoxtralError,))
    await ask(model, call_mode, "Hello!", config=config)
    names = ("ls_model_name", "cost", "attempts")
    assert told(recorder, *names) == [("own/er", None, 1), (MODEL, cost_in(call_mode), 1)]
    assert told(recorder, "request_id")[0] == ("R7",)
    assert [bool(one["error"]) for one in recorder.model_runs] == [True, False]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_settings_that_a_config_chooses_are_those_of_the_run(
    make: Make, recorder: TraceRecorder, config: Any, call_mode: str
) -> None:
    warm: Any = make().configurable_fields(temperature=ConfigurableField(id="warmth"))
    other: Any = warm.configurable_alternatives(
        ConfigurableField(id="size"), default_key="mini", small=make(model="own/er")
    )
    for chosen in ({"warmth": 0.9}, {"size": "small"}):
        await ask(other, call_mode, "Hello!", config={**config, "configurable": chosen})
    names = ("ls_model_name", "ls_temperature", "cost")
    cost = cost_in(call_mode)
    assert told(recorder, *names) == [(MODEL, 0.9, cost), ("own/er", 0.2, cost)]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_settings_that_a_call_leaves_to_the_server_are_not_in_its_run(
    make: Make, recorder: TraceRecorder, config: Any, call_mode: str
) -> None:
    model: Any = make(temperature=0.5, max_tokens=9, stop=["END"])
    left: dict[str, Any] = {"temperature": None, "max_new_tokens": None, "stop": []}
    await ask(model, call_mode, "Hello!", config=config, **left)
    assert told(recorder, "ls_temperature", "ls_max_tokens", "ls_stop") == [(None, None, None)]


async def test_events_of_version_2(make_chat: Make, recorder: TraceRecorder, config: Any) -> None:
    model: Any = make_chat()
    events = [one["event"] async for one in model.astream_events("Hello!", config, version="v2")]
    assert "on_chat_model_end" in events
    assert told(recorder, "cost") == [(0.0000386,)]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_run_within_a_function_that_langsmith_traces(
    make: Make, recorder: TraceRecorder, call_mode: str
) -> None:
    model = make()

    @traceable(client=recorder)
    async def answer(prompt: str) -> str:
        return await ask(model, call_mode, prompt)

    with tracing_context(enabled=True, client=recorder):
        await answer("Hello!")
    [outer] = [one for one in recorder.created if one["run_type"] == "chain"]
    [run] = recorder.model_runs
    assert (run["parent_run_id"], run["trace_id"]) == (outer["id"], outer["id"])
    assert told(recorder, "cost") == [(cost_in(call_mode),)]


def test_runs_within_a_group(make: Make, recorder: TraceRecorder) -> None:
    model: Any = make()
    with tracing_v2_enabled(client=recorder), trace_as_chain_group("two") as group:
        model.invoke("Hello!", {"callbacks": group})
        list(model.stream("Hello!", {"callbacks": group}))
        group.on_chain_end({})
    [outer] = [one for one in recorder.created if one["run_type"] == "chain"]
    assert [one["parent_run_id"] for one in recorder.model_runs] == [outer["id"]] * 2
    assert told(recorder, "cost") == [(0.0000436,), (0.0000386,)]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_listeners_read_the_cost(make: Make, call_mode: str) -> None:
    heard: list[Any] = []
    model: Any = make().with_listeners(on_end=lambda run: heard.append(run.extra["metadata"]))
    await ask(model, call_mode, "Hello!")
    assert [one.get("cost") for one in heard] == [cost_in(call_mode)]
