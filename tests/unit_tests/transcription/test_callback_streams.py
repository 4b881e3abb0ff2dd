"""Runs of streamed requests: tokens as they come, and ends, however the caller leaves."""

import asyncio
import json
import threading
from concurrent.futures import InvalidStateError
from contextlib import aclosing, closing, suppress
from typing import Any

import pytest
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
)
from support.run_log import RunLog
from support.scripted_server import End, Gate, Reply, ScriptedServer
from support.sse_replies import events
from support.transcription_calls import (
    BOUNDS,
    HELLO,
    LONG,
    SHORT,
    chunk_number,
    parser_of,
)
from support.transcription_streams import END, MODES, delta, parser_at, segment, transcriber_at
from support.transcription_ways import WAYS

from langchain_voxtral import VoxtralTranscriber, VoxtralUsageCallbackHandler
from langchain_voxtral.errors import (
    VoxtralIncompleteStreamError,
)
from langchain_voxtral.usage.sums import VoxtralUsage


@pytest.mark.parametrize("mode", MODES)
def test_streamed_text_is_reported_as_it_comes(mode: str, log: RunLog) -> None:
    gate = Gate()
    reply = events(delta(" Good"), gate, delta(" morning."), END)
    seen = []

    class Watch(BaseCallbackHandler):
        """Opens the gate at the first token, without which there is no second one."""

        def on_llm_new_token(self, token: str, **more: Any) -> None:  # type: ignore[override]
            seen.append((token, type(more["chunk"]).__name__, more["chunk"].text))
            if token == " Good":
                gate.open()

    with ScriptedServer(reply) as server:
        WAYS[mode](parser_at(server), SHORT, {"callbacks": [log, Watch()]})
    [run] = log.requests
    assert run.tokens == [" Good", " morning."]
    assert seen == [(text, "GenerationChunk", text) for text in run.tokens]
    assert run.message.content == "Good morning."
    assert run.message.response_metadata == {
        "model_name": "voxtral",
        "model_provider": "vllm",
        "finish_reason": "stop",
        "finish_reason_source": "server",
        "request_id": "trsc-1",
        "audio_seconds": 2.0,
        "endpoint": "transcriptions",
    }
    assert run.message.usage_metadata == {
        "input_tokens": 30,
        "output_tokens": 4,
        "total_tokens": 34,
    }


@pytest.mark.parametrize("way", ["lazy_parse", "alazy_parse"])
def test_streamed_segments_are_reported_as_they_come(way: str, log: RunLog) -> None:
    parts = [segment(" One.", 0.0, 0.9), segment(" Two.", 1.0, 1.9)]
    last = {"type": "transcription.done", "model": "voxtral", "text": " One. Two."}
    reply = events(*parts, b"data: " + json.dumps(last).encode() + b"\n\n")
    with ScriptedServer(reply) as server:
        parser = parser_at(server, server="mistral", mode="segment")
        WAYS[way](parser, SHORT, {"callbacks": [log]})
    [run] = log.requests
    assert [token.strip() for token in run.tokens] == ["One.", "Two."]
    assert run.message.content == "One. Two."


@pytest.mark.parametrize("mode", MODES)
def test_a_stream_that_breaks_ends_its_run_with_the_text_so_far(mode: str, log: RunLog) -> None:
    cut = events(delta(" Good"), End.CUT)
    head = Reply(cut.status, {**cut.headers, "x-request-id": "R7"}, None, cut.steps)
    with ScriptedServer(head) as server, pytest.raises(VoxtralIncompleteStreamError):
        WAYS[mode](parser_at(server), SHORT, {"callbacks": [log]})
    [run] = log.requests
    assert isinstance(run.error, VoxtralIncompleteStreamError)
    assert run.partial_result is not None
    [[partial]] = run.partial_result.generations
    assert partial.text == "Good"
    assert partial.generation_info == {
        "model_name": "voxtral",
        "model_provider": "vllm",
        "request_id": "R7",
        "endpoint": "transcriptions",
    }


def test_a_caller_who_leaves_a_stream_leaves_no_run_open(log: RunLog) -> None:
    gate, usage = Gate(), VoxtralUsageCallbackHandler()
    with ScriptedServer(events(delta(" Good"), gate, delta(" morning."), END)) as server:
        config: Any = {"callbacks": [usage, log]}
        with closing(transcriber_at(server).stream(SHORT, config)) as stream:
            assert next(stream) == "Good"
        gate.open()
        log.wait_until_ended()
    [run] = log.requests
    assert repr(run.error) == "GeneratorExit('The caller has left.')"
    assert run.partial_result is not None
    assert run.partial_result.generations[0][0].text == "Good morning."
    assert usage.total == VoxtralUsage(
        requests=1, requests_without_usage=1, requests_without_cost=1
    )


def test_requests_whose_caller_has_left_end_their_runs_with_what_is_paid_for(log: RunLog) -> None:
    gates = [Gate() for _ in BOUNDS]
    replies = [Reply(HELLO.status, HELLO.headers, HELLO.body, (gate,)) for gate in gates]
    with ScriptedServer(*replies) as server:

        def open_the_first() -> None:
            server.wait_for_requests(3)
            gates[[chunk_number(seen) for seen in server.requests].index(0)].open()

        opening = threading.Thread(target=open_the_first)
        opening.start()
        transcriber = transcriber_at(server, "documents", mode="chunk", chunk_seconds=11)
        with closing(transcriber.stream(LONG, {"callbacks": [log]})) as stream:
            next(stream)
        opening.join()
        for gate in gates:
            with suppress(InvalidStateError):  # it is open
                gate.open()
        log.wait_until_ended()
    assert [run.message.content for run in log.requests] == ["Hello."] * 3


async def test_an_async_caller_who_leaves_a_stream_leaves_no_run_open(log: RunLog) -> None:
    with ScriptedServer(events(delta(" Good"), End.STALL)) as server:
        outputs = transcriber_at(server).astream(SHORT, {"callbacks": [log]})
        async with aclosing(outputs) as stream:
            assert await anext(stream) == "Good"
    [run] = log.requests
    assert isinstance(run.error, asyncio.CancelledError)
    assert run.partial_result is not None
    assert run.partial_result.generations[0][0].text == "Good"
    assert all(run.ends for run in log.runs.values())


async def test_a_cancelled_run_leaves_no_run_open(log: RunLog) -> None:
    with ScriptedServer(default=Reply(steps=(End.STALL,))) as server:
        transcriber = VoxtralTranscriber(parser_of(server, chunk_seconds=11))
        running = asyncio.create_task(transcriber.ainvoke(LONG, {"callbacks": [log]}))
        await asyncio.to_thread(server.wait_for_requests, 3)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert [type(run.error) for run in log.requests] == [asyncio.CancelledError] * 3
    assert all(run.ends for run in log.runs.values())


@pytest.mark.parametrize("cancellations", [1, 2])
async def test_a_run_that_is_cancelled_while_it_starts_is_closed(
    log: RunLog, cancellations: int
) -> None:
    """Cancel scopes of anyio cancel again and again."""

    class Slow(AsyncCallbackHandler):
        """Is told of a start, and waits."""

        async def on_llm_start(self, *_: Any, **__: Any) -> None:
            begun.set()
            await goes_on.wait()

    begun, goes_on = asyncio.Event(), asyncio.Event()
    with ScriptedServer(default=HELLO) as server:
        transcriber = VoxtralTranscriber(parser_of(server))
        running = asyncio.create_task(transcriber.ainvoke(SHORT, {"callbacks": [log, Slow()]}))
        await begun.wait()
        for _ in range(cancellations):
            running.cancel()
            for _ in range(5):
                await asyncio.sleep(0)
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await running
        await asyncio.to_thread(log.wait_until_ended)
    assert [type(run.error) for run in log.requests] == [asyncio.CancelledError]
    assert server.requests == []
