"""The line of each transcription in the log."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from support.documented_exchanges import HELLO_TEXT, KEY
from support.request_lines import NOTHING_KNOWN, Log, spoken_words
from support.scripted_server import ScriptedServer
from support.sse_replies import json_reply
from support.transcription_calls import PARSES, SHORT, parser_of
from support.transcription_streams import MODES, pieces_of, transcriber_at, vllm

from langchain_voxtral.errors import VoxtralAuthenticationError

SPOKEN = {
    "text": HELLO_TEXT,
    "usage": {"type": "tokens", "input_tokens": 380, "output_tokens": 25},
    "inference_status": {"cost": 0.0001},
}
TRANSCRIBED = NOTHING_KNOWN | {
    "endpoint": "transcriptions",
    "input_tokens": 380,
    "output_tokens": 25,
    "cost_usd": 0.0001,
    "request_id": "id-of-it",
}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Log]:
    with caplog.at_level(logging.DEBUG, "langchain_voxtral"):
        yield Log(caplog)


@pytest.mark.parametrize("method", PARSES)
def test_a_transcription_writes_a_line(log: Log, method: str) -> None:
    reply = json_reply(SPOKEN, headers={"x-request-id": "id-of-it"})
    with ScriptedServer(
        json_reply({}, status=503, headers={"retry-after": "0"}), reply
    ) as scripted:
        PARSES[method](parser_of(scripted, max_retries=1), SHORT)
    assert log.fields == [TRANSCRIBED | {"attempts": 2}]


@pytest.mark.parametrize("method", PARSES)
def test_a_transcription_that_failed_writes_a_line(log: Log, method: str) -> None:
    echo = json_reply({"error": {"message": f"Not {KEY}, not {HELLO_TEXT}"}}, status=401)
    with ScriptedServer(echo) as scripted, pytest.raises(VoxtralAuthenticationError):
        PARSES[method](parser_of(scripted), SHORT)
    failed = {"outcome": "failed", "status": 401, "error": "VoxtralAuthenticationError"}
    assert log.fields == [NOTHING_KNOWN | {"endpoint": "transcriptions"} | failed]


@pytest.mark.parametrize("mode", MODES)
def test_a_streamed_transcription_writes_a_line(log: Log, mode: str) -> None:
    with ScriptedServer(vllm("Hello! ", "It's nice")) as scripted:
        pieces_of(mode, transcriber_at(scripted), SHORT)
    known = {"model": "voxtral", "provider": "vllm", "request_id": "trsc-1"}
    tokens = {"input_tokens": 30, "output_tokens": 4, "first_token_ms": "time"}
    assert log.fields == [NOTHING_KNOWN | {"endpoint": "transcriptions"} | known | tokens]


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize("status", [200, 401])
def test_no_line_shows_a_recording_its_name_or_its_words(
    tmp_path: Path, log: Log, method: str, status: int
) -> None:
    path = tmp_path / "holiday.wav"
    path.write_bytes(SHORT)
    answer = SPOKEN if status == 200 else {"error": f"{KEY}: {HELLO_TEXT}"}
    with ScriptedServer(json_reply(answer, status=status)) as scripted:
        parser = parser_of(scripted, prompt="Dear diary", max_retries=0)
        with suppress(VoxtralAuthenticationError):
            PARSES[method](parser, path)
    assert len(log.records) == 1
    assert spoken_words(log) == []
