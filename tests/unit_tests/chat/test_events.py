"""Events of `stream_events(version="v3")`: those that LangChain itself would make of the chunks."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import langchain_core
import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import ChatGenerationChunk, LLMResult
from langchain_core.tracers import LangChainTracer
from support.documented_exchanges import token_event
from support.refusals import refusal_events
from support.scripted_server import End, Reply, ScriptedServer
from support.sse_replies import event, events, final, json_reply, streamed, token
from support.tool_calls import LYON, NOW_TOOL, PARIS, WEATHER_TOOL
from support.tool_dialects import CHAT, DIALECTS, USAGE, Dialect, ScriptedCall
from support.trace_recorder import TraceRecorder

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.errors import VoxtralError

pytestmark = pytest.mark.filterwarnings("ignore:.* is in beta")

is_old = langchain_core.__version__.startswith("1.6.")
on_core_with_tool_call_deltas = pytest.mark.skipif(is_old, reason="LangChain makes the events")

RUN_ID = UUID(int=1)
BROKEN = ScriptedCall("get_weather", '{"city": "Paris" "days": 3}')
NO_ARGUMENTS = ScriptedCall("now", "", "nowAAAAA3")
TOOLS = {"tools": [WEATHER_TOOL, NOW_TOOL]}


class OfChunks(ChatVoxtral):
    """A subclass that has chunks of its own, so that LangChain makes the events."""

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        yield from super()._stream(*args, **kwargs)

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        async for chunk in super()._astream(*args, **kwargs):
            yield chunk


class Listener(BaseCallbackHandler):
    """Records what a handler receives, in order, as it is then."""

    run_inline = True

    def __init__(self) -> None:
        self.received: list[str] = []

    def _record(self, *what: Any) -> None:
        self.received.append(json.dumps(what, default=repr))

    def on_stream_event(self, event: Any, **_: Any) -> None:
        self._record("event", event)

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        self._record("token", token, chunk.model_dump())

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        self._record("end", response.model_dump())

    def on_llm_error(self, error: BaseException, **_: Any) -> None:
        self._record("error", repr(error))


@dataclass(frozen=True)
class Case:
    """What a server answers, and how it is asked."""

    replies: Sequence[Reply]
    fields: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


def one(*steps: bytes | End, **asked: Any) -> Case:
    return Case([events(*steps)], **asked)


def calling(dialect: Dialect, *reply: Any, after: str = "", reason: str = "") -> Case:
    """Return an answer of a text, calls, and more text."""
    last = dialect.last(reason or dialect.reason(reply[1]))
    steps = [*dialect.tokens(*reply), *dialect.texts(after), last]
    return one(*steps, fields=dialect.fields, options=TOOLS)


TEXT = [token(text) for text in ("Hello", ", ", "wor", "ld \u2028", "!")]
CASES = {
    "text": one(*TEXT, final()),
    "text in one read": one(b"".join([*TEXT, final()]), fields={"chunk_coalescing": True}),
    "no coalescing": one(b"".join([*TEXT, final()])),
    "empty": one(final()),
    "no usage": one(*TEXT, final(num_input_tokens=None)),
    "length": one(*TEXT, final(details={"finish_reason": "length"})),
    "log probabilities": one(
        *(token_event(text, token_id=7, logprob=-0.5) for text in ("Hello", "", "!", "")),
        final(),
        fields={"logprobs": True},
    ),
    "a log probability alone": one(
        token_event("", token_id=7, logprob=-0.5), final(), fields={"logprobs": True}
    ),
    "stop": one(token("one ST"), token("OP two"), final(), options={"stop": ["STOP"]}),
    "JSON": one(
        *map(token, ("```json\n", '{"a": 1}', "\n```")),
        final(),
        options={"response_format": {"type": "json_object"}},
    ),
    "cut": one(*TEXT, End.CUT),
    "resumed": Case(
        [events(*TEXT, End.CUT), streamed(" Well", "?")], fields={"max_stream_resumes": 1}
    ),
    "failure in the stream": one(*TEXT, event({"error": {"message": "boom"}})),
    "refusal": Case([json_reply({"detail": "no"}, status=400)]),
    **{
        f"calls amid text, {dialect.name}": calling(
            dialect, "Well: ", [PARIS, LYON], after="\nThat is all."
        )
        for dialect in DIALECTS
    },
    "calls": calling(CHAT, "", [PARIS, LYON]),
    "no call": calling(CHAT, "Well.", []),
    "a broken call": calling(CHAT, "", [BROKEN]),
    "a call without arguments": calling(CHAT, "", [NO_ARGUMENTS]),
    "refused by the model": one(*refusal_events(), fields=CHAT.fields),
    "refused after a text": one(*refusal_events("Well."), fields=CHAT.fields),
    "a call that is cut": calling(CHAT, "", [PARIS], reason="length"),
}


async def run(model: type[ChatVoxtral], case: Case, call_mode: str) -> dict[str, Any]:
    """Return all that is seen of a stream of events, without ids that are random."""
    listener, recorder = Listener(), TraceRecorder()
    callbacks = [listener, LangChainTracer(client=recorder)]
    config: Any = {"callbacks": callbacks, "run_id": RUN_ID}
    seen: list[Any] = []
    answer: Any = None
    with ScriptedServer(*case.replies) as server:
        # What arrives in one read differs from run to run.
        fields: Any = {"chunk_coalescing": False, **case.fields}
        chat = model(base_url=server.url, max_retries=0, **fields)
        asked: Any = {"version": "v3", "config": config, **case.options}
        try:
            if call_mode == "stream_events":
                stream = chat.stream_events("Hello!", **asked)
                for one in stream:
                    seen.append(json.dumps(one))
                    if one["event"] == "content-block-start":
                        one["content"].clear()  # what a reader does to it changes no later event
                answer = stream.output
            else:
                astream = await chat.astream_events("Hello!", **asked)
                seen.extend([json.dumps(one) async for one in astream])
                answer = await astream.output
        except VoxtralError as error:
            seen.append((repr(error), error.partial, error.usage, error.attempts))
        # LangChain tells handlers of the end in a task of its own.
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})
        await chat.aclose()
        chat.close()
        requests = [request.body for request in server.requests]
    [trace] = recorder.model_runs
    traced = {
        "inputs": trace["inputs"],
        "outputs": trace["outputs"],
        "metadata": trace["extra"]["metadata"],
        "events": [(each["name"], each.get("kwargs")) for each in trace["events"]],
    }
    found = {
        "events": seen,
        "message": answer and answer.model_dump(),
        "handler": listener.received,
        "trace": traced,
        "requests": requests,
    }
    text = json.dumps(found, default=repr)
    made = dict.fromkeys(re.findall(r'\\*"id\\*": \\*"([A-Za-z0-9]{9})\\*"', text))
    for number, call_id in enumerate(made):
        text = text.replace(call_id, f"call {number}")
    result: dict[str, Any] = json.loads(text.replace(server.url, "URL"))
    return result


@on_core_with_tool_call_deltas
@pytest.mark.parametrize("call_mode", ["stream_events", "astream_events"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
async def test_events_are_those_that_langchain_makes_of_the_chunks(
    case: Case, call_mode: str
) -> None:
    assert await run(ChatVoxtral, case, call_mode) == await run(OfChunks, case, call_mode)


@pytest.mark.parametrize("hook", ["_stream_chat_model_events", "_astream_chat_model_events"])
def test_langchain_is_given_events_if_it_reads_them_and_no_subclass_has_other_chunks(
    hook: str,
) -> None:
    assert (getattr(ChatVoxtral(), hook) is None) == is_old
    assert getattr(OfChunks(), hook) is None


@on_core_with_tool_call_deltas
async def test_the_events_of_a_text_and_a_call() -> None:
    steps = [*CHAT.tokens("Well", [PARIS], size=20), CHAT.last("tool_calls")]
    ran = await run(ChatVoxtral, one(*steps, fields=CHAT.fields, options=TOOLS), "stream_events")
    call = {"id": "call 0", "name": "get_weather"}
    assert [json.loads(each) for each in ran["events"]] == [
        {"event": "message-start", "role": "ai", "id": f"lc_run--{RUN_ID}"},
        {"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}},
        {
            "event": "content-block-delta",
            "index": 0,
            "delta": {"type": "text-delta", "text": "Well"},
        },
        {
            "event": "content-block-start",
            "index": 1,
            "content": {"type": "tool_call_chunk", **call, "args": "", "index": 1000},
        },
        {
            "event": "content-block-delta",
            "index": 1,
            "delta": {"type": "tool-call-delta", "args": PARIS.arguments},
        },
        {"event": "content-block-finish", "index": 0, "content": {"type": "text", "text": "Well"}},
        {
            "event": "content-block-finish",
            "index": 1,
            "content": {"type": "tool_call", **call, "args": {"city": "Paris"}},
        },
        {
            "event": "message-finish",
            "usage": USAGE,
            "metadata": CHAT.metadata([PARIS], streamed=True),
        },
    ]
