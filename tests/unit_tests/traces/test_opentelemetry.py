"""OpenTelemetry: what the spans of two exporters show, under the names that the documents list."""

import os
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.stores import InMemoryByteStore
from support.agent_runs import PARIS, SUNNY, TOOLS, in_each_call_mode, run, scripted
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import KEY, MODEL, STREAM, USAGE, Server, answering, streaming
from support.scripted_server import ScriptedServer
from support.sse_replies import json_reply
from support.subprocesses import run_python
from support.tool_dialects import CHAT
from support.transcription_calls import SHORT, parser_of
from support.transcription_streams import MODES, pieces_of, transcriber_at, vllm

pytest.importorskip("opentelemetry.sdk", reason="the floor has no OpenTelemetry")
from langchain.agents import create_agent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from support.spans import EXPORTERS, LANGSMITH, OPENINFERENCE, Spans, read

from langchain_voxtral import ChatVoxtral, VoxtralLLM, VoxtralTranscriber
from langchain_voxtral.errors import VoxtralAuthenticationError

Make = Callable[..., ChatVoxtral | VoxtralLLM]

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "observability.md").read_text(encoding="utf-8")
TABLE = TEXT.partition("| signal |")[2].partition("\n\n")[0].splitlines()[2:]
ROWS = [[cell.strip() for cell in row.strip("|").split("|")] for row in TABLE]
NAMES = {
    exporter: {row[0]: re.findall(r"`([^`]+)`", row[column]) for row in ROWS}
    for column, exporter in enumerate(EXPORTERS, start=1)
}
"""The attributes that show each signal, by exporter, as the documents list them."""


COMMON: dict[str, Any] = {
    "model": MODEL,
    "model that answered": MODEL,
    "provider": "deepinfra",
    "input tokens": 12,
    "output tokens": 25,
    "endpoint": "native",
    "attempts": 1,
    "temperature": 0.2,
}
WHOLE = COMMON | {"cost in US dollars": 0.0000436, "request id": "RWZDRhS5kdoM1XWwXLEshynO"}
STREAMED = COMMON | {"cost in US dollars": 0.0000386, "finish reason": "stop"}
BY_MODE = {"invoke": WHOLE, "ainvoke": WHOLE, "stream": STREAMED, "astream": STREAMED}


@pytest.fixture(params=EXPORTERS)
def spans(request: pytest.FixtureRequest) -> Iterator[Spans]:
    spans = Spans(request.param)
    with spans.recording():
        yield spans


def shown(spans: Spans, span: ReadableSpan, *signals: str) -> dict[str, Any]:
    """Return what a span shows of these signals; every attribute of a signal must say the same."""
    facts = {}
    for signal in signals:
        values = [read(span, name) for name in NAMES[spans.exporter][signal]]
        assert [value for value in values if value != values[0]] == []
        facts[signal] = values[0]
    return facts


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_run_shows_model_provider_tokens_and_cost(
    make: Make, spans: Spans, call_mode: str
) -> None:
    await ask(make(), call_mode, "Hello!", config=spans.config)
    [span] = spans.of_models
    expected = BY_MODE[call_mode]
    assert shown(spans, span, *expected) == expected
    assert span.status.status_code is StatusCode.OK


@pytest.mark.filterwarnings("ignore:.* is in beta")
def test_a_stream_of_events_shows_the_same(chat: ChatVoxtral, spans: Spans) -> None:
    assert list(chat.stream_events("Hello!", spans.config, version="v3"))
    [span] = spans.of_models
    assert shown(spans, span, *STREAMED) == STREAMED


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_limits_repetitions_and_resumed_streams_are_shown(
    make: Make, server: Server, spans: Spans, call_mode: str
) -> None:
    answers = iter((streaming(STREAM[0]), answering({}, 503, {"retry-after": "0"}), streaming()))
    server.answer = lambda _: next(answers)
    model = make(max_stream_resumes=1, max_tokens=99)
    await ask(model, call_mode, "Hello!", config=spans.config)
    [span] = spans.of_models
    expected = {"limit of tokens": 99, "attempts": 3, "resumes": 1, "output tokens": 26}
    assert shown(spans, span, *expected) == expected


@pytest.mark.parametrize("call_mode", ["batch", "abatch"])
async def test_each_prompt_of_a_batch_has_its_own_span(
    make: Make, spans: Spans, call_mode: str
) -> None:
    model: Any = make()
    prompts = ["Hello!", "Hi!", "Good day!"]
    if call_mode == "batch":
        model.batch(prompts, spans.config)
    else:
        await model.abatch(prompts, spans.config)
    signals = ("model", "provider", "cost in US dollars", "input tokens", "output tokens")
    expected = {name: WHOLE[name] for name in signals}
    assert [shown(spans, span, *expected) for span in spans.of_models] == [expected] * 3


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_the_span_of_a_model_is_a_child_of_its_chain(
    make: Make, spans: Spans, call_mode: str
) -> None:
    prompt = ChatPromptTemplate.from_messages([("human", "{word}!")])
    chain = prompt.pipe(make(), StrOutputParser())
    await ask(chain, call_mode, {"word": "Hello"}, config=spans.config)
    [span] = spans.of_models
    expected = BY_MODE[call_mode]
    assert shown(spans, span, *expected) == expected
    [root] = [one for one in spans.finished if one.parent is None]
    assert root.name == "RunnableSequence"
    assert span.parent is not None
    assert span.parent == root.context


@in_each_call_mode
async def test_each_step_of_an_agent_shows_its_usage(spans: Spans, call_mode: str) -> None:
    with scripted(CHAT, call_mode, [PARIS], SUNNY) as server:
        agent: Any = create_agent(CHAT.chat(server), TOOLS)
        await run(agent, call_mode, config=spans.config)
    step: dict[str, Any] = {"model": MODEL, "provider": "deepinfra", "endpoint": "chat_completions"}
    step |= {
        "input tokens": 12,
        "output tokens": 25,
        "cost in US dollars": BY_MODE[call_mode]["cost in US dollars"],
    }
    expected = [step | {"finish reason": reason} for reason in ("tool_calls", "stop")]
    assert [shown(spans, span, *expected[0]) for span in spans.of_models] == expected
    assert len([span for span in spans.finished if span.parent is None]) == 1
    if spans.exporter == OPENINFERENCE:
        reasons = [read(span, "gen_ai.response.finish_reasons") for span in spans.of_models]
        assert reasons == [["tool_call"], ["stop"]]  # the convention's names


def test_a_cached_answer_costs_nothing(make_chat: Callable[..., ChatVoxtral], spans: Spans) -> None:
    chat = make_chat(cache=InMemoryCache())
    for _ in range(2):
        chat.invoke("Hello!", spans.config)
    costs = [shown(spans, span, "cost in US dollars") for span in spans.of_models]
    assert costs == [{"cost in US dollars": 0.0000436}, {"cost in US dollars": 0}]


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_the_span_of_a_failed_call_says_so_without_the_key(
    make: Make, server: Server, spans: Spans, call_mode: str
) -> None:
    echo = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}
    server.answer = lambda _: answering(echo, 401, {"x-request-id": f"for-{KEY}"})
    with pytest.raises(VoxtralAuthenticationError):
        await ask(make(), call_mode, "Hello!", config=spans.config)
    [span] = spans.of_models
    assert span.status.status_code is StatusCode.ERROR
    expected = {"model": MODEL, "provider": "deepinfra", "request id": "for-[redacted]"}
    assert shown(spans, span, *expected) == expected
    assert KEY not in span.to_json()


def test_what_exporters_lack_and_derive_is_as_documented(chat: ChatVoxtral, spans: Spans) -> None:
    chat.invoke("Hello!", spans.config)
    [span] = spans.of_models
    names = ("gen_ai.response.model", "gen_ai.response.id", "gen_ai.system")
    values = {name: value for name in names if (value := read(span, name)) is not None}
    assert values == ({"gen_ai.system": "mistral_ai"} if spans.exporter == LANGSMITH else {})
    assert span.events == ()


def test_a_batch_of_an_llm_has_the_usage_of_each_prompt_and_of_all(
    make_llm: Callable[..., VoxtralLLM], spans: Spans
) -> None:
    config = spans.config.get("callbacks")
    result = make_llm().generate(["Hello!", "Hi!"], callbacks=config)
    output = {LANGSMITH: "gen_ai.completion", OPENINFERENCE: "output.value"}[spans.exporter]
    runs = [read(span, f'{output}["llm_output"]') for span in spans.of_models]
    own = {"model_name": MODEL, "token_usage": USAGE, "cost": 0.0000436}
    assert runs == [own, own]
    twice = {name: 2 * number for name, number in dict[str, Any](USAGE).items()}
    assert result.llm_output == own | {"token_usage": twice, "cost": pytest.approx(0.0000872)}


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize("cost", [0.0001, None], ids=["told", "estimated"])
async def test_a_transcription_shows_model_provider_tokens_and_cost(
    spans: Spans, call_mode: str, cost: float | None
) -> None:
    document = {"text": "Hi there", "usage": {"input_tokens": 380, "output_tokens": 5}}
    told = {} if cost is None else {"inference_status": {"cost": cost}}
    reply = json_reply(document | told, headers={"x-request-id": "T1"})
    with ScriptedServer(json_reply({}, status=503, headers={"retry-after": "0"}), reply) as server:
        parser = parser_of(server, max_retries=1, price_per_minute=0.003)
        await ask(VoxtralTranscriber(parser), call_mode, SHORT, config=spans.config)
    [span] = spans.of_models
    expected = {
        "model": MODEL,
        "provider": "deepinfra",
        "input tokens": 380,
        "output tokens": 5,
        "cost in US dollars": 0.0001,
        "source of the cost": "estimated" if cost is None else "server",
        "seconds of audio": 2.0,
        "request id": "T1",
        "endpoint": "transcriptions",
        "attempts": 2,
        "temperature": 0.0,
    }
    assert shown(spans, span, *expected) == expected
    assert span.name == "VoxtralTranscription"


@pytest.mark.parametrize("mode", MODES)
def test_a_streamed_transcription_shows_its_tokens(spans: Spans, mode: str) -> None:
    with ScriptedServer(vllm("Hi", " there")) as server:
        pieces_of(mode, transcriber_at(server), SHORT, spans.config)
    [span] = spans.of_models
    expected = {"model": "voxtral", "provider": "vllm", "input tokens": 30, "output tokens": 4}
    expected |= {"finish reason": "stop", "request id": "trsc-1"}
    assert shown(spans, span, *expected) == expected


def test_a_recording_that_a_message_names_by_its_hash_is_not_in_the_span(
    make_chat: Callable[..., ChatVoxtral], server: Server, spans: Spans
) -> None:
    answer = {"choices": [{"message": {"content": "Noise."}, "finish_reason": "stop"}]}
    server.answer = lambda _: answering(answer)
    address = {"server": "vllm", "base_url": "https://127.0.0.1/v1", "model": "voxtral"}
    chat = make_chat(**address, audio_store=InMemoryByteStore())
    question = {"type": "text", "text": "What is it?"}
    chat.invoke([HumanMessage([chat.put_audio(SHORT), question])], spans.config)
    [span] = spans.of_models
    sent = server.request.content
    beginning = b64encode(SHORT)[:200]
    assert (beginning in sent, beginning.decode() in span.to_json()) == (True, False)
    assert f"sha256:{sha256(SHORT).hexdigest()}" in span.to_json()


def test_the_environment_sends_all_calls_to_the_programs_tracer_provider() -> None:
    settings = {
        "LANGSMITH_TRACING": "true",
        "LANGSMITH_TRACING_MODE": "otel",
        "LANGSMITH_API_KEY": "none",
        "LANGSMITH_ENDPOINT": "http://127.0.0.1:9",
        "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tests"))),
    }
    run_python(TRACED_BY_ENVIRONMENT, environment=os.environ | settings)


TRACED_BY_ENVIRONMENT = """
    from langchain_core.tracers.langchain import wait_for_all_tracers
    from opentelemetry.trace import set_tracer_provider
    from support.documented_exchanges import KEY, Server
    from support.spans import LANGSMITH, Spans, read

    from langchain_voxtral import ChatVoxtral

    spans = Spans(LANGSMITH)
    set_tracer_provider(spans.provider)
    ChatVoxtral(api_key=KEY, **Server().settings).invoke("Hello!")
    wait_for_all_tracers()
    [span] = spans.of_models
    assert read(span, "langsmith.metadata.cost") == 0.0000436
"""
"""A program whose provider is set globally, which cannot be undone within the tests."""


def test_every_documented_signal_is_tested() -> None:
    tested = {*re.findall(r'"([\w ]+)":', Path(__file__).read_text(encoding="utf-8"))}
    assert {row[0] for row in ROWS} - tested == set()
