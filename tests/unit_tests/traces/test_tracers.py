"""Tracers other than LangSmith's, ways by which they are added, and what stands beside them."""

import copy
import json
import logging
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.callbacks import (
    BaseCallbackHandler,
    CallbackManager,
    UsageMetadataCallbackHandler,
)
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.ai import add_usage
from langchain_core.runnables import RunnableLambda
from langchain_core.tracers import LangChainTracer
from langchain_core.tracers.base import AsyncBaseTracer
from langchain_core.tracers.context import collect_runs
from langchain_core.tracers.run_collector import RunCollectorCallbackHandler
from langsmith import Client, tracing_context
from requests import Response
from requests.adapters import HTTPAdapter
from support.call_modes import CALL_MODES, ask, sum_of
from support.documented_exchanges import MODEL, USAGE, Server, answering
from support.trace_recorder import TraceRecorder

from langchain_voxtral import ChatVoxtral, VoxtralLLM

Make = Callable[..., ChatVoxtral | VoxtralLLM]


def costs_of(recorder: TraceRecorder) -> list[Any]:
    usages = [one["extra"]["metadata"]["usage_metadata"] for one in recorder.model_runs]
    return [(one["output_tokens"], one["total_cost"]) for one in usages]


def cost_in(call_mode: str) -> float:
    return 0.0000386 if "stream" in call_mode else 0.0000436


# Ways by which a tracer is added


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_tracer_of_the_model_itself(make: Make, call_mode: str) -> None:
    recorder = TraceRecorder()
    model = make(callbacks=[LangChainTracer(client=recorder)])
    await ask(model, call_mode, "Hello!")
    assert costs_of(recorder) == [(25, cost_in(call_mode))]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_tracer_in_a_manager_of_the_model(make: Make, call_mode: str) -> None:
    recorder = TraceRecorder()
    manager = CallbackManager([LangChainTracer(client=recorder)])
    await ask(make(callbacks=manager), call_mode, "Hello!")
    assert costs_of(recorder) == [(25, cost_in(call_mode))]
    assert [type(each) for each in manager.handlers] == [LangChainTracer]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_tracer_in_a_manager_of_the_call(make: Make, call_mode: str) -> None:
    recorder = TraceRecorder()
    manager = CallbackManager([LangChainTracer(client=recorder)])
    await ask(make(), call_mode, "Hello!", config={"callbacks": manager})
    assert costs_of(recorder) == [(25, cost_in(call_mode))]
    assert [type(each) for each in manager.handlers] == [LangChainTracer]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_tracer_of_the_environment(make: Make, call_mode: str) -> None:
    recorder = TraceRecorder()
    metadata = {"team": "sea"}
    with tracing_context(enabled=True, client=recorder, metadata=metadata, tags=["a"]):
        await ask(make(), call_mode, "Hello!")
    assert costs_of(recorder) == [(25, cost_in(call_mode))]
    [run] = recorder.model_runs
    assert run["extra"]["metadata"]["team"] == "sea"
    assert run["tags"] == ["a"]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_tracers_of_model_and_environment_trace_a_call_once(
    make: Make, call_mode: str
) -> None:
    recorder = TraceRecorder()
    model = make(callbacks=[LangChainTracer(client=recorder)])
    with tracing_context(enabled=True, client=recorder, metadata={"team": "sea"}):
        await ask(model, call_mode, "Hello!")
    assert len({one["id"] for one in recorder.created}) == 1
    assert costs_of(recorder)[0] == (25, cost_in(call_mode))


def test_a_tracer_of_the_runnable_that_calls_the_model(make: Make) -> None:
    recorder = TraceRecorder()
    model = make()
    answer: Any = RunnableLambda(lambda word: "".join(map(str, model.stream(word))))
    answer.invoke("Hello!", {"callbacks": [LangChainTracer(client=recorder)]})
    assert costs_of(recorder) == [(25, 0.0000386)]
    [run] = recorder.model_runs
    [outer] = [one for one in recorder.created if one["run_type"] == "chain"]
    assert run["parent_run_id"] == outer["id"]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_runs_that_are_collected(make: Make, call_mode: str) -> None:
    with collect_runs() as collected:
        await ask(make(), call_mode, "Hello!")
    [run] = collected.traced_runs
    assert run.extra["metadata"]["cost"] == cost_in(call_mode)
    usage = USAGE | {"total_cost": cost_in(call_mode)}
    assert run.extra["metadata"]["usage_metadata"] == usage


class Sent(HTTPAdapter):
    """Takes what LangSmith's client sends."""

    def __init__(self) -> None:
        super().__init__()
        self.bodies: list[Any] = []

    def send(self, request: Any, *_: Any, **__: Any) -> Response:
        self.bodies.append(json.loads(request.body))
        response = Response()
        response.status_code = 200
        return response


def test_langsmiths_own_client_sends_the_cost(make: Make) -> None:
    client, sent = Client("http://127.0.0.1:9", auto_batch_tracing=False, info={}), Sent()
    client.session.mount("http://", sent)
    make().invoke("Hello!", {"callbacks": [LangChainTracer(client=client)]})
    [started, ended] = sent.bodies
    assert "cost" not in started["extra"]["metadata"]
    told = ended["extra"]["metadata"]
    assert (told["cost"], told["usage_metadata"]["total_cost"]) == (0.0000436, 0.0000436)


def test_copies_of_a_runs_metadata_are_plain(make: Make) -> None:
    with collect_runs() as collected:
        make().invoke("Hello!")
    metadata = collected.traced_runs[0].extra["metadata"]
    for copied in (copy.deepcopy(metadata), pickle.loads(pickle.dumps(metadata))):  # noqa: S301
        assert type(copied) is dict
        assert copied == metadata


def answer_by_number(request: Any) -> Any:
    """Answer the second question with twice the tokens, at twice the cost, as the first."""
    number = 1 + (b"second" in request.content)
    cost = {"cost": number / 1000, "tokens_input": 1, "tokens_generated": number}
    results = [{"generated_text": "Hi"}]
    return answering({"inference_status": cost, "results": results, "request_id": str(number)})


@pytest.mark.parametrize("is_async", [False, True])
async def test_each_question_of_one_call_has_its_own_facts(
    make: Make, server: Server, is_async: bool
) -> None:
    recorder = TraceRecorder()
    server.answer = answer_by_number
    model: Any = make()
    tracers = [LangChainTracer(client=recorder)]
    texts = ["first", "second"]
    is_chat = isinstance(model, ChatVoxtral)
    given = [[HumanMessage(text)] for text in texts] if is_chat else texts
    if is_async:
        await model.abatch(texts, {"callbacks": tracers})
        await model.agenerate(given, callbacks=tracers)
        await model.agenerate(given, None, tracers)
    else:
        model.batch(texts, {"callbacks": tracers})
        model.generate(given, callbacks=tracers)
        model.generate(given, None, tracers)
    told = [one["extra"]["metadata"] for one in recorder.model_runs]
    assert sorted(costs_of(recorder)) == [(1, 0.001)] * 3 + [(2, 0.002)] * 3
    assert sorted(one["request_id"] for one in told) == ["1"] * 3 + ["2"] * 3
    assert [one["ls_model_name"] for one in told] == [MODEL] * 6


@pytest.mark.parametrize("is_async", [False, True])
async def test_each_prompt_of_an_llm_may_have_its_own_tracer(
    make_llm: Make, server: Server, is_async: bool
) -> None:
    recorders = [TraceRecorder(), TraceRecorder()]
    server.answer = answer_by_number
    llm: Any = make_llm()
    tracers = [[LangChainTracer(client=recorder)] for recorder in recorders]
    if is_async:
        await llm.agenerate(["first", "second"], callbacks=tracers)
    else:
        llm.generate(["first", "second"], callbacks=tracers)
    assert list(map(costs_of, recorders)) == [[(1, 0.001)], [(2, 0.002)]]
    [told] = [one["extra"]["metadata"] for one in recorders[1].model_runs]
    assert told["ls_model_name"] == MODEL


# What stands beside a tracer


class Listener(BaseCallbackHandler):
    """Records the names of events."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_chat_model_start(self, *_: Any, **__: Any) -> None:
        self.events.append("start")

    def on_llm_start(self, *_: Any, **__: Any) -> None:
        self.events.append("start")

    def on_llm_end(self, *_: Any, **__: Any) -> None:
        self.events.append("end")


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_handler_beside_a_tracer_gets_all_events(make: Make, call_mode: str) -> None:
    listener = Listener()
    with collect_runs():
        await ask(make(), call_mode, "Hello!", config={"callbacks": [listener]})
    assert listener.events == ["start", "end"]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_langchains_sum_of_usage_beside_a_tracer(
    make_chat: Make, call_mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    recorder, usage = TraceRecorder(), UsageMetadataCallbackHandler()
    config = {"callbacks": [LangChainTracer(client=recorder), usage]}
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            await ask(make_chat(), call_mode, "Hello!", config=config)
    assert usage.usage_metadata == {
        MODEL: {"input_tokens": 36, "output_tokens": 75, "total_tokens": 111}
    }
    assert caplog.records == []


def test_messages_of_traced_calls_add_up_and_are_plain(make_chat: Make) -> None:
    config: Any = {"callbacks": [LangChainTracer(client=TraceRecorder())]}
    chat: Any = make_chat()
    chunks = list(chat.stream("Hello!", config))
    whole, other = sum_of(chunks), sum_of(list(chat.stream("Hello!", config)))
    assert whole.usage_metadata == USAGE
    assert (whole + other).usage_metadata == add_usage(USAGE, USAGE)
    message = chat.invoke("Hello!", config)
    assert message.usage_metadata == USAGE
    assert pickle.loads(pickle.dumps(message)) == message  # noqa: S301
    assert AIMessage.model_validate_json(message.model_dump_json()) == message


class AsyncCollector(AsyncBaseTracer):
    """Keeps the runs that have ended; an asynchronous manager does not call it in a thread."""

    def __init__(self) -> None:
        super().__init__(_schema_format="original+chat")
        self.runs: list[Any] = []

    async def _persist_run(self, run: Any) -> None:
        self.runs.append(run)


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_an_asynchronous_tracer(make: Make, call_mode: str) -> None:
    tracer = AsyncCollector()
    await ask(make(), call_mode, "Hello!", config={"callbacks": [tracer]})
    [run] = tracer.runs
    assert run.extra["metadata"]["cost"] == cost_in(call_mode)


class Elsewhere(LangChainTracer):
    """A tracer of a LangChain that keeps runs otherwise."""

    def _start_trace(self, run: Any) -> None:
        super()._start_trace(run)
        self.run_map[f"run {run.id}"] = self.run_map.pop(str(run.id))

    def _get_run(self, run_id: Any, run_type: Any = None) -> Any:
        return self.run_map[f"run {run_id}"]

    def _end_trace(self, run: Any) -> None:
        self.run_map[str(run.id)] = self.run_map.pop(f"run {run.id}")
        super()._end_trace(run)


def test_a_tracer_that_keeps_its_runs_otherwise_has_a_run_without_cost(make: Make) -> None:
    recorder = TraceRecorder()
    make().invoke("Hello!", {"callbacks": [Elsewhere(client=recorder)]})
    [run] = recorder.model_runs
    assert run["extra"]["metadata"]["usage_metadata"] == USAGE
    assert "cost" not in run["extra"]["metadata"]


class OwnSpans(RunCollectorCallbackHandler):
    """A tracer whose spans are of another kind than OpenInference's."""

    run_inline = True  # as LangSmith's, or LangChain would not tell it of an LLM's start

    def get_span(self) -> None:
        raise AssertionError


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_what_fails_with_one_tracer_does_not_cost_another_its_facts(
    make: Make, call_mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    recorder, first = TraceRecorder(), OwnSpans()
    config = {"callbacks": [first, LangChainTracer(client=recorder)]}
    await ask(make(), call_mode, "Hello!", config=config)
    assert costs_of(recorder) == [(25, cost_in(call_mode))]
    [run] = first.traced_runs
    assert run.extra["metadata"]["cost"] == cost_in(call_mode)
    [warning] = caplog.messages
    assert "RunFacts.on_llm_end callback: TypeError" in warning
