"""The run of each call in LangSmith: model, settings, usage, cost and what else the server told."""

import asyncio
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import Runnable
from langchain_core.tracers import LangChainTracer
from pydantic import SecretStr
from support.agent_runs import PARIS, QUESTION, SUNNY, get_weather, run, scripted
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import (
    FINAL_EVENT,
    HELLO_ANSWER,
    KEY,
    MODEL,
    STREAM,
    USAGE,
    Server,
    answering,
    streaming,
    token_event,
)
from support.stored_recordings import StoredRecordings
from support.tool_dialects import CHAT, LLAMA3, Dialect
from support.trace_recorder import TraceRecorder

from langchain_voxtral import ChatVoxtral, VoxtralLLM, __version__
from langchain_voxtral.errors import (
    VoxtralAuthenticationError,
    VoxtralIncompleteStreamError,
    VoxtralInvalidRequestError,
)
from langchain_voxtral.prompts import FORMATS

pytestmark = pytest.mark.filterwarnings("ignore:.*is in beta")

Make = Callable[..., ChatVoxtral | VoxtralLLM]
SETTINGS: dict[str, Any] = {"max_tokens": 64, "temperature": 0.5, "stop": ["END"]}
STARTED = {
    "ls_provider": "deepinfra",
    "ls_model_name": MODEL,
    "ls_temperature": 0.5,
    "ls_max_tokens": 64,
    "ls_stop": ["END"],
}
ENDED: dict[str, Any] = {"attempts": 1, "endpoint": "native", "prompt_format": "llama3"}
WHOLE = ENDED | {
    "finish_reason": "stop",
    "request_id": "RWZDRhS5kdoM1XWwXLEshynO",
    "runtime_ms": 243,
    "cost": 0.0000436,
    "usage_metadata": USAGE | {"total_cost": 0.0000436},
}
STREAMED = ENDED | {
    "finish_reason": "stop",
    "cost": 0.0000386,
    "usage_metadata": USAGE | {"total_cost": 0.0000386},
}
RESUMED = STREAMED | {
    "attempts": 2,
    "resumes": 1,
    "cost_complete": False,
    "usage_incomplete": True,
    "usage_metadata": {
        "input_tokens": 12,
        "output_tokens": 2 + 25,
        "total_tokens": 39,
        "total_cost": 0.0000386,
    },
}
CACHED = ENDED | {
    "attempts": 0,
    "finish_reason": "stop",
    "request_id": "RWZDRhS5kdoM1XWwXLEshynO",
    "cost": 0,
    "usage_metadata": USAGE | {"total_cost": 0},
}
CHAT_WHOLE = {
    "attempts": 1,
    "endpoint": "chat_completions",
    "request_id": "chatcmpl-guMTxWgpFf",
    "finish_reason": "stop",
    "cost": 0.0000436,
    "usage_metadata": USAGE | {"total_cost": 0.0000436},
}
NAMES = {*STARTED, *RESUMED, *WHOLE, "status_code"}
STARTS, TOKENS, ENDS = ["start"], ["start", "new_token", "end"], ["start", "end"]


def facts_of(recorder: TraceRecorder) -> list[dict[str, Any]]:
    """Return what is asserted of the metadata of each run of a model, as it ended."""
    assert KEY not in recorder.everything
    runs = [one["extra"]["metadata"] for one in recorder.model_runs]
    assert [one["lc_versions"]["langchain-voxtral"] for one in runs] == [__version__] * len(runs)
    return [{name: value for name, value in one.items() if name in NAMES} for one in runs]


def events_of(recorder: TraceRecorder) -> list[list[str]]:
    return [[event["name"] for event in one["events"]] for one in recorder.model_runs]


class End(AsyncCallbackHandler):
    """Waits for the end of a run, which comes after the last event of version 3."""

    def __init__(self) -> None:
        self.has_come = asyncio.Event()

    async def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.has_come.set()

    on_llm_error = on_llm_end


async def call(model: Runnable[Any, Any], call_mode: str, config: Any, given: Any) -> None:
    """Call a model in any mode; `batch` with two inputs."""
    if call_mode == "batch":
        model.batch([given] * 2, config)
    elif call_mode == "abatch":
        await model.abatch([given] * 2, config)
    elif call_mode == "stream_events":
        stream: Any = model.stream_events(given, config, version="v3")
        assert stream.output.usage_metadata == USAGE
    elif call_mode == "astream_events":
        end = End()
        config = {"callbacks": [*config["callbacks"], end]}
        stream = await model.astream_events(given, config, version="v3")
        try:
            assert (await stream.output).usage_metadata == USAGE
        finally:
            await end.has_come.wait()
    else:
        await ask(model, call_mode, given, config=config)


BOTH: list[Any] = [
    ("invoke", {}, [WHOLE], ENDS),
    ("ainvoke", {}, [WHOLE], ENDS),
    ("stream", {}, [STREAMED], TOKENS),
    ("astream", {}, [STREAMED], TOKENS),
    ("batch", {}, [WHOLE] * 2, ENDS),
    ("abatch", {}, [WHOLE] * 2, ENDS),
]
OF_CHATS: list[Any] = [
    ("invoke", {"streaming": True}, [STREAMED], TOKENS),
    ("ainvoke", {"streaming": True}, [STREAMED], TOKENS),
    ("stream", {"disable_streaming": True}, [WHOLE], ENDS),
    ("astream", {"disable_streaming": True}, [WHOLE], ENDS),
    ("invoke", {"output_version": "v1"}, [WHOLE], ENDS),
    ("stream", {"output_version": "v1"}, [STREAMED], TOKENS),
    ("stream_events", {}, [STREAMED], TOKENS),
    ("astream_events", {}, [STREAMED], TOKENS),
]
CALLS = [
    *((ChatVoxtral, *one) for one in [*BOTH, *OF_CHATS]),
    *((VoxtralLLM, *one) for one in BOTH),
]


@pytest.mark.parametrize("case", CALLS, ids=lambda case: f"{case[0].__name__}-{case[1]}-{case[2]}")
async def test_a_run_has_all_that_is_known_of_its_call(server: Server, case: Any) -> None:
    model_class, call_mode, fields, ended, events = case
    recorder = TraceRecorder()
    model = model_class(**{"api_key": KEY, **server.settings, **SETTINGS, **fields})
    await call(model, call_mode, {"callbacks": [LangChainTracer(client=recorder)]}, "Hello!")
    assert facts_of(recorder) == [STARTED | one for one in ended]
    assert events_of(recorder) == [events] * len(ended)


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_the_settings_of_a_call_are_those_of_its_run(make: Make, call_mode: str) -> None:
    recorder = TraceRecorder()
    bound = make(**SETTINGS).bind(temperature=1.0, max_new_tokens=9, stop_sequences=["no"])
    config: Any = {"callbacks": [LangChainTracer(client=recorder)]}
    await call(bound.with_retry(), call_mode, config, "Hello!")
    [facts] = facts_of(recorder)
    assert {name: facts[name] for name in STARTED} == STARTED | {
        "ls_temperature": 1.0,
        "ls_max_tokens": 9,
        "ls_stop": ["no"],
    }


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_resumed_stream_says_that_its_cost_is_a_part(
    make: Make, server: Server, call_mode: str
) -> None:
    recorder = TraceRecorder()
    legs = iter([STREAM[:2], [token_event(" It"), token_event("'s"), FINAL_EVENT]])
    server.answer = lambda _: streaming(*next(legs))
    model = make(**SETTINGS, max_stream_resumes=1)
    await call(model, call_mode, {"callbacks": [LangChainTracer(client=recorder)]}, "Hello!")
    assert facts_of(recorder) == [STARTED | RESUMED]
    assert events_of(recorder) == [TOKENS]


@pytest.mark.parametrize("call_mode", ["invoke", "ainvoke"])
async def test_a_cached_answer_costs_nothing(make_chat: Make, call_mode: str) -> None:
    recorder = TraceRecorder()
    chat = make_chat(**SETTINGS, cache=InMemoryCache())
    for _ in range(2):
        await call(chat, call_mode, {"callbacks": [LangChainTracer(client=recorder)]}, "Hello!")
    assert facts_of(recorder) == [STARTED | WHOLE, STARTED | CACHED]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_repeated_request_tells_its_attempts(
    make: Make, server: Server, call_mode: str
) -> None:
    recorder, usual = TraceRecorder(), server.answer
    refusals = iter([answering({"detail": "busy"}, 429, {"retry-after": "0"})])
    server.answer = lambda request: next(refusals, None) or usual(request)
    config: Any = {"callbacks": [LangChainTracer(client=recorder)]}
    await call(make(**SETTINGS), call_mode, config, "Hello!")
    ended = STREAMED if "stream" in call_mode else WHOLE
    assert facts_of(recorder) == [STARTED | ended | {"attempts": 2}]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_failed_call_is_a_failed_run_with_its_status_and_request_id(
    make: Make, server: Server, call_mode: str
) -> None:
    recorder = TraceRecorder()
    echo = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}
    server.answer = lambda _: answering(echo, 401, {"x-request-id": "R7"})
    config: Any = {"callbacks": [LangChainTracer(client=recorder)]}
    with pytest.raises(VoxtralAuthenticationError):
        await call(make(**SETTINGS), call_mode, config, "Hello!")
    # LangChain writes the setting for every run; no answer has contradicted it.
    known = {"request_id": "R7", "attempts": 1, "status_code": 401, "prompt_format": "llama3"}
    assert facts_of(recorder) == [STARTED | known]
    assert "Incorrect API key provided: [redacted]" in recorder.model_runs[0]["error"]


@pytest.mark.parametrize("call_mode", ["stream_events", "astream_events"])
async def test_failed_events_of_version_3_are_a_failed_run(
    make_chat: Make, server: Server, call_mode: str
) -> None:
    recorder = TraceRecorder()
    server.answer = lambda _: answering({"detail": "no"}, 400, {"x-request-id": "R7"})
    config: Any = {"callbacks": [LangChainTracer(client=recorder)]}
    with pytest.raises(VoxtralInvalidRequestError):
        await call(make_chat(**SETTINGS), call_mode, config, "Hello!")
    known = {"request_id": "R7", "status_code": 400, "attempts": 1, "prompt_format": "llama3"}
    assert facts_of(recorder) == [STARTED | known]


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_stream_that_breaks_off_is_a_failed_run(
    make: Make, server: Server, call_mode: str
) -> None:
    recorder = TraceRecorder()
    server.answer = lambda _: streaming(*STREAM[:2])
    config: Any = {"callbacks": [LangChainTracer(client=recorder)]}
    with pytest.raises(VoxtralIncompleteStreamError):
        await call(make(**SETTINGS), call_mode, config, "Hello!")
    came = {"usage_metadata": {"output_tokens": 2}, "usage_incomplete": True}
    assert facts_of(recorder) == [STARTED | {"attempts": 1, "prompt_format": "llama3"} | came]
    assert events_of(recorder) == [["start", "new_token", "error"]]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_chains_model_has_a_run_of_its_own(make: Make, call_mode: str) -> None:
    recorder = TraceRecorder()
    prompt = ChatPromptTemplate.from_messages([("human", "{word}!")])
    chain = prompt | make(**SETTINGS) | StrOutputParser()
    config: Any = {"callbacks": [LangChainTracer(client=recorder)]}
    await call(chain, call_mode, config, {"word": "Hello"})
    assert facts_of(recorder) == [STARTED | (STREAMED if "stream" in call_mode else WHOLE)]
    chain_runs = [one for one in recorder.updated if one["run_type"] == "chain"]
    assert not any("cost" in one["extra"].get("metadata", {}) for one in chain_runs)


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize("dialect", [LLAMA3, CHAT], ids=lambda dialect: dialect.name)
async def test_each_call_of_an_agent_has_a_run_of_its_own(dialect: Dialect, call_mode: str) -> None:
    agents = pytest.importorskip("langchain.agents", reason="the floor has no langchain")
    recorder = TraceRecorder()
    with scripted(dialect, call_mode, [PARIS], SUNNY) as server:
        chat = ChatVoxtral(base_url=server.url, api_key=SecretStr(KEY), **dialect.fields)
        agent = agents.create_agent(chat, [get_weather])
        config: Any = {"callbacks": [LangChainTracer(client=recorder)]}
        await run(agent, call_mode, QUESTION, config)
    costs = [0.0000386 if "stream" in call_mode else 0.0000436] * 2
    facts = facts_of(recorder)
    assert [one["cost"] for one in facts] == costs
    assert [one["usage_metadata"] for one in facts] == [
        USAGE | {"total_cost": cost} for cost in costs
    ]
    native = [("native", "llama3")] * 2
    assert [(one["endpoint"], one.get("prompt_format")) for one in facts] == (
        native if dialect is LLAMA3 else [("chat_completions", None)] * 2
    )


def test_the_endpoint_for_recordings_has_no_prompt_format(server: Server) -> None:
    recorder = TraceRecorder()
    server.answer = lambda _: httpx.Response(200, content=CHAT.whole("Well.").body)
    chat = ChatVoxtral(
        api_key=SecretStr(KEY), api="chat_completions", **server.settings, **SETTINGS
    )
    chat.invoke("Hello!", {"callbacks": [LangChainTracer(client=recorder)]})
    assert facts_of(recorder) == [STARTED | CHAT_WHOLE]


@pytest.mark.parametrize("call_mode", ["invoke", "ainvoke"])
async def test_a_recording_by_reference_is_traced_by_its_hash(
    server: Server, call_mode: str
) -> None:
    recorder, recordings = TraceRecorder(), StoredRecordings(server)
    question = recordings.ask()
    config: Any = {"callbacks": [LangChainTracer(client=recorder)]}
    await call(recordings.chat, call_mode, config, [question])
    assert len(recordings.sent) == 1
    [sent] = [one["inputs"]["messages"][0][0]["kwargs"]["content"] for one in recorder.created]
    assert sent == question.content
    assert len(recorder.everything) < 20_000
    assert "base64" not in recorder.everything


def test_an_answer_without_usage_has_its_cost(make: Make, server: Server) -> None:
    recorder = TraceRecorder()
    told = {"inference_status": {"cost": 0.002}, "results": HELLO_ANSWER["results"]}
    server.answer = lambda _: answering(told)
    make(**SETTINGS).invoke("Hello!", {"callbacks": [LangChainTracer(client=recorder)]})
    expected = STARTED | ENDED | {"cost": 0.002, "usage_metadata": {"total_cost": 0.002}}
    assert facts_of(recorder) == [expected]


def test_an_answer_without_cost_has_none(make: Make, server: Server) -> None:
    recorder = TraceRecorder()
    told = {name: HELLO_ANSWER[name] for name in ("results", "num_tokens", "num_input_tokens")}
    server.answer = lambda _: answering(told)
    make(**SETTINGS).invoke("Hello!", {"callbacks": [LangChainTracer(client=recorder)]})
    expected = STARTED | ENDED | {"finish_reason": "stop", "usage_metadata": USAGE}
    assert facts_of(recorder) == [expected]


def test_a_run_names_the_model_that_answered(make: Make, server: Server) -> None:
    recorder = TraceRecorder()
    server.answer = lambda _: answering(HELLO_ANSWER, headers={"x-voxtral-model": "small"})
    make().invoke("Hello!", {"callbacks": [LangChainTracer(client=recorder)]})
    [run] = recorder.model_runs
    metadata = run["extra"]["metadata"]
    assert (metadata["ls_model_name"], metadata["model_name"]) == (MODEL, "small")


def test_the_usage_of_several_answers_is_that_of_the_request(make: Make) -> None:
    recorder = TraceRecorder()
    make(**SETTINGS, n=2).invoke("Hello!", {"callbacks": [LangChainTracer(client=recorder)]})
    assert facts_of(recorder) == [STARTED | WHOLE]


def test_a_format_of_the_users_own_is_called_custom(make_chat: Make) -> None:
    recorder = TraceRecorder()
    chat = make_chat(**SETTINGS, prompt_format=FORMATS["mistral"])
    chat.invoke("Hello!", {"callbacks": [LangChainTracer(client=recorder)]})
    assert facts_of(recorder) == [STARTED | WHOLE | {"prompt_format": "custom"}]
