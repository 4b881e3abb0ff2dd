"""How the runs of requests end: retries, failures, streams, cancellation."""

import asyncio
import json
import threading
from collections.abc import Iterator
from concurrent.futures import InvalidStateError
from contextlib import aclosing, closing, suppress
from typing import Any

import pytest
from langchain_core.callbacks import (
    AsyncCallbackHandler,
    BaseCallbackHandler,
)
from langchain_core.stores import InMemoryByteStore
from support import speech_samples
from support.run_log import RunLog
from support.scripted_server import End, Gate, Reply, ScriptedServer
from support.sse_replies import events, json_reply
from support.transcription_calls import (
    BOUNDS,
    BUSY,
    KEY,
    LONG,
    PARSES,
    SHORT,
    chunk_number,
    parser_of,
    transcription_reply,
)
from support.transcription_streams import END, MODES, delta, parser_at, segment, transcriber_at
from support.transcription_ways import SOME_WAYS, WAYS

from langchain_voxtral import VoxtralTranscriber
from langchain_voxtral.errors import (
    VoxtralIncompleteStreamError,
    VoxtralInvalidRequestError,
    VoxtralRateLimitError,
)

HELLO = transcription_reply("Hello.")


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(default=HELLO) as server:
        yield server


@pytest.fixture
def log() -> RunLog:
    return RunLog()


@pytest.mark.parametrize("way", SOME_WAYS)
def test_retries_are_attempts_of_one_run(way: str, log: RunLog) -> None:
    busy = Reply(429, {"retry-after": "0", **BUSY.headers}, BUSY.body)
    with ScriptedServer(busy, busy, HELLO) as server:
        WAYS[way](parser_of(server, max_retries=2), SHORT, {"callbacks": [log]})
    [run] = log.requests
    assert run.message.response_metadata["attempts"] == 3


@pytest.mark.parametrize("mode", MODES)
def test_retries_of_a_stream_are_attempts_of_one_run(mode: str, log: RunLog) -> None:
    busy = Reply(429, {"retry-after": "0", **BUSY.headers}, BUSY.body)
    with ScriptedServer(busy, events(delta("Hi."), END)) as server:
        WAYS[mode](parser_at(server, max_retries=1), SHORT, {"callbacks": [log]})
    [run] = log.requests
    assert run.tokens == ["Hi."]
    assert run.message.response_metadata["attempts"] == 2


NO_TIMES = json_reply(
    {"error": {"message": "Currently do not support verbose_json for this model"}}, status=400
)


@pytest.mark.parametrize("way", ["parse", "aparse"])
@pytest.mark.parametrize("last", [HELLO, BUSY], ids=["answered", "failed"])
def test_a_request_sent_again_without_times_is_an_attempt_of_the_same_run(
    way: str, last: Reply, log: RunLog
) -> None:
    with ScriptedServer(NO_TIMES, last) as server:
        parser = parser_at(server, mode="segment")
        if last is BUSY:
            with pytest.raises(VoxtralRateLimitError):
                WAYS[way](parser, SHORT, {"callbacks": [log]})
        else:
            WAYS[way](parser, SHORT, {"callbacks": [log]})
        assert len(server.requests) == 2
    [run] = log.requests
    assert run.start["invocation_params"]["timestamps"] == "segment"
    if last is BUSY:
        assert isinstance(run.error, VoxtralRateLimitError)
        assert run.error.attempts == 2
    else:
        assert run.message.response_metadata["attempts"] == 2


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize("on_error", ["raise", "mark"])
def test_a_request_that_fails_ends_its_run_with_the_error(
    method: str, on_error: str, log: RunLog
) -> None:
    with ScriptedServer(HELLO, BUSY, HELLO) as server:
        parser = parser_of(server, chunk_seconds=11, max_concurrency=1, on_error=on_error)
        way = WAYS["parse" if method == "parse" else "aparse"]
        if on_error == "raise":
            with pytest.raises(VoxtralRateLimitError):
                way(parser, LONG, {"callbacks": [log]})
        else:
            way(parser, LONG, {"callbacks": [log]})
    runs = log.requests
    assert len(runs) == (2 if on_error == "raise" else 3)
    assert isinstance(runs[1].error, VoxtralRateLimitError)
    assert str(runs[1].error).startswith("the recording, chunk 2 (9.8 s to 19.9 s): ")
    assert (runs[1].error.attempts, runs[1].partial_result) == (1, None)
    assert all(run.ends for run in runs)


@pytest.mark.parametrize("way", ["parse", "aparse"])
def test_transcripts_of_the_store_and_silence_are_no_runs(
    way: str, server: ScriptedServer, log: RunLog
) -> None:
    parser = parser_of(server, store=InMemoryByteStore())
    for audio in (SHORT, SHORT, speech_samples.encoded("wav", speech_samples.silence(1.0))):
        WAYS[way](parser, audio, {"callbacks": [log]})
    assert len(log.requests) == len(server.requests) == 1


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
    gate = Gate()
    with ScriptedServer(events(delta(" Good"), gate, delta(" morning."), END)) as server:
        with closing(transcriber_at(server).stream(SHORT, {"callbacks": [log]})) as stream:
            assert next(stream) == "Good"
        gate.open()
        log.wait_until_ended()
    [run] = log.requests
    assert repr(run.error) == "_StoppedError('The caller has left.')"


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


async def test_a_run_that_is_cancelled_while_it_starts_is_closed(log: RunLog) -> None:
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
        running.cancel()
        await asyncio.sleep(0)
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert [type(run.error) for run in log.requests] == [asyncio.CancelledError]
    assert server.requests == []


@pytest.mark.parametrize("way", ["parse", "aparse"])
def test_callbacks_hold_neither_the_key_nor_the_audio(way: str, log: RunLog) -> None:
    echo = json_reply({"error": {"message": f"Invalid key {KEY}"}}, status=400)
    with ScriptedServer(HELLO, echo, default=HELLO) as server:
        parser = parser_of(server, chunk_seconds=11, on_error="mark", language="en", prompt="p")
        WAYS[way](parser, LONG, {"callbacks": [log]})
    assert len(log.requests) == 3
    assert KEY not in log.everything
    assert "RIFF" not in log.everything
    assert len(log.everything) < 20_000


def test_handlers_of_both_kinds_are_called_in_threads_and_on_an_event_loop(
    server: ScriptedServer,
) -> None:
    class Async(AsyncCallbackHandler):
        """Records the events of LLMs."""

        async def on_llm_start(self, *_: Any, **__: Any) -> None:
            seen.append("start")

        async def on_llm_end(self, *_: Any, **__: Any) -> None:
            seen.append("end")

    seen: list[str] = []
    for way in ("parse", "aparse"):
        WAYS[way](parser_of(server), SHORT, {"callbacks": [Async()]})
    assert seen == ["start", "end"] * 2


def test_parsers_of_several_threads_have_their_own_callbacks(server: ScriptedServer) -> None:
    parser, logs = parser_of(server, chunk_seconds=11), [RunLog() for _ in range(4)]
    threads = [
        threading.Thread(target=WAYS["parse"], args=(parser, LONG, {"callbacks": [each]}))
        for each in logs
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(each.requests) for each in logs] == [3] * 4


def test_a_message_that_asks_for_a_correction_is_in_the_run_too(log: RunLog) -> None:
    """The error is complete when handlers get it."""
    refusal = json_reply({"error": {"message": "no"}}, status=400)
    with ScriptedServer(refusal) as server, pytest.raises(VoxtralInvalidRequestError) as raised:
        WAYS["parse"](parser_of(server), SHORT, {"callbacks": [log]})
    assert log.requests[0].error is raised.value
    assert str(raised.value).startswith("the recording: ")
