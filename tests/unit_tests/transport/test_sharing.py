"""What calls share, and what must not leak from one call to another."""

import subprocess
import sys
import threading

import httpx
import pytest
from langchain_core.runnables import ConfigurableField
from support.call_modes import Caller, text_of
from support.scripted_server import End, Gate, Reply, ScriptedServer
from support.sse_replies import events, json_reply, streamed, token, whole
from support.transports import on_each_transport

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.errors import VoxtralInvalidRequestError


def test_a_limit_of_a_stream_that_is_over_does_not_end_the_next_request(caller: Caller) -> None:
    slow = Gate()
    stopped = events(
        token("one STOP")
    )  # ends without its final event, so the client waits for metadata
    late = Reply(body=whole("two").body, steps=[slow])
    with ScriptedServer(stopped, late, default=late) as server:
        model = caller.model(server, max_retries=0)
        answer = ""
        for chunk in caller.stream(model, stop=["STOP"]):
            if "usage_incomplete" in chunk.info:
                threading.Timer(0.8, slow.open).start()  # longer than the client waits for metadata
                answer = caller.invoke(model).text

    assert answer == "two"


def test_a_cookie_for_one_account_does_not_go_out_for_another(caller: Caller) -> None:
    baking = whole("Hi", headers={"set-cookie": "session=first; Path=/"})
    with ScriptedServer(baking, default=whole("Hi")) as server:
        models = [caller.model(server, api_key=key) for key in ("first-account", "second-one")]
        for model in models:
            caller.invoke(model)

    assert [seen.headers.get("cookie") for seen in server.requests] == [None, None]


def test_a_reconfigured_model_still_streams() -> None:
    with ScriptedServer(default=streamed("a", "b", "c")) as server:
        chat = ChatVoxtral(base_url=server.url, chunk_coalescing=False)
        field = ConfigurableField(id="warmth")
        warmer = chat.configurable_fields(temperature=field).with_config(configurable={"warmth": 1})
        chunks = [text_of(chunk) for chunk in warmer.stream("Hello!")]

    assert chunks == ["a", "b", "c", ""]
    assert server.requests[0].body["temperature"] == 1


@on_each_transport
def test_a_model_that_ends_with_its_loop_leaves_nothing_open() -> None:
    script = (
        "import asyncio, sys\n"
        "from langchain_voxtral import ChatVoxtral\n"
        "async def main():\n"
        "    chat = ChatVoxtral(base_url=sys.argv[1])\n"
        "    await chat.abatch(['a'] * 5)\n"
        "asyncio.run(main())\n"
    )
    with ScriptedServer(default=whole("Hi")) as server:
        done = subprocess.run(  # noqa: S603 - our own script
            [sys.executable, "-X", "dev", "-W", "always", "-c", script, server.url],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )

    assert "unclosed" not in done.stderr
    assert len(server.requests) == 5


def test_a_batch_of_prompts_fails_as_soon_as_one_does() -> None:
    refusal = json_reply({"detail": "no"}, status=400)
    with ScriptedServer(refusal, default=Reply(steps=[End.STALL])) as server:
        llm = VoxtralLLM(base_url=server.url, max_retries=0)
        with pytest.raises(VoxtralInvalidRequestError):
            llm.batch(["a", "b", "c"])


def test_a_closed_custom_client_is_named() -> None:
    client = httpx.Client()
    client.close()
    with pytest.raises(VoxtralInvalidRequestError, match="http_client"):
        ChatVoxtral(base_url="http://127.0.0.1:9/v1", http_client=client).invoke("Hello!")
