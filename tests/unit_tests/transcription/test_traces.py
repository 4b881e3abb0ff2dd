"""Traces of transcriptions: what LangSmith receives of each request."""

import asyncio
import base64
from typing import Any

import pytest
from langchain_core.language_models.fake_chat_models import ParrotFakeChatModel
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tracers import LangChainTracer
from langchain_core.tracers.context import collect_runs, tracing_v2_enabled
from support.run_log import RunLog
from support.scripted_server import End, Reply, ScriptedServer
from support.sse_replies import events, json_reply
from support.trace_recorder import TraceRecorder
from support.transcription_calls import (
    BUSY,
    HELLO,
    KEY,
    LONG,
    MODEL,
    PARSES,
    SHORT,
    parser_of,
    transcription_reply,
)
from support.transcription_streams import END, MODES, delta, parser_at, transcriber_at
from support.transcription_ways import SOME_WAYS, WAYS

from langchain_voxtral import VoxtralTranscriber, __version__
from langchain_voxtral.errors import (
    VoxtralAudioError,
    VoxtralIncompleteStreamError,
    VoxtralRateLimitError,
)

COUNTED = transcription_reply(
    "Hello.", usage={"prompt_tokens": 380, "completion_tokens": 4, "estimated_cost": 0.0000875}
)
TOKENS = {"input_tokens": 380, "output_tokens": 4, "total_tokens": 384}


@pytest.fixture
def recorder() -> TraceRecorder:
    return TraceRecorder()


def traced(recorder: TraceRecorder, *others: Any) -> Any:
    return {"callbacks": [LangChainTracer(client=recorder), *others]}


def told(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return metadata without the versions of packages, which are checked here."""
    metadata = dict(metadata)
    assert metadata.pop("lc_versions")["langchain-voxtral"] == __version__
    return metadata


@pytest.mark.parametrize("way", SOME_WAYS)
def test_the_trace_of_a_request_has_its_tokens_and_its_cost(
    way: str, recorder: TraceRecorder
) -> None:
    with ScriptedServer(default=COUNTED) as server:
        WAYS[way](parser_of(server, price_per_minute=1), SHORT, traced(recorder))
    [run] = recorder.model_runs
    [chain] = [each for each in recorder.created if each["run_type"] == "chain"]
    assert run["parent_run_id"] == chain["id"]
    assert told(run["extra"]["metadata"]) == {
        "ls_provider": "deepinfra",
        "ls_model_name": MODEL,
        "ls_model_type": "llm",
        "ls_temperature": 0.0,
        "audio_seconds": 2.0,
        "estimated_cost_usd": pytest.approx(2 / 60),
        "attempts": 1,
        "model_name": MODEL,
        "endpoint": "transcriptions",
        "request_id": "id-Hello.",
        "cost": 0.0000875,
        "cost_source": "server",
        "usage_metadata": TOKENS | {"total_cost": 0.0000875},
    }
    [[generation]] = run["outputs"]["generations"]
    assert generation["text"] == "Hello."
    assert [event["name"] for event in run["events"]] == ["start", "end"]


@pytest.mark.parametrize("way", SOME_WAYS)
def test_each_chunk_has_its_own_facts_in_the_trace(way: str, recorder: TraceRecorder) -> None:
    """The estimated cost is in the usage that LangSmith reads; no tokens are made up."""
    with ScriptedServer(default=HELLO) as server:
        parser = parser_of(server, chunk_seconds=11, price_per_minute=0.6)
        WAYS[way](parser, LONG, traced(recorder))
    runs = sorted(recorder.model_runs, key=lambda run: str(run["inputs"]))
    metadata = [run["extra"]["metadata"] for run in runs]
    assert [each["audio_seconds"] for each in metadata] == [9.85, 10.0, 10.15]
    assert [each["usage_metadata"] for each in metadata] == [
        {"total_cost": pytest.approx(cost)} for cost in (0.0985, 0.1, 0.1015)
    ]
    assert {each["cost_source"] for each in metadata} == {"estimated"}
    assert len({run["parent_run_id"] for run in runs} - {None}) == 1
    created = [run for run in recorder.created if run["run_type"] == "llm"]
    assert len(created) == len(runs) == 3


@pytest.mark.parametrize("mode", MODES)
def test_the_trace_of_streamed_text_has_its_first_token(mode: str, recorder: TraceRecorder) -> None:
    with ScriptedServer(events(delta(" Good"), delta(" morning."), END)) as server:
        WAYS[mode](parser_at(server), SHORT, traced(recorder))
    [run] = recorder.model_runs
    assert [event["name"] for event in run["events"]] == ["start", "new_token", "end"]
    assert run["extra"]["metadata"]["usage_metadata"]["output_tokens"] == 4
    assert run["extra"]["metadata"]["finish_reason"] == "stop"


@pytest.mark.parametrize("way", ["parse", "aparse"])
def test_the_trace_of_a_failure_has_the_attempts(way: str, recorder: TraceRecorder) -> None:
    busy = Reply(429, {"retry-after": "0", "x-request-id": "R9", **BUSY.headers}, BUSY.body)
    with ScriptedServer(default=busy) as server, pytest.raises(VoxtralRateLimitError):
        WAYS[way](parser_of(server, max_retries=1), SHORT, traced(recorder))
    [run] = recorder.model_runs
    assert "VoxtralRateLimitError" in run["error"]
    metadata = run["extra"]["metadata"]
    assert (metadata["attempts"], metadata["request_id"]) == (2, "R9")
    assert "usage_metadata" not in metadata


@pytest.mark.parametrize("mode", MODES)
def test_the_trace_of_a_broken_stream_has_the_text_so_far(
    mode: str, recorder: TraceRecorder
) -> None:
    with (
        ScriptedServer(events(delta(" Good"), End.CUT)) as server,
        pytest.raises(VoxtralIncompleteStreamError),
    ):
        WAYS[mode](parser_at(server), SHORT, traced(recorder))
    [run] = recorder.model_runs
    assert run["outputs"]["generations"][0][0]["text"] == "Good"
    assert run["extra"]["metadata"]["endpoint"] == "transcriptions"


@pytest.mark.parametrize("method", PARSES)
def test_a_parser_alone_is_traced_by_the_context(method: str, recorder: TraceRecorder) -> None:
    with ScriptedServer(default=COUNTED) as server, tracing_v2_enabled(client=recorder):
        PARSES[method](parser_of(server), SHORT)
    [run] = recorder.model_runs
    assert run["parent_run_id"] is None
    assert run["extra"]["metadata"]["cost"] == 0.0000875


def test_other_tracers_get_the_same_facts() -> None:
    with ScriptedServer(default=COUNTED) as server, collect_runs() as runs:
        VoxtralTranscriber(parser_of(server)).invoke(SHORT)
    [chain] = runs.traced_runs
    [run] = chain.child_runs
    assert run.extra["metadata"]["cost"] == 0.0000875


def test_a_chain_is_traced_with_the_request_below_the_transcriber(recorder: TraceRecorder) -> None:
    prompt = ChatPromptTemplate.from_template("Sum up: {talk}")
    with ScriptedServer(default=COUNTED) as server:
        chain = VoxtralTranscriber(parser_of(server)) | prompt | ParrotFakeChatModel()
        chain.invoke(SHORT, traced(recorder))
    by_id = {str(run["id"]): run for run in recorder.created}
    [request] = [run for run in recorder.created if run["name"] == "VoxtralTranscription"]
    transcriber = by_id[str(request["parent_run_id"])]
    assert transcriber["name"] == "VoxtralTranscriber"
    assert by_id[str(transcriber["parent_run_id"])]["name"] == "RunnableSequence"


@pytest.mark.parametrize("way", SOME_WAYS)
def test_traces_hold_neither_the_key_nor_the_audio(way: str, recorder: TraceRecorder) -> None:
    echo = json_reply({"error": {"message": f"Invalid key {KEY}"}}, status=400)
    with ScriptedServer(HELLO, echo) as server:
        parser = parser_of(server, max_concurrency=1)
        WAYS[way](parser, SHORT, traced(recorder))
        with pytest.raises(Exception, match="redacted"):
            WAYS[way](parser, SHORT, traced(recorder))
    assert len(recorder.model_runs) == 2
    assert KEY not in recorder.everything
    for sample in (SHORT, LONG):
        assert base64.b64encode(sample[60:90]).decode() not in recorder.everything
    assert len(recorder.everything) < 60_000


def test_the_trace_of_base64_that_is_mistaken_for_a_path_has_its_beginning_only(
    recorder: TraceRecorder,
) -> None:
    given = base64.b64encode(SHORT).decode()
    with pytest.raises(VoxtralAudioError, match="File name too long"):
        VoxtralTranscriber(base_url="http://127.0.0.1:9").invoke(given, traced(recorder))
    assert given[:200] in recorder.everything
    assert given[:1_001] not in recorder.everything


@pytest.mark.parametrize("mode", MODES)
def test_handlers_beside_a_tracer_are_told_of_each_start(
    mode: str, recorder: TraceRecorder
) -> None:
    """LangChain's asynchronous manager would tell the tracer alone, which is an inline handler."""
    log = RunLog()
    with ScriptedServer(default=HELLO) as server:
        WAYS[mode](parser_of(server), SHORT, traced(recorder, log))
    [run] = log.requests
    assert run.message.content == "Hello."
    assert len(recorder.model_runs) == 1


async def test_events_of_streamed_text_are_those_of_an_llm() -> None:
    log = RunLog()
    with ScriptedServer(events(delta(" Good"), delta(" morning."), END)) as server:
        stream = transcriber_at(server).astream_events(
            SHORT, {"callbacks": [log]}, version="v2", include_types=["llm"]
        )
        seen = [event async for event in stream]
    assert [event["event"] for event in seen] == [
        "on_llm_start",
        "on_llm_stream",
        "on_llm_stream",
        "on_llm_end",
    ]
    assert [event["data"]["chunk"].text for event in seen[1:3]] == [" Good", " morning."]
    assert seen[3]["data"]["output"]["generations"][0][0]["text"] == "Good morning."
    assert len(log.requests) == 1


def test_a_cancelled_request_is_closed_in_the_trace(recorder: TraceRecorder) -> None:
    async def run() -> None:
        with ScriptedServer(default=Reply(steps=(End.STALL,))) as server:
            parser = parser_of(server, chunk_seconds=11)
            running = asyncio.create_task(
                VoxtralTranscriber(parser).ainvoke(LONG, traced(recorder))
            )
            await asyncio.to_thread(server.wait_for_requests, 3)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running

    asyncio.run(run())
    assert ["CancelledError" in run["error"] for run in recorder.model_runs] == [True] * 3
