"""Recordings with prompt templates, caches and servers' refusals."""

import base64
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.prompts import ChatPromptTemplate, MessagesPlaceholder
from support.call_modes import CALL_MODES, ask
from support.documented_exchanges import Server, answering, streaming
from support.speech_samples import encoded, speech, wav_bytes
from support.strict_servers import strict

from langchain_voxtral import ChatVoxtral, VoxtralLLM, audio_block
from langchain_voxtral.errors import (
    VoxtralError,
    VoxtralInvalidRequestError,
    VoxtralMissingAudioExtraError,
)

WAV = wav_bytes(speech()[:16_000])
MP3 = encoded("mp3", speech()[:16_000])

Make = Callable[..., ChatVoxtral]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def sent(data: bytes, audio_format: str = "wav") -> dict[str, Any]:
    return {"type": "input_audio", "input_audio": {"data": b64(data), "format": audio_format}}


def text(content: str) -> dict[str, str]:
    return {"type": "text", "text": content}


def test_recordings_in_prompt_templates(make_chat: Make, server: Server) -> None:
    server.answer = strict("deepinfra")
    block = {"type": "audio", "base64": "{sound}", "mime_type": "audio/wav"}
    prompt = ChatPromptTemplate.from_messages(
        [
            ("system", "Be {how}."),
            MessagesPlaceholder("before"),
            ("human", [{"type": "text", "text": "{question}"}, block]),
        ]
    )
    given = {
        "how": "brief",
        "before": [HumanMessage([audio_block(MP3)]), AIMessage("Music.")],
        "question": "And this?",
        "sound": b64(WAV),
    }
    (prompt | make_chat()).invoke(given)
    assert server.body["messages"] == [
        {"role": "user", "content": [text("Be brief."), sent(MP3, "mp3")]},
        {"role": "assistant", "content": "Music."},
        {"role": "user", "content": [text("And this?"), sent(WAV)]},
    ]


def test_a_cache_distinguishes_recordings(make_chat: Make, server: Server) -> None:
    server.answer = strict("deepinfra")
    chat = make_chat(cache=InMemoryCache())
    for data in (WAV, MP3, WAV, MP3):
        chat.invoke([HumanMessage([audio_block(data)])])
    assert len(server.requests) == 2


@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_recording_is_converted_once_in_a_conversation(
    make_chat: Make, server: Server, call_mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shown by making conversion impossible afterwards."""
    chat, asked = make_chat(), HumanMessage([audio_block(encoded("flac"))])
    server.answer = strict("deepinfra")
    chat.invoke([asked])
    for library in ("av", "numpy"):
        monkeypatch.setitem(sys.modules, library, None)
    if call_mode in {"stream", "astream"}:
        chunk = b'{"choices": [{"delta": {"content": "Yes."}, "finish_reason": "stop"}]}'
        server.answer = lambda _: streaming(b"data: " + chunk + b"\n\ndata: [DONE]\n\n")
    await ask(chat, call_mode, [asked, AIMessage("Speech."), HumanMessage("Is it?")])
    first, second = server.bodies
    assert second["messages"][0] == first["messages"][0]
    with pytest.raises(VoxtralMissingAudioExtraError):
        await ask(make_chat(), call_mode, [asked])


RECORDING = audio_block(WAV)


@pytest.mark.parametrize("call_mode", CALL_MODES)
@pytest.mark.parametrize(
    ("message", "role"),
    [
        (HumanMessage(["What is said?", RECORDING]), "human"),
        (ToolMessage(json.dumps(RECORDING), tool_call_id="1"), "tool"),
    ],
)
async def test_an_llm_does_not_drop_a_recording(
    make_llm: Callable[..., VoxtralLLM],
    server: Server,
    message: BaseMessage,
    role: str,
    call_mode: str,
) -> None:
    """LangChain makes a string of the messages and omits what is not text."""
    messages = [HumanMessage("Hello!"), message]
    with pytest.raises(VoxtralInvalidRequestError) as raised:
        await ask(make_llm(), call_mode, messages)
    assert str(raised.value) == (
        f"messages[1] ({role}): there is a recording, and an LLM sends a string: use ChatVoxtral, "
        "or have VoxtralTranscriber make text of it before."
    )
    assert server.requests == []
    assert await ask(make_llm(), call_mode, messages[:1])


def test_an_llm_gets_the_text_of_documents(
    make_llm: Callable[..., VoxtralLLM], server: Server
) -> None:
    document = {"type": "text-plain", "text": "Rain.", "title": "Weather"}
    result = ToolMessage([{"type": "json", "json": [1]}], tool_call_id="1")
    make_llm(prompt_format="raw").invoke(
        [HumanMessage(["See:", document]), AIMessage("Ah."), result]
    )
    assert server.body["input"] == "Human: See:\n\nTitle: Weather\n\nRain.\nAI: Ah.\nTool: [1]"


ELSEWHERE = (
    "(If it is the recording that is not taken here: VoxtralTranscriber and "
    "VoxtralTranscriptionParser send it to endpoints for speech, endpoint='transcriptions' or "
    "'native'.)"
)


@pytest.mark.parametrize("status", [400, 404, 405, 422])
@pytest.mark.parametrize("call_mode", CALL_MODES)
async def test_a_refusal_of_a_recording_names_other_servers(
    make_chat: Make, server: Server, call_mode: str, status: int
) -> None:
    server.answer = lambda _: answering({"detail": "no such thing"}, status)
    chat = make_chat(api="chat_completions")
    with pytest.raises(VoxtralError) as raised:
        await ask(chat, call_mode, [HumanMessage([audio_block(WAV)])])
    assert raised.value.message.endswith(f'The server said: "no such thing" {ELSEWHERE}')
    with pytest.raises(VoxtralError) as raised:
        await ask(chat, call_mode, "Hello!")
    assert raised.value.message.endswith('The server said: "no such thing"')


@pytest.mark.parametrize(
    ("status", "detail"),
    [(401, "no"), (429, "busy"), (400, "Requested input length 9 exceeds maximum input length 8")],
)
def test_other_refusals_do_not(make_chat: Make, server: Server, status: int, detail: str) -> None:
    server.answer = lambda _: answering({"detail": detail}, status)
    with pytest.raises(VoxtralError) as raised:
        make_chat(max_retries=0).invoke([HumanMessage([audio_block(WAV)])])
    assert raised.value.status_code == status
    assert raised.value.message.endswith(f'The server said: "{detail}"')
