"""Streams of chat completions that are cut and resumed, on every kind of server."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from support.call_modes import CALL_MODES, ask, sum_of
from support.completion_requests import SENT
from support.scripted_server import End, Reply, ScriptedServer, Step
from support.sse_replies import event, events, final, json_reply, token

from langchain_voxtral import ChatVoxtral, audio_block
from langchain_voxtral.audio.wav import wav_header
from langchain_voxtral.completions.request import RequestBuilder
from langchain_voxtral.completions.response import StreamItem
from langchain_voxtral.completions.resume import _log_no_effect
from langchain_voxtral.completions.stream import CompletionStream
from langchain_voxtral.completions.tools import ToolOptions
from langchain_voxtral.errors import VoxtralError, VoxtralIncompleteStreamError
from langchain_voxtral.messages import Turn
from langchain_voxtral.protocol.responses import ResponseInfo
from langchain_voxtral.providers import PROVIDERS, ProviderName
from langchain_voxtral.settings import SamplingSettings

CONTINUE: dict[str, dict[str, object]] = {
    "deepinfra": {},
    "vllm": {"continue_final_message": True, "add_generation_prompt": False},
    "llama_cpp": {},
}
"""The fields by which each kind of server continues the last message."""
NAMES: list[ProviderName] = ["deepinfra", "vllm", "llama_cpp"]
TEXTS = ["Ça", " va", "? न", "मस्", "ते ", "😀", "  ", "fin"]
CALL = {"index": 0, "id": "abcdef123", "function": {"name": "get_weather", "arguments": '{"ci'}}
on_each_server = pytest.mark.parametrize("server_name", NAMES)


def chunk(delta: Mapping[str, object], reason: str | None = None, **beside: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return event({"id": "chatcmpl-1", "choices": [choice], **beside})


def text(content: str, **beside: Any) -> bytes:
    return chunk({"content": content}, **beside)


def usage(prompt: int, completion: int) -> dict[str, int]:
    return {"prompt_tokens": prompt, "completion_tokens": completion}


def cut(*texts: str) -> Reply:
    return events(chunk({"role": "assistant", "content": ""}), *map(text, texts), End.CUT)


def streamed(*texts: str) -> Reply:
    last = chunk({}, "stop", usage=usage(20, 2))
    return events(chunk({"role": "assistant", "content": ""}), *map(text, texts), last)


def chat(server: ScriptedServer, name: str = "deepinfra", **fields: Any) -> ChatVoxtral:
    own = {"server": name, "base_url": server.url, "api": "chat_completions"}
    return ChatVoxtral(**(own | {"max_stream_resumes": 1} | fields))


def stream_of(name: ProviderName, *turns: Turn, **fields: Any) -> CompletionStream:
    """Return the decoder of a stream of chat completions that may be resumed nine times."""
    builder = RequestBuilder(PROVIDERS[name], api="chat_completions", max_resumes=9)
    settings = SamplingSettings(**fields)
    stream = CompletionStream(
        builder.from_turns(turns or [Turn("user", "Q")], settings, ToolOptions()), SENT
    )
    stream.start_attempt({}, 1)
    return stream


def resumed_body(stream: CompletionStream, items: list[StreamItem] | None = None) -> dict[str, Any]:
    """Cut the stream, start to resume it, and return the body that is sent."""
    with pytest.raises(VoxtralIncompleteStreamError) as caught:
        ([] if items is None else items).extend(stream.finish())
    content = stream.resume_request(caught.value).content
    assert isinstance(content, bytes)
    stream.start_attempt({}, 2)
    body: dict[str, Any] = json.loads(content)
    return body


def text_of(items: list[StreamItem]) -> str:
    return "".join(item for item in items if isinstance(item, str))


@on_each_server
@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_a_cut_chat_is_resumed_from_the_exact_text_so_far(
    server_name: str, call_mode: str
) -> None:
    with ScriptedServer(cut("Hello", ", wor"), streamed("ld", "!")) as server:
        answer = await ask(chat(server, server_name), call_mode, "Hi")
    first, second = (seen.body for seen in server.requests)
    assert answer == "Hello, world!"
    so_far = {"role": "assistant", "content": "Hello, wor"}
    assert second == first | {"messages": [*first["messages"], so_far]} | CONTINUE[server_name]


@on_each_server
def test_the_text_of_a_chat_is_complete_wherever_the_stream_is_cut(
    server_name: ProviderName,
) -> None:
    """The stream is cut at every byte: in a character, an event, a line end."""
    # Not escaped, so that a cut can fall within a character.
    parts = [f'data: {{"choices": [{{"delta": {{"content": "{one}"}}}}]}}\n\n' for one in TEXTS]
    whole = "".join(parts).encode()
    for place in range(len(parts[0].encode()), len(whole)):
        stream = stream_of(server_name)
        items = list(stream.feed(whole[:place]))
        received = resumed_body(stream, items)["messages"][-1]["content"]
        number = next(n for n in range(len(TEXTS) + 1) if "".join(TEXTS[:n]) == received)
        if PROVIDERS[server_name].trims_prefill:  # so that it begins with them
            items += stream.feed(text(" " * (len(received) - len(received.rstrip(" ")))))
        for one in TEXTS[number:]:
            items += stream.feed(text(one))
        items += stream.feed(chunk({}, "stop", usage=usage(9, 9)))
        assert text_of(items) == "".join(TEXTS)
        assert isinstance(items[-1], ResponseInfo)
        assert items[-1].resumes == 1


def test_spaces_that_vllm_drops_are_not_doubled_and_others_are_kept() -> None:
    for pieces, expected in [
        ([" world"], "Hello  world"),
        (["   world"], "Hello   world"),
        ([" ", " ", " world"], "Hello   world"),
        (["\n"], "Hello  \n"),
    ]:
        stream = stream_of("vllm")
        items = list(stream.feed(text("Hello") + text("  ")))
        assert resumed_body(stream)["messages"][-1]["content"] == "Hello  "
        items += [item for piece in pieces for item in stream.feed(text(piece))]
        items += stream.feed(chunk({}, "stop"))
        assert text_of(items) == expected


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        (["Hello", " world"], "Hello world"),
        (["Hel", "lo wor", "ld"], "Hello world"),
        ([" world"], "Hello world"),  # if it does not repeat the text after all
        (["Hel"], "HelloHel"),
        (["Hello"], "Hello"),
    ],
)
def test_a_text_that_mistral_repeats_is_not_doubled(pieces: list[str], expected: str) -> None:
    stream = stream_of("mistral")
    items = list(stream.feed(text("Hello")))
    last = {"role": "assistant", "content": "Hello", "prefix": True}
    assert resumed_body(stream)["messages"][-1] == last
    items += [item for piece in pieces for item in stream.feed(text(piece))]
    items += [*stream.feed(chunk({}, "stop")), *stream.finish()]
    assert text_of(items) == expected


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_prefill_that_mistral_repeats_is_not_in_the_answer(call_mode: str) -> None:
    whole = {"choices": [{"message": {"content": "The answer is no."}, "finish_reason": "stop"}]}
    is_stream = call_mode.endswith("stream")
    reply = streamed("The ans", "wer is", " no.") if is_stream else json_reply(whole)
    with ScriptedServer(reply) as server:
        messages = [HumanMessage("Well?"), AIMessage("The answer ")]
        assert await ask(chat(server, "mistral"), call_mode, messages) == " is no."


def test_a_stop_sequence_is_found_across_a_cut() -> None:
    stream = stream_of("vllm", stop=["STOP"])
    items = list(stream.feed(text("one ") + text("ST")))
    assert resumed_body(stream)["messages"][-1]["content"] == "one ST"
    items += stream.feed(text("OP") + text(" two") + chunk({}, "length"))
    items += stream.finish()
    assert text_of(items) == "one "


@on_each_server
def test_a_prefill_and_recordings_are_sent_again(server_name: str) -> None:
    silence = audio_block(wav_header(32_000) + bytes(32_000))
    messages = [HumanMessage(["Well?", silence]), AIMessage("The answer")]
    with ScriptedServer(cut(" is"), streamed(" no.")) as server:
        model = chat(server, server_name, api="auto")
        shown = sum_of(list(model.stream(messages))).text
    first, second = (seen.body["messages"] for seen in server.requests)
    assert shown == " is no."
    assert second[:-1] == first[:-1]
    assert first[0]["content"][1]["type"] == "input_audio"
    assert second[-1] == first[-1] | {"content": "The answer is"}


@pytest.mark.parametrize(
    ("steps", "options", "reason"),
    [
        ([chunk({"tool_calls": [CALL]})], {}, "within or after a tool call"),
        ([text("Let me see."), chunk({"tool_calls": [CALL]})], {}, "within or after a tool call"),
        ([text("{")], {"response_format": {"type": "json_object"}}, "response_format"),
        ([text("a")], {"max_tokens": 1}, "max_tokens is used up"),
        ([text("a b c")], {"max_tokens": 3}, "max_tokens is used up"),
        ([text("{")], {"model_kwargs": {"guided_json": {}}}, "'guided_json'"),
    ],
    ids=["call", "text and call", "response format", "limit", "limit in one event", "guided"],
)
@on_each_server
def test_the_error_of_a_chat_that_cannot_be_resumed_says_why(
    server_name: str, steps: list[Step], options: dict[str, Any], reason: str
) -> None:
    with ScriptedServer(events(*steps, End.CUT)) as server:
        with pytest.raises(VoxtralIncompleteStreamError) as caught:
            list(chat(server, server_name).stream("Hi", **options))
        assert len(server.requests) == 1
    assert "The stream cannot be resumed: " in caught.value.message
    assert reason in caught.value.message
    assert "Set max_stream_resumes" not in caught.value.message


def test_a_required_call_is_not_resumed_even_within_text() -> None:
    with ScriptedServer(events(text("I call"), End.CUT)) as server:
        bound = chat(server).bind_tools([{"name": "f", "parameters": {}}], tool_choice="any")
        with pytest.raises(VoxtralIncompleteStreamError, match="the required tool call constrains"):
            list(bound.stream("Hi"))
        assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "options", "is_advised"),
    [
        (events(text("Half"), End.CUT), {}, True),
        (events(token("Half"), End.CUT), {"api": "native"}, True),
        (events(), {}, False),
        (events(chunk({"tool_calls": [CALL]}), End.CUT), {}, False),
        (events(text("a"), End.CUT), {"max_tokens": 1}, False),
        (events(text("a"), End.CUT), {"response_format": {"type": "json_object"}}, False),
        (events(text("a"), End.CUT), {"response_format": {"type": "text"}}, True),
    ],
    ids=["chat", "native", "nothing came", "call", "limit", "response format", "plain text"],
)
def test_resuming_is_advised_only_where_it_would_have_helped(
    reply: Reply, options: dict[str, Any], is_advised: bool
) -> None:
    with ScriptedServer(reply) as server:
        model = chat(server, max_retries=0, **({"max_stream_resumes": 0} | options))
        with pytest.raises(VoxtralError) as caught:
            list(model.stream("Hi"))
    assert ("Set max_stream_resumes" in caught.value.message) is is_advised


@pytest.mark.parametrize(
    ("api", "reply"), [("native", events(final())), ("chat_completions", streamed("{}"))]
)
def test_a_stream_that_cannot_be_resumed_logs_so_at_once(
    api: str, reply: Reply, caplog: pytest.LogCaptureFixture
) -> None:
    _log_no_effect.cache_clear()
    with ScriptedServer(default=reply) as server:
        model = chat(server, api=api)
        list(model.stream("Hi"))
        assert caplog.messages == []
        for _ in range(2):
            list(model.stream("Hi", response_format={"type": "json_object"}))
    [message] = caplog.messages
    assert message.startswith("max_stream_resumes has no effect on this stream: response_format")


# Tokens


def test_vllm_is_asked_for_the_usage_in_every_chunk_if_streams_may_be_resumed() -> None:
    for server_name, max_resumes, expected in [
        ("vllm", 1, {"include_usage": True, "continuous_usage_stats": True}),
        ("vllm", 0, {"include_usage": True}),
        ("llama_cpp", 1, {"include_usage": True}),
        ("deepinfra", 1, {"include_usage": True}),
    ]:
        with ScriptedServer(streamed("a")) as server:
            list(chat(server, server_name, max_stream_resumes=max_resumes).stream("Hi"))
        assert server.requests[0].body["stream_options"] == expected


def test_tokens_are_counted_as_the_server_reports_them() -> None:
    """Its events have five tokens each."""
    stream = stream_of("vllm", max_tokens=20)
    stream.feed(text("aaaaa", usage=usage(7, 5)) + text("bbbbb", usage=usage(7, 10)))
    assert resumed_body(stream)["max_tokens"] == 10
    stream.feed(text("ccccc", usage=usage(17, 5)))
    assert resumed_body(stream)["max_tokens"] == 5
    *_, info = stream.feed(text("d", usage=usage(22, 1)) + chunk({}, "stop", usage=usage(22, 1)))
    assert isinstance(info, ResponseInfo)
    assert (info.usage.input_tokens, info.usage.output_tokens) == (7 + 17 + 22, 10 + 5 + 1)
    assert (info.usage_incomplete, info.resumes) == (False, 2)


@pytest.mark.parametrize(
    ("chunks", "tokens"),
    [
        ([text("one"), text(" two")], 2),
        ([text(" one two three four five")], 6),
        ([text("one two", usage=usage(7, 5)), text(" three")], 6),
        ([text("one", usage=usage(7, 0)), text(" two"), text(" three")], 3),
        ([text("one", usage=usage(7, 0)), text(" two", usage=usage(7, 0))], 2),
    ],
    ids=["an event each", "words in one event", "a report in between", "at the start", "of none"],
)
def test_tokens_that_are_not_reported_are_estimated_and_flagged(
    chunks: list[bytes], tokens: int
) -> None:
    stream = stream_of("llama_cpp", max_tokens=20)
    stream.feed(b"".join(chunks))
    assert resumed_body(stream)["max_tokens"] == 20 - tokens
    *_, info = stream.feed(text("!") + chunk({}, "stop", usage=usage(17, 1)))
    assert isinstance(info, ResponseInfo)
    assert (info.usage.output_tokens, info.usage_incomplete) == (tokens + 1, True)


def test_log_probabilities_count_the_tokens_of_an_event() -> None:
    logprobs = {"content": [{"token": one, "logprob": -1.0} for one in "abc"]}
    choice = {"index": 0, "delta": {"content": "abc"}, "logprobs": logprobs}
    stream = stream_of("llama_cpp", max_tokens=20, logprobs=True)
    stream.feed(event({"choices": [choice]}))
    assert resumed_body(stream)["max_tokens"] == 17


def test_a_limit_of_model_kwargs_holds_across_a_cut() -> None:
    stream = stream_of("vllm", max_tokens=20, model_kwargs={"max_completion_tokens": 9})
    stream.feed(text("a"))
    body = resumed_body(stream)
    assert (body["max_tokens"], body["max_completion_tokens"]) == (19, 8)


def test_native_events_of_several_words_keep_the_limit_and_are_flagged() -> None:
    with ScriptedServer(
        events(token(" a b c d e"), token(" f g h i j"), End.CUT), events(token("!"), final())
    ) as server:
        model = ChatVoxtral(base_url=server.url, max_stream_resumes=1, max_tokens=20)
        whole = sum_of(list(model.stream("Hi")))
    assert server.requests[1].body["max_new_tokens"] == 10
    assert whole.response_metadata["usage_incomplete"] is True
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == 10 + 25
