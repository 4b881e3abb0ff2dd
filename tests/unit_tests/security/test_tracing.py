"""Traces: what LangSmith receives, and that it never includes a key."""

from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_core.tracers import LangChainTracer
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import KEY, Server, answering
from support.trace_recorder import TraceRecorder

from langchain_voxtral import ChatVoxtral, VoxtralLLM, __version__
from langchain_voxtral.errors import VoxtralAuthenticationError

Make = Callable[..., ChatVoxtral | VoxtralLLM]
USAGE = {"input_tokens": 12, "output_tokens": 25, "total_tokens": 37}
MODEL = "mistralai/Voxtral-Mini-3B-2507"


@pytest.fixture
def recorder() -> TraceRecorder:
    return TraceRecorder()


def traced(recorder: TraceRecorder) -> RunnableConfig:
    return {"callbacks": [LangChainTracer(client=recorder)]}


def assert_complete(run: dict[str, Any], kind: str) -> None:
    metadata = run["extra"]["metadata"]
    assert {name: metadata[name] for name in metadata if name.startswith("ls_")} == {
        "ls_provider": "deepinfra",
        "ls_model_name": MODEL,
        "ls_model_type": kind,
        "ls_temperature": 0.2,
        **{name: metadata[name] for name in ("ls_integration",) if name in metadata},
    }
    assert metadata["usage_metadata"] == USAGE | {"total_cost": metadata["cost"]}
    assert metadata["lc_versions"]["langchain-voxtral"] == __version__


def kind_of(model: ChatVoxtral | VoxtralLLM) -> str:
    return "chat" if isinstance(model, ChatVoxtral) else "llm"


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_every_call_mode_is_traced_with_model_and_usage(
    make: Make, recorder: TraceRecorder, call_mode: str
) -> None:
    model = make()
    await ask(model, call_mode, "Hello!", config=traced(recorder))
    (run,) = recorder.model_runs
    assert_complete(run, kind_of(model))
    assert KEY not in recorder.everything


@pytest.mark.parametrize("call_mode", ["batch", "abatch"])
async def test_every_prompt_of_a_batch_is_traced_with_model_and_usage(
    make: Make, recorder: TraceRecorder, call_mode: str
) -> None:
    model = make()
    if call_mode == "batch":
        model.batch(["Hello!"] * 2, config=traced(recorder))
    else:
        await model.abatch(["Hello!"] * 2, config=traced(recorder))
    assert len(recorder.model_runs) == 2
    for run in recorder.model_runs:
        assert_complete(run, kind_of(model))
    assert KEY not in recorder.everything


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_chain_is_traced_with_model_and_usage(
    make: Make, recorder: TraceRecorder, call_mode: str
) -> None:
    model = make()
    prompt = ChatPromptTemplate.from_messages([("human", "{word}!")])
    chain = prompt.pipe(model, StrOutputParser())
    await ask(chain, call_mode, {"word": "Hello"}, config=traced(recorder))
    (run,) = recorder.model_runs
    assert_complete(run, kind_of(model))
    assert KEY not in recorder.everything


def test_options_of_a_call_are_traced_in_any_spelling(make: Make, recorder: TraceRecorder) -> None:
    make(max_tokens=9, stop=["constructor"]).invoke(
        "Hello!",
        config=traced(recorder),
        model_name="own/er",
        max_new_tokens=5,
        temperature=0.9,
        stop=["call"],
    )
    metadata = recorder.model_runs[0]["extra"]["metadata"]
    assert metadata["ls_model_name"] == "own/er"
    assert metadata["ls_max_tokens"] == 5
    assert metadata["ls_temperature"] == 0.9
    assert metadata["ls_stop"] == ["call"]


def test_the_constructors_stops_are_traced(make: Make, recorder: TraceRecorder) -> None:
    make(stop=["constructor"]).invoke("Hello!", config=traced(recorder))
    assert recorder.model_runs[0]["extra"]["metadata"]["ls_stop"] == ["constructor"]


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize("status", [200, 401])
async def test_no_trace_shows_a_key_that_a_server_echoes(
    make: Make, server: Server, recorder: TraceRecorder, call_mode: str, status: int
) -> None:
    echo = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}
    server.answer = lambda _: answering(echo, status, {"x-request-id": f"for-{KEY}"})
    secret_header = {"x-team-token": f"Bearer team-{KEY}"}
    model = make(default_headers=secret_header, max_retries=0)
    with pytest.raises(VoxtralAuthenticationError) as caught:
        await ask(model, call_mode, "Hello!", config=traced(recorder))
    (run,) = recorder.model_runs
    assert "Incorrect API key provided: [redacted]" in run["error"]
    assert KEY not in recorder.everything
    assert KEY not in str(caught.value)
