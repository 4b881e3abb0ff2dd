"""Agents with a tool that transcribes: what callbacks and streams show of its requests."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.tracers import LangChainTracer
from support.agent_runs import in_each_call_mode, run
from support.run_log import RunLog
from support.scripted_server import ScriptedServer
from support.tool_dialects import CHAT, ScriptedCall
from support.trace_recorder import TraceRecorder
from support.transcription_calls import LONG, MODEL, parser_of, transcription_reply

from langchain_voxtral import get_voxtral_usage_callback, transcribe_audio_tool

pytest.importorskip("langchain", reason="agents are of langchain, which the floor has not")
from langchain.agents import create_agent

CALL = ScriptedCall("transcribe_audio", '{"path": "talk.wav"}', "aB3dE6gH9")
ASKED: Any = {"messages": [("human", "What is said in talk.wav?")]}
HEARD = transcription_reply(
    "It was.", usage={"prompt_tokens": 380, "completion_tokens": 4, "estimated_cost": 0.001}
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "talk.wav").write_bytes(LONG)
    return tmp_path


def agent_of(chat_server: ScriptedServer, speech: ScriptedServer, folder: Path) -> Any:
    """Return an agent whose tool sends three chunks."""
    tool = transcribe_audio_tool(parser_of(speech, chunk_seconds=11), root=folder)
    return create_agent(CHAT.chat(chat_server), [tool])


def chats(call_mode: str) -> ScriptedServer:
    make = CHAT.streamed if call_mode in {"stream", "astream"} else CHAT.whole
    return ScriptedServer(make(calls=[CALL]), make("A tale."))


@in_each_call_mode
async def test_requests_of_a_tool_are_runs_below_it(folder: Path, call_mode: str) -> None:
    log, recorder, tokens = RunLog(), TraceRecorder(), UsageMetadataCallbackHandler()
    config = {"callbacks": [log, LangChainTracer(client=recorder), tokens]}
    with (
        chats(call_mode) as chat_server,
        ScriptedServer(default=HEARD) as speech,
        get_voxtral_usage_callback() as usage,
    ):
        state = await run(agent_of(chat_server, speech, folder), call_mode, ASKED, config)
    assert state["messages"][-1].text == "A tale."
    [tool] = log.of("tool")
    assert [log.parent_of(each) for each in log.requests] == [tool] * 3
    assert all(each.ends for each in log.runs.values())
    costs = [
        run["extra"]["metadata"]["usage_metadata"]["total_cost"]
        for run in recorder.model_runs
        if run["name"] == "VoxtralTranscription"
    ]
    assert costs == [0.001] * 3
    assert usage.total.requests == 5
    assert usage.total.audio_seconds == pytest.approx(30.0)
    assert tokens.usage_metadata[MODEL]["input_tokens"] == 3 * 380 + 2 * 12


@pytest.mark.parametrize("call_mode", ["stream", "astream"])
async def test_transcripts_of_a_tool_are_no_messages_of_the_stream(
    folder: Path, call_mode: str
) -> None:
    """The tool's answer is one message, as before; its requests add none."""
    with chats(call_mode) as chat_server, ScriptedServer(default=HEARD) as speech:
        agent = agent_of(chat_server, speech, folder)
        if call_mode == "stream":
            parts = [*agent.stream(ASKED, stream_mode="messages")]
        else:
            parts = [part async for part in agent.astream(ASKED, stream_mode="messages")]
        assert len(speech.requests) == 3
    shown = [message for message, _ in parts if message.text]
    assert [message.text for message in shown if message.type == "tool"] == [
        "It was. It was. It was."
    ]
    assert "".join(message.text for message in shown if message.type != "tool") == "A tale."
