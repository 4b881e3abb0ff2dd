"""Agents whose tools return recordings: the model hears them in the request that follows."""

import base64
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.stores import InMemoryByteStore
from langchain_core.tools import BaseTool, tool
from support.agent_runs import in_each_call_mode, in_each_dialect, run
from support.documented_exchanges import KEY, Server
from support.speech_samples import speech, wav_bytes
from support.strict_servers import SERVERS, strict
from support.tool_dialects import CHAT, LLAMA3, Dialect, ScriptedCall

from langchain_voxtral import ChatVoxtral, audio_block
from langchain_voxtral.errors import VoxtralInvalidRequestError

pytest.importorskip("langchain", reason="agents are of langchain, which the floor has not")
from langchain.agents import create_agent
from langchain.tools import ToolRuntime

STORE = InMemoryByteStore()
WAVS = {"a": wav_bytes(speech()[:8_000]), "b": wav_bytes(speech()[8_000:16_000])}
OPEN_A = ScriptedCall("open_recording", '{"name": "a"}', "aB3dE6gH9")
OPEN_B = ScriptedCall("open_recording", '{"name": "b"}', "bC4eF7hI0")
ASKED: Any = {"messages": [HumanMessage("What is said in a and b?")]}

FORMS: dict[str, Any] = {
    "a block in a list": lambda data: [audio_block(data)],
    "a block": audio_block,
    "by reference": lambda data: [audio_block(data, store=STORE)],
    "of MCP": lambda data: [
        {"type": "audio", "data": base64.b64encode(data).decode(), "mimeType": "audio/wav"}
    ],
}


def opening(form: str = "a block") -> BaseTool:
    """Return a tool that returns a recording in this form."""

    @tool
    def open_recording(name: str) -> Any:
        """Open a recording."""
        return FORMS[form](WAVS[name])

    return open_recording


@tool
def read_file(name: str, runtime: ToolRuntime) -> ToolMessage:
    """Read a file."""
    blocks: list[Any] = [audio_block(WAVS[name])]
    return ToolMessage(content_blocks=blocks, tool_call_id=runtime.tool_call_id)


def model_on(
    name: str, answers: Iterator[Any], dialect: Dialect = CHAT, **fields: Any
) -> tuple[ChatVoxtral, Server]:
    """Return a model on a strict server, which takes texts also in the prompt of a dialect."""
    server, judge = Server(), strict(name)

    def answer(request: httpx.Request) -> httpx.Response:
        is_chat = request.url.path.endswith("/chat/completions")
        if is_chat and (refused := judge(request)).is_error:
            return refused
        chosen, following = (CHAT if is_chat else dialect), next(answers)
        is_stream = b'"stream":true' in request.content.replace(b" ", b"")
        make = chosen.streamed if is_stream else chosen.whole
        reply = make(following) if isinstance(following, str) else make(calls=following)
        steps = [step for step in reply.steps if isinstance(step, bytes)]
        return httpx.Response(200, headers=reply.headers, content=reply.body or b"".join(steps))

    server.answer = answer
    given = {"api_key": KEY, **server.settings, **SERVERS[name], **fields}
    return ChatVoxtral(**given), server


def heard(body: Any) -> tuple[list[str], list[str]]:
    """Return the results and the last user's parts of a request, sounds by their names."""
    names = {base64.b64encode(data).decode(): name for name, data in WAVS.items()}
    results = [message["content"] for message in body["messages"] if message["role"] == "tool"]
    last = body["messages"][-1]
    assert last["role"] == "user"
    sounds = [part.get("input_audio") for part in last["content"]]
    # Mistral's own API takes the base64 alone.
    encoded = [sound["data"] if isinstance(sound, dict) else sound for sound in sounds]
    return results, [
        part.get("text") or names[data] for part, data in zip(last["content"], encoded, strict=True)
    ]


BOTH = (
    ["(Recording 1 follows.)", "(Recording 2 follows.)"],
    ["Recording 1, which a tool returned:", "a", "Recording 2, which a tool returned:", "b"],
)


@in_each_dialect
@in_each_call_mode
async def test_the_model_hears_what_its_tools_return(dialect: Dialect, call_mode: str) -> None:
    """A native prompt has no place for sounds: from there on, it is chat completions."""
    answers = iter([[OPEN_A, OPEN_B], "Good morning.", "Yes."])
    chat, server = model_on("deepinfra", answers, dialect, **dialect.fields)
    agent = create_agent(chat, [opening()], system_prompt="You listen.")
    state = await run(agent, call_mode, ASKED)
    assert state["messages"][-1].text == "Good morning."
    assert heard(server.bodies[-1]) == BOTH
    state = await run(agent, call_mode, {"messages": [*state["messages"], HumanMessage("Sure?")]})
    assert state["messages"][-1].text == "Yes."


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SERVERS)
def test_every_form_of_a_recording_is_heard_on_every_server(name: str, form: str) -> None:
    answers = iter([[OPEN_A, OPEN_B], "Good morning."])
    chat, server = model_on(name, answers, api="chat_completions", audio_store=STORE)
    create_agent(chat, [opening(form)]).invoke(ASKED)
    assert heard(server.bodies[-1]) == BOTH


def test_a_message_that_a_tool_returns_is_heard() -> None:
    answers = iter([[ScriptedCall("read_file", '{"name": "a"}')], "Good morning."])
    chat, server = model_on("vllm", answers)
    create_agent(chat, [read_file]).invoke(ASKED)
    assert heard(server.bodies[-1]) == (BOTH[0][:1], BOTH[1][:2])


@in_each_call_mode
async def test_the_native_endpoint_refuses_the_recording_of_a_tool(call_mode: str) -> None:
    chat, server = model_on("deepinfra", iter([[OPEN_A]]), LLAMA3, api="native")
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        await run(create_agent(chat, [opening()]), call_mode, ASKED)
    assert str(raised.value) == (
        "messages[2] (tool), block 0: the raw prompt of the native endpoint carries no audio: "
        "leave api='auto', or pass api='chat_completions', or send what is said in the recording "
        "as text."
    )
    assert len(server.requests) == 1
