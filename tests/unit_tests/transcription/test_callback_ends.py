"""How the runs of requests end: retries, failures, what is not sent."""

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.stores import InMemoryByteStore
from support import speech_samples
from support.run_log import RunLog
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import events, json_reply
from support.transcription_calls import (
    BUSY,
    HELLO,
    KEY,
    LONG,
    PARSES,
    SHORT,
    parser_of,
)
from support.transcription_streams import END, MODES, delta, parser_at
from support.transcription_ways import SOME_WAYS, WAYS

from langchain_voxtral.errors import VoxtralInvalidRequestError, VoxtralRateLimitError


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(default=HELLO) as server:
        yield server


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
