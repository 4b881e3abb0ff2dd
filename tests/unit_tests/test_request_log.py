"""The log: one DEBUG line for each request, with its facts, and never a key or content."""

import asyncio
import json
import logging
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langchain_core.tracers import LangChainTracer
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import (
    HELLO_ANSWER,
    HELLO_TEXT,
    KEY,
    MODEL,
    STREAM,
    TOKENS,
    Server,
    answering,
    streaming,
    token_event,
)
from support.request_lines import NOTHING_KNOWN, Log, spoken_words
from support.sse_replies import event
from support.trace_recorder import TraceRecorder

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.client import VoxtralClient
from langchain_voxtral.errors import (
    VoxtralAuthenticationError,
    VoxtralError,
    VoxtralIncompleteStreamError,
)

Make = Callable[..., ChatVoxtral | VoxtralLLM]

DOCUMENT = Path(__file__).parents[2] / "docs" / "observability.md"
PROMPT = "A secret question"
TOKENS_KNOWN = {"input_tokens": 12, "output_tokens": 25}
WHOLE = NOTHING_KNOWN | TOKENS_KNOWN
WHOLE |= {"cost_usd": 0.0000436, "request_id": "RWZDRhS5kdoM1XWwXLEshynO"}
STREAMED = NOTHING_KNOWN | TOKENS_KNOWN | {"cost_usd": 0.0000386, "first_token_ms": "time"}
BY_MODE = {"invoke": WHOLE, "ainvoke": WHOLE, "stream": STREAMED, "astream": STREAMED}
AT_ONCE = {"retry-after": "0"}


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[Log]:
    with caplog.at_level(logging.DEBUG, "langchain_voxtral"):
        yield Log(caplog)


def busy() -> httpx.Response:
    return answering({"error": "busy"}, 503, AT_ONCE | {"x-request-id": "first"})


def in_turn(*answers: Callable[[], httpx.Response]) -> Callable[[httpx.Request], httpx.Response]:
    """Return a server's function that gives these answers, each once."""
    rest = iter(answers)
    return lambda _: next(rest)()


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_every_call_writes_one_line(make: Make, log: Log, call_mode: str) -> None:
    await ask(make(), call_mode, PROMPT)
    assert log.fields == [BY_MODE[call_mode]]
    [record] = log.records
    assert (record.name, record.levelname) == ("langchain_voxtral", "DEBUG")


def test_the_line_has_what_is_known(make_chat: Callable[..., ChatVoxtral], log: Log) -> None:
    chat = make_chat()
    chat.invoke(PROMPT)
    list(chat.stream(PROMPT))
    head = f"POST native completed: model={MODEL} provider=deepinfra status=200"
    tokens = "attempts=1 resumes=0 input_tokens=12 output_tokens=25"
    assert log.lines == [
        f"{head} {tokens} cost_usd=0.0000436 duration_ms=TIME request_id=RWZDRhS5kdoM1XWwXLEshynO",
        f"{head} {tokens} cost_usd=0.0000386 duration_ms=TIME first_token_ms=TIME",
    ]


@pytest.mark.filterwarnings("ignore:.*is in beta")
@pytest.mark.parametrize("part", ["text", "output"])
def test_events_of_version_3_end_with_their_request(
    make_chat: Callable[..., ChatVoxtral], log: Log, part: str
) -> None:
    stream: Any = make_chat().stream_events(PROMPT, version="v3")
    assert "".join(stream.text) if part == "text" else stream.output.text
    assert log.fields == [STREAMED]
    assert stream.output.usage_metadata  # it has not been dropped


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize("level", [logging.INFO, logging.WARNING])
async def test_nothing_is_written_above_debug(
    make: Make, caplog: pytest.LogCaptureFixture, call_mode: str, level: int
) -> None:
    with caplog.at_level(level, "langchain_voxtral"):
        await ask(make(), call_mode, PROMPT)
    assert caplog.records == []


@pytest.mark.parametrize("is_debug", [False, True])
def test_nothing_is_collected_for_a_line_that_is_not_written(
    chat: ChatVoxtral, caplog: pytest.LogCaptureFixture, is_debug: bool
) -> None:
    client = VoxtralClient(chat)
    with caplog.at_level(logging.DEBUG if is_debug else logging.INFO, "langchain_voxtral"):
        request = client.http_request(client.resolve(), "native", b"{}", model=MODEL)
    assert (request.log is not None) is is_debug


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_an_answer_without_text_has_no_first_token(
    make: Make, server: Server, log: Log, call_mode: str
) -> None:
    server.answer = lambda _: streaming(STREAM[-1])
    await ask(make(), call_mode, PROMPT)
    assert log.fields == [STREAMED | {"first_token_ms": None}]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_request_that_was_retried_has_one_line(
    make: Make, server: Server, log: Log, call_mode: str
) -> None:
    documented = server.answer
    server.answer = lambda request: busy() if len(server.requests) == 1 else documented(request)
    await ask(make(), call_mode, PROMPT)
    assert log.fields == [BY_MODE[call_mode] | {"attempts": 2}]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_failure_is_told_by_its_class_and_status(
    make: Make, server: Server, log: Log, call_mode: str
) -> None:
    echo = {"error": {"message": f"Wrong key {KEY} for {PROMPT}", "code": "invalid_api_key"}}
    server.answer = lambda _: answering(echo, 401, {"x-request-id": f"for-{KEY}"})
    with pytest.raises(VoxtralAuthenticationError):
        await ask(make(), call_mode, PROMPT)
    assert log.fields == [
        NOTHING_KNOWN
        | {"outcome": "failed", "status": 401, "error": "VoxtralAuthenticationError"}
        | {"request_id": "for-[redacted]"}
    ]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_server_that_is_not_reached_has_no_status(
    make: Make, server: Server, log: Log, call_mode: str
) -> None:
    def refuse(_: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    server.answer = refuse
    with pytest.raises(VoxtralError):
        await ask(make(max_retries=0), call_mode, PROMPT)
    assert log.fields == [
        NOTHING_KNOWN | {"outcome": "failed", "status": None, "error": "VoxtralConnectionError"}
    ]


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_stream_that_was_resumed_has_one_line(
    make: Make, server: Server, log: Log, call_mode: str
) -> None:
    cut = token_event(TOKENS[0])
    server.answer = in_turn(lambda: streaming(cut), busy, streaming)
    await ask(make(max_stream_resumes=1), call_mode, PROMPT)
    assert log.fields == [STREAMED | {"attempts": 3, "resumes": 1, "output_tokens": 26}]


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_stream_that_broke_tells_the_tokens_that_came(
    make: Make, server: Server, log: Log, call_mode: str
) -> None:
    server.answer = lambda _: streaming(*STREAM[:3])
    with pytest.raises(VoxtralIncompleteStreamError):
        await ask(make(), call_mode, PROMPT)
    failed = {"outcome": "failed", "error": "VoxtralIncompleteStreamError"}
    assert log.fields == [NOTHING_KNOWN | failed | {"output_tokens": 3, "first_token_ms": "time"}]


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_stream_that_is_left_early_is_abandoned(
    make: Make, server: Server, log: Log, call_mode: str
) -> None:
    with_id = [event({"token": {"text": text}, "request_id": "E1"}) for text in TOKENS]
    server.answer = lambda _: streaming(*with_id)
    chunks: Any = getattr(make(chunk_coalescing=False), call_mode)(PROMPT)
    if call_mode == "stream":
        next(chunks)
        chunks.close()
    else:
        await anext(chunks)
        await chunks.aclose()
        async with asyncio.timeout(10):
            # LangChain leaves it to the event loop to close the inner generators.
            while not log.records:  # noqa: ASYNC110
                await asyncio.sleep(0)
    known = {"outcome": "abandoned", "first_token_ms": "time", "request_id": "E1"}
    assert log.fields == [NOTHING_KNOWN | known]


@pytest.mark.parametrize("call_mode", ["ainvoke", "astream"])
async def test_a_call_that_is_cancelled_says_so(make: Make, log: Log, call_mode: str) -> None:
    arrived = asyncio.Event()

    async def never(_: httpx.Request) -> httpx.Response:
        arrived.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with httpx.AsyncClient(transport=httpx.MockTransport(never)) as client:
        task = asyncio.create_task(ask(make(http_async_client=client), call_mode, PROMPT))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert log.fields == [NOTHING_KNOWN | {"outcome": "cancelled", "status": None}]


def test_a_request_that_is_sent_again_in_another_form_has_a_line_of_its_own(
    make_chat: Callable[..., ChatVoxtral], server: Server, log: Log
) -> None:
    refusal = {"error": {"message": "json_schema response format is not supported", "code": None}}
    answer = HELLO_ANSWER | {"results": [{"generated_text": "{}"}]}
    server.answer = in_turn(lambda: answering(refusal, 405), lambda: answering(answer))
    schema = {"name": "Anything", "schema": {"type": "object", "properties": {}}}
    make_chat().invoke(PROMPT, response_format={"type": "json_schema", "json_schema": schema})
    refused = {"outcome": "failed", "status": 405, "error": "VoxtralUnsupportedFeatureError"}
    assert log.fields == [NOTHING_KNOWN | refused, WHOLE]


def test_the_documents_list_the_fields_and_format_them(chat: ChatVoxtral, log: Log) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    chat.invoke(PROMPT)
    [record] = log.records
    fields = {name: value for name, value in vars(record).items() if name.startswith("voxtral_")}
    assert set(re.findall(r"`(voxtral_\w+)`", text)) == fields.keys()
    [code] = [one for one in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "Json" in one]
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102 - an example of ours
    names["logger"].removeHandler(names["handler"])
    shown = json.loads(names["handler"].format(record))
    time = names["handler"].formatter.formatTime(record)
    assert shown == {"time": time, "level": "DEBUG", "message": record.getMessage()} | fields


def test_nothing_is_set_up_at_import() -> None:
    logger = logging.getLogger("langchain_voxtral")
    assert (logger.handlers, logger.filters, logger.level) == ([], [], logging.NOTSET)
    assert logger.propagate


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize("has_failed", [False, True])
async def test_no_line_shows_a_key_or_content(
    make: Make, server: Server, log: Log, call_mode: str, has_failed: bool
) -> None:
    if has_failed:
        server.answer = lambda _: answering({"error": f"{KEY} {HELLO_TEXT} {PROMPT}"}, 400)
        with pytest.raises(VoxtralError):
            await ask(make(), call_mode, PROMPT, model=f"own/{KEY}")
    else:
        await ask(make(), call_mode, PROMPT, model=f"own/{KEY}")
    [fields] = log.fields
    assert fields["model"] == "own/[redacted]"
    assert spoken_words(log) == []


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_names_and_ids_stay_on_the_line(
    make_chat: Callable[..., ChatVoxtral], server: Server, log: Log, call_mode: str
) -> None:
    headers = {"x-request-id": "an\x1b[31m id" + "d" * 5_000, "x-voxtral-model": "a\x1b[31m model"}
    choice = {"message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}
    delta = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}
    server.answer = lambda request: (
        httpx.Response(
            200,
            headers=headers | {"content-type": "text/event-stream"},
            content=event({"choices": [delta]}) + b"data: [DONE]\n\n",
        )
        if json.loads(request.content).get("stream")
        else answering({"choices": [choice]}, headers=headers)
    )
    recorder = TraceRecorder()
    chat = make_chat(server="vllm", base_url="http://127.0.0.1:9/v1", model="my\nERROR root: model")
    config = {"callbacks": [LangChainTracer(client=recorder)]}
    assert await ask(chat, call_mode, PROMPT, config=config) == "Hi"
    [line] = log.lines
    assert line.isprintable()
    [fields] = log.fields
    assert fields["model"] == "my ERROR root: model"
    [run] = recorder.model_runs
    assert fields["request_id"] == run["extra"]["metadata"]["request_id"]
    assert fields["request_id"] == f"an [31m id{'d' * 489}…"
