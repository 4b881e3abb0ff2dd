"""What callers of a working server receive: text as it arrives, and metadata once."""

import gzip
from dataclasses import replace

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from support.call_modes import Caller, Response
from support.scripted_server import Gate, Reply, ScriptedServer
from support.sse_replies import event, events, final, streamed, token, whole

from langchain_voxtral import ChatVoxtral

USAGE = {"input_tokens": 12, "output_tokens": 25, "total_tokens": 37}
INVOKED = {
    "model_name": "mistralai/Voxtral-Mini-3B-2507",
    "model_provider": "deepinfra",
    "endpoint": "native",
    "request_id": "RWZDRhS5kdoM1XWwXLEshynO",
    "cost": 0.0000436,
    "runtime_ms": 243,
    "usage_metadata": USAGE,
}
STREAMED = {
    "model_name": "mistralai/Voxtral-Mini-3B-2507",
    "model_provider": "deepinfra",
    "endpoint": "native",
    "finish_reason": "stop",
    "finish_reason_source": "server",
    "cost": 0.0000386,
    "usage_metadata": USAGE,
}


def test_an_invoked_answer_has_text_usage_cost_and_request_id(caller: Caller) -> None:
    with ScriptedServer(whole("Hello! It's nice to meet you.")) as server:
        answer = caller.invoke(caller.model(server))
    assert answer == Response("Hello! It's nice to meet you.", INVOKED)


def test_a_streamed_answer_has_its_metadata_on_the_last_chunk_only(caller: Caller) -> None:
    with ScriptedServer(streamed("Hello", "!", " It", "'s")) as server:
        chunks = list(caller.stream(caller.model(server), stop=[]))
    assert "".join(chunk.text for chunk in chunks) == "Hello! It's"
    assert chunks[-1] == Response("", STREAMED)
    assert [chunk.info for chunk in chunks[:-1]] == [{}] * (len(chunks) - 1)


def test_the_messages_of_a_chat_model_are_complete() -> None:
    with ScriptedServer(whole("Hello!"), streamed("Hello", "!")) as server:
        chat = ChatVoxtral(base_url=server.url)
        invoked = chat.invoke("Hello!")
        first, *more = chat.stream("Hello!")
    added = sum(more, start=first)
    usage = UsageMetadata(input_tokens=12, output_tokens=25, total_tokens=37)
    assert invoked == AIMessage(
        content="Hello!",
        id=invoked.id,
        response_metadata={k: v for k, v in INVOKED.items() if k != "usage_metadata"},
        usage_metadata=usage,
    )
    assert added == AIMessageChunk(
        content="Hello!",
        id=added.id,
        response_metadata={k: v for k, v in STREAMED.items() if k != "usage_metadata"},
        usage_metadata=usage,
        chunk_position="last",
    )


def test_a_token_reaches_the_caller_before_the_server_has_the_next_one(caller: Caller) -> None:
    second, third = Gate(), Gate()
    reply = events(token("Hello"), second, token("!"), third, final())
    with ScriptedServer(reply) as server:
        chunks = caller.stream(caller.model(server))
        assert next(chunks) == Response("Hello")
        second.open()
        assert next(chunks) == Response("!")
        third.open()
        assert list(chunks) == [Response("", STREAMED)]


@pytest.mark.parametrize(
    ("coalescing", "texts"), [(True, ["Hello! It's"]), (False, ["Hello", "!", " It", "'s"])]
)
def test_tokens_of_one_read_leave_together_or_one_by_one(
    caller: Caller, coalescing: bool, texts: list[str]
) -> None:
    together = b"".join(map(token, ["Hello", "!", " It", "'s"]))
    with ScriptedServer(events(together, final())) as server:
        chunks = list(caller.stream(caller.model(server, chunk_coalescing=coalescing)))
    assert chunks == [*map(Response, texts), Response("", STREAMED)]


def test_special_tokens_and_the_repeated_text_are_never_shown(caller: Caller) -> None:
    reply = events(token("Hello"), token("</s>", special=True), final(generated_text="Hello"))
    with ScriptedServer(reply) as server:
        chunks = list(caller.stream(caller.model(server)))
    assert chunks == [Response("Hello"), Response("", STREAMED)]


def test_the_request_id_of_the_header_serves_where_the_body_has_none(caller: Caller) -> None:
    headers = {"x-request-id": "H1"}
    bare = b'{"results": [{"generated_text": "Hello"}]}'
    with ScriptedServer(
        Reply(headers=headers | {"content-type": "application/json"}, body=bare),
        replace(whole("Hello"), headers=headers),
        streamed("Hello", headers=headers),
        events(token("Hello"), final(request_id="R1"), headers=headers),
    ) as server:
        model = caller.model(server)
        ids = [caller.invoke(model).info["request_id"] for _ in range(2)]
        ids += [list(caller.stream(model))[-1].info["request_id"] for _ in range(2)]
    assert ids == ["H1", "RWZDRhS5kdoM1XWwXLEshynO", "H1", "R1"]


def test_numbers_that_the_server_leaves_out_are_absent(caller: Caller) -> None:
    bare = b'{"results": [{"generated_text": "Hello"}]}'
    ended = event({"token": {"text": ""}, "details": {"finish_reason": "length"}})
    with ScriptedServer(Reply(body=bare), events(token("Hello"), ended)) as server:
        model = caller.model(server)
        invoked, last = caller.invoke(model), list(caller.stream(model))[-1]
    named = {
        "model_name": model.model,
        "model_provider": "deepinfra",
        "endpoint": "native",
    }
    assert invoked == Response("Hello", named)
    assert last.info == named | {"finish_reason": "length", "finish_reason_source": "server"}


def test_the_model_that_the_server_names_is_the_model_name(caller: Caller) -> None:
    headers = {"x-voxtral-model": "SmolLM2-135M-Instruct"}
    with ScriptedServer(
        whole("Hello", headers=headers), streamed("Hello", headers=headers)
    ) as server:
        model = caller.model(server)
        infos = [caller.invoke(model).info, list(caller.stream(model))[-1].info]
    assert [info["model_name"] for info in infos] == ["SmolLM2-135M-Instruct"] * 2


def test_a_compressed_body_is_read(caller: Caller) -> None:
    plain, coding = whole("Hello"), {"content-encoding": "gzip"}
    assert plain.body is not None
    stream = gzip.compress(b"".join([token("Hel"), token("lo"), final()]))
    with ScriptedServer(
        replace(plain, headers=coding, body=gzip.compress(plain.body)),
        events(stream[:40], stream[40:], headers=coding),
    ) as server:
        model = caller.model(server)
        assert caller.invoke(model) == Response("Hello", INVOKED)
        assert "".join(chunk.text for chunk in caller.stream(model)) == "Hello"
