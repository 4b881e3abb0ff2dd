"""Requests as runs of LangChain's callbacks: what handlers are told of each."""

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import (
    BaseCallbackHandler,
    UsageMetadataCallbackHandler,
    get_usage_metadata_callback,
)
from langchain_core.version import VERSION as CORE_VERSION
from support.run_log import LoggedRun, RunLog
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import json_reply
from support.transcription_calls import (
    BOUNDS,
    HELLO,
    LONG,
    MODEL,
    PARSES,
    SHORT,
    parser_of,
    transcription_reply,
)
from support.transcription_ways import SOME_WAYS, WAYS

from langchain_voxtral import __version__, transcribe_audio_tool

HASH = hashlib.sha256(SHORT).hexdigest()[:12]
LONG_HASH = hashlib.sha256(LONG).hexdigest()[:12]


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(default=HELLO) as server:
        yield server


def in_order(runs: list[LoggedRun]) -> list[LoggedRun]:
    """Return the runs of chunks in the order of the chunks."""
    return sorted(runs, key=lambda run: str(run.start["inputs"]))


@pytest.mark.parametrize("way", WAYS)
def test_a_request_is_a_run_of_an_llm_below_its_caller(
    way: str, server: ScriptedServer, log: RunLog
) -> None:
    WAYS[way](parser_of(server), SHORT, {"callbacks": [log], "tags": ["t"], "metadata": {"m": 1}})
    [run] = log.requests
    parent = log.parent_of(run)
    assert parent is not None
    assert (parent.kind, parent.parent) == ("chain", None)
    del run.start["run_id"], run.start["parent_run_id"]
    assert run.start == {
        "name": "VoxtralTranscription",
        "serialized": {
            "lc": 1,
            "type": "not_implemented",
            "id": ["langchain_voxtral", "document_loaders", "VoxtralTranscriptionParser"],
            "name": "VoxtralTranscription",
        },
        "inputs": [f"the recording: wav, 2 s, sha256 {HASH}"],
        "tags": ["t"],
        "metadata": {
            "m": 1,
            "ls_provider": "deepinfra",
            "ls_model_name": MODEL,
            "ls_model_type": "llm",
            "ls_temperature": 0.0,
            "lc_versions": {"langchain-core": CORE_VERSION, "langchain-voxtral": __version__},
            "audio_seconds": 2.0,
        },
        "invocation_params": {
            "model": MODEL,
            "endpoint": "transcriptions",
            "task": "transcribe",
            "temperature": 0.0,
        },
        "batch_size": 1,
    }
    facts = {
        "model_name": MODEL,
        "model_provider": "deepinfra",
        "request_id": "id-Hello.",
        "audio_seconds": 2.0,
        "endpoint": "transcriptions",
    }
    assert run.message.content == "Hello."
    assert (run.message.response_metadata, run.generation.generation_info) == (facts, facts)
    assert run.message.usage_metadata is None
    assert run.result.llm_output == {"model_name": MODEL}
    assert run.tokens == []


@pytest.mark.parametrize("way", SOME_WAYS)
def test_each_chunk_that_is_sent_is_a_run(way: str, server: ScriptedServer, log: RunLog) -> None:
    parser = parser_of(server, chunk_seconds=11, price_per_minute=0.6)
    WAYS[way](parser, LONG, {"callbacks": [log]})
    runs = in_order(log.requests)
    assert [run.start["inputs"] for run in runs] == [
        [f"the recording, chunk {n} ({start:.1f} s to {end:.1f} s): {facts}, sha256 {LONG_HASH}"]
        for n, (start, end), facts in zip(
            (1, 2, 3), BOUNDS, ("wav, 9.85 s", "wav, 10 s", "wav, 10.15 s"), strict=True
        )
    ]
    assert len({run.parent for run in runs}) == 1
    assert None not in {run.parent for run in runs}
    assert [run.start["metadata"]["audio_seconds"] for run in runs] == [9.85, 10.0, 10.15]
    estimates = [run.start["metadata"]["estimated_cost_usd"] for run in runs]
    assert estimates == pytest.approx([0.0985, 0.1, 0.1015])
    assert [run.message.response_metadata["cost"] for run in runs] == pytest.approx(estimates)
    assert {run.message.response_metadata["cost_source"] for run in runs} == {"estimated"}
    assert [run.message.content for run in runs] == ["Hello."] * 3


def _openai(usage: dict[str, Any]) -> Reply:
    return transcription_reply("Hi.", language="en", usage=usage)


NATIVE = json_reply(
    {
        "text": " Hi. ",
        "language": "en",
        "request_id": "R1",
        "inference_status": {
            "status": "succeeded",
            "runtime_ms": 120,
            "cost": 0.0000875,
            "tokens_generated": 4,
            "tokens_input": 380,
        },
    }
)
CHAT = json_reply(
    {
        "id": "C1",
        "choices": [
            {
                "message": {"role": "assistant", "content": "Hi."},
                "finish_reason": "stop",
                "index": 0,
            }
        ],
        "usage": {"prompt_tokens": 380, "completion_tokens": 4, "estimated_cost": 0.0000875},
    }
)
TOKENS = {"input_tokens": 380, "output_tokens": 4, "total_tokens": 384}


def times(requests: int) -> dict[str, int]:
    """Return the tokens of several requests."""
    return {name: requests * count for name, count in TOKENS.items()}


TOLD: dict[str, tuple[dict[str, Any], Reply, dict[str, Any]]] = {
    "native": (
        {"endpoint": "native"},
        NATIVE,
        {
            "language": "en",
            "request_id": "R1",
            "runtime_ms": 120,
            "endpoint": "native",
        },
    ),
    "chat": (
        {"endpoint": "chat"},
        CHAT,
        {
            "request_id": "C1",
            "finish_reason": "stop",
            "finish_reason_source": "server",
            "endpoint": "chat_completions",
        },
    ),
    "translation": (
        {"task": "translate"},
        _openai({"prompt_tokens": 380, "completion_tokens": 4, "cost": 0.0000875}),
        {"language": "en", "request_id": "id-Hi.", "endpoint": "translations"},
    ),
}


@pytest.mark.parametrize("name", TOLD)
@pytest.mark.parametrize("way", ["parse", "aparse"])
def test_what_a_server_tells_is_in_the_result(way: str, name: str, log: RunLog) -> None:
    settings, reply, facts = TOLD[name]
    usage = UsageMetadataCallbackHandler()
    with ScriptedServer(default=reply) as server:
        parser = parser_of(server, price_per_minute=1, **settings)
        for _ in range(2):
            WAYS[way](parser, SHORT, {"callbacks": [log, usage]})
    run, _ = log.requests
    assert run.message.content == "Hi."
    assert run.message.response_metadata == {
        "model_name": MODEL,
        "model_provider": "deepinfra",
        "cost": 0.0000875,
        "cost_source": "server",
        "audio_seconds": 2.0,
        **facts,
    }
    assert run.message.usage_metadata == TOKENS
    info = run.message.response_metadata | {"usage_metadata": TOKENS}
    assert run.generation.generation_info == info
    assert run.result.llm_output == {"model_name": MODEL, "token_usage": TOKENS, "cost": 0.0000875}
    assert usage.usage_metadata == {MODEL: times(2)}


def test_seconds_are_those_that_the_server_counts(log: RunLog) -> None:
    counted = {"prompt_audio_seconds": 3, "prompt_tokens": 5, "completion_tokens": 4}
    with ScriptedServer(_openai(counted)) as server:
        parser = parser_of(server, price_per_minute=60)
        WAYS["parse"](parser, SHORT, {"callbacks": [log]})
    [run] = log.requests
    facts = run.message.response_metadata
    assert (facts["audio_seconds"], facts["cost"], facts["cost_source"]) == (3.0, 3.0, "estimated")


@pytest.mark.parametrize("method", PARSES)
def test_a_handler_of_the_context_sees_a_parser_alone(method: str) -> None:
    """So does a tracer of the environment."""
    counted = _openai({"prompt_tokens": 380, "completion_tokens": 4})
    with ScriptedServer(default=counted) as server, get_usage_metadata_callback() as usage:
        PARSES[method](parser_of(server, chunk_seconds=11), LONG)
    assert usage.usage_metadata == {MODEL: times(3)}


def _call_tool(tool: Any, log: BaseCallbackHandler, *, is_async: bool) -> str:
    config: Any = {"callbacks": [log]}
    call = {"path": "talk.wav"}
    return str(asyncio.run(tool.ainvoke(call, config)) if is_async else tool.invoke(call, config))


@pytest.mark.parametrize("is_async", [False, True])
def test_requests_of_a_tool_are_runs_below_it(
    tmp_path: Path, server: ScriptedServer, log: RunLog, *, is_async: bool
) -> None:
    (tmp_path / "talk.wav").write_bytes(SHORT)
    tool = transcribe_audio_tool(parser_of(server), root=tmp_path)
    assert _call_tool(tool, log, is_async=is_async) == "Hello."
    [run], [parent] = log.requests, log.of("tool")
    assert log.parent_of(run) is parent
    assert run.start["inputs"] == [f"talk.wav: wav, 2 s, sha256 {HASH}"]
    assert str(tmp_path) not in log.everything
