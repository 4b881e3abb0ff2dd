"""One model in several event loops, threads and processes."""

import asyncio
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.call_modes import Model, text_of
from support.scripted_server import Repeat, ScriptedServer
from support.sse_replies import events, json_reply, streamed, token, whole
from support.transports import on_each_transport

pytestmark = pytest.mark.usefixtures("_no_earlier_models", "_no_open_sockets")

FINE = whole("Hello!")


@on_each_transport
def test_one_model_serves_one_event_loop_after_the_other(model_class: type[Model]) -> None:
    with ScriptedServer(FINE, FINE, FINE) as server:
        model = model_class(base_url=server.url)
        answers = [asyncio.run(model.ainvoke("Hello!")) for _ in range(3)]
        server.wait_until_disconnected()
    assert [text_of(answer) for answer in answers] == ["Hello!"] * 3
    assert (len(server.requests), len(server.connections)) == (3, 3)


@on_each_transport
def test_one_model_streams_in_one_event_loop_after_the_other(model_class: type[Model]) -> None:
    async def joined(model: Model) -> str:
        return "".join([text_of(c) async for c in model.astream("Hello!")])

    with ScriptedServer(default=streamed("Hello", "!")) as server:
        model = model_class(base_url=server.url)
        assert [asyncio.run(joined(model)) for _ in range(3)] == ["Hello!"] * 3
        server.wait_until_disconnected()
    assert len(server.requests) == 3


def test_one_model_serves_many_threads(model_class: type[Model]) -> None:
    with ScriptedServer(default=FINE) as server, ThreadPoolExecutor(8) as pool:
        model = model_class(base_url=server.url)
        answers = list(pool.map(model.invoke, ["Hello!"] * 40))
        model.close()
    assert [text_of(answer) for answer in answers] == ["Hello!"] * 40
    assert len(server.requests) == 40
    assert len(server.connections) <= 8


@on_each_transport
def test_one_model_serves_event_loops_in_many_threads(model_class: type[Model]) -> None:
    async def twice(model: Model) -> list[object]:
        return [await model.ainvoke("Hello!"), await model.ainvoke("Hello!")]

    with ScriptedServer(default=FINE) as server, ThreadPoolExecutor(8) as pool:
        model = model_class(base_url=server.url)
        answers = list(pool.map(lambda _: asyncio.run(twice(model)), range(16)))
        server.wait_until_disconnected()
    assert [text_of(a) for pair in answers for a in pair] == ["Hello!"] * 32
    assert (len(server.requests), len(server.connections)) == (32, 16)


FORKING = """
    import os, sys
    from langchain_voxtral import ChatVoxtral
    chat = ChatVoxtral(base_url=sys.argv[1], deadline=60)
    assert chat.invoke("of the parent").text == "Hello!"
    child = os.fork()
    if child == 0:
        assert chat.invoke("of the child").text == "Hello!"
        sys.exit()
    assert os.waitpid(child, 0) == (child, 0)
    assert chat.invoke("of the parent").text == "Hello!"
"""


def run(script: str, server: ScriptedServer) -> None:
    """Run a script in a new Python process; it must succeed without output."""
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(script), server.url]
    done = subprocess.run(  # noqa: S603 - our own script
        command, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stderr, done.returncode) == ("", 0)


def test_a_forked_child_has_its_own_connection() -> None:
    with ScriptedServer(default=FINE) as server:
        run(FORKING, server)
    first, second, third = [seen.connection.port for seen in server.requests]
    assert first == third != second
    assert "of the child" in server.requests[1].body["input"]


@on_each_transport
def test_a_first_call_imports_nothing() -> None:
    """A child that is forked while another thread imports would wait for the import for ever."""
    script = """
        import asyncio, os, sys
        from contextlib import suppress
        from langchain_voxtral import ChatVoxtral, VoxtralLLM, VoxtralTranscriber
        from langchain_voxtral.audio.wav import wav_header
        from langchain_voxtral.errors import VoxtralConnectionError

        async def consume(chunks):
            async for _ in chunks:
                pass

        chat, llm, transcriber = (
            kind(base_url=sys.argv[1], max_retries=0)
            for kind in (ChatVoxtral, VoxtralLLM, VoxtralTranscriber)
        )
        https = ChatVoxtral(base_url="https://127.0.0.1:9/v1", max_retries=0)
        for model, prompt in (
            (chat, "Hello!"), (llm, "Hello!"),
            (transcriber, wav_header(320) + bytes(range(160)) * 2),
            (https, "Hello!"),
        ):
            for call in (
                lambda: model.invoke(prompt),
                lambda: list(model.stream(prompt)),
                lambda: asyncio.run(model.ainvoke(prompt)),
                lambda: asyncio.run(consume(model.astream(prompt))),
            ):
                child = os.fork()
                if child == 0:
                    before = set(sys.modules)
                    with suppress(VoxtralConnectionError if model is https else ()):
                        call()
                    new = set(sys.modules) - before
                    assert not new, new
                    os._exit(0)
                assert os.waitpid(child, 0) == (child, 0)
    """
    whole, stream, text = FINE, streamed("Hello!"), json_reply({"text": "Hello!"})
    replies = [whole, stream, whole, stream] * 2
    with ScriptedServer(*replies, default=text) as server:
        run(script, server)
    assert len(server.requests) == 12


def test_a_first_recording_imports_nothing() -> None:
    script = """
        import asyncio, os, sys
        from langchain_voxtral import ChatVoxtral, audio_block
        from langchain_voxtral.audio.wav import wav_header

        chat = ChatVoxtral(base_url=sys.argv[1])
        messages = [("user", [audio_block(wav_header(320) + bytes(320))])]
        for call in (chat.invoke, lambda messages: asyncio.run(chat.ainvoke(messages))):
            child = os.fork()
            if child == 0:
                before = set(sys.modules)
                call(messages)
                new = set(sys.modules) - before
                assert not new, new
                os._exit(0)
            assert os.waitpid(child, 0) == (child, 0)
    """
    message = {"role": "assistant", "content": "Hello!"}
    reply = json_reply({"choices": [{"message": message, "finish_reason": "stop"}]})
    with ScriptedServer(default=reply) as server:
        run(script, server)
    assert len(server.requests) == 2


def test_time_limits_hold_in_a_forked_child() -> None:
    script = """
        import os, sys
        from langchain_voxtral import ChatVoxtral
        from langchain_voxtral.errors import VoxtralTimeoutError
        chat = ChatVoxtral(base_url=sys.argv[1], deadline=60)
        assert "".join(chunk.text for chunk in chat.stream("Hello!")) == "Hello!"
        child = os.fork()
        if child == 0:
            try:
                list(chat.model_copy(update={"deadline": 0.2}).stream("Hello!"))
            except VoxtralTimeoutError as error:
                assert error.partial == "Hel", error.partial
                sys.exit()
            raise AssertionError("no time limit held")
        assert os.waitpid(child, 0) == (child, 0)
    """
    trickle = events(token("Hel"), Repeat(b": still here\n\n", 0.01))
    with ScriptedServer(streamed("Hello!"), trickle) as server:
        run(script, server)
