"""Recordings by reference in LangChain's own parts: checkpoints, counts, summaries, traces."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from langchain_core.messages import AIMessage, HumanMessage, trim_messages
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.tracers import LangChainTracer
from support.disk_guard import guard_disk
from support.documented_exchanges import Server
from support.scripted_server import ScriptedServer
from support.speech_samples import speech, wav_bytes
from support.stored_recordings import MINUTE, StoredRecordings, recordings_in
from support.tool_dialects import CHAT, ScriptedCall
from support.trace_recorder import TraceRecorder

from langchain_voxtral import describe_audio

pytest.importorskip("langchain", reason="agents are of langchain, which the floor has not")
from deepagents import create_deep_agent
from deepagents.backends import FilesystemBackend
from langchain.agents import create_agent
from langchain.agents.middleware import SummarizationMiddleware
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

LATER = [AIMessage("A tale."), HumanMessage("And then?")]
THREAD: Any = {"configurable": {"thread_id": "1"}}


@pytest.fixture
def recordings(server: Server) -> StoredRecordings:
    return StoredRecordings(server)


def test_five_turns_about_a_minute_leave_less_than_100_kilobytes_of_checkpoints(
    recordings: StoredRecordings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """LangGraph restores them in its strict mode, which makes only types that it knows."""
    path = tmp_path / "checkpoints.sqlite"
    first = recordings.ask(transcript="It was the best of times.")
    asked = [first, *(HumanMessage(f"And then? {turn}") for turn in range(4))]
    for question in asked:  # each turn as in a process of its own
        with SqliteSaver.from_conn_string(str(path)) as saver:
            saver.serde = JsonPlusSerializer(allowed_msgpack_modules=None)
            agent: Any = create_agent(recordings.chat, [], checkpointer=saver)
            state = agent.invoke({"messages": [question]}, THREAD)
    assert [message.content for message in state["messages"][::2]] == [
        question.content for question in asked
    ]
    assert recordings.sent == [[MINUTE]] * 5
    assert path.stat().st_size < 100_000
    assert caplog.records == []


@pytest.mark.parametrize("words_per_second", [0, 3])
@pytest.mark.parametrize("seconds", [1, 10, 60])
def test_the_default_counter_takes_a_recording_for_at_most_twice_its_tokens(
    recordings: StoredRecordings, seconds: int, words_per_second: int
) -> None:
    sound = wav_bytes(np.resize(speech(), seconds * 16_000))
    question = recordings.ask(sound, transcript="times " * words_per_second * seconds)
    real = recordings.chat.get_num_tokens_from_messages([question])
    assert real > 375
    assert count_tokens_approximately([question]) < 2 * real


def test_trimming_by_the_default_counter_keeps_a_recording(recordings: StoredRecordings) -> None:
    told = [recordings.ask(), *LATER]
    recordings.chat.invoke(trim_messages(told, max_tokens=1000, token_counter="approximate"))
    assert recordings.sent == [[MINUTE]]


def test_below_the_trigger_of_a_summary_the_sound_is_sent(recordings: StoredRecordings) -> None:
    """The trigger is counted by LangChain's default counter."""
    summing = SummarizationMiddleware(
        recordings.chat, trigger=("tokens", 4000), keep=("messages", 1)
    )
    agent: Any = create_agent(recordings.chat, [], middleware=[summing])
    agent.invoke({"messages": [recordings.ask(), *LATER]})
    assert recordings.sent == [[MINUTE]]


def test_the_prompt_of_a_summary_has_the_words_that_describe_a_recording(
    recordings: StoredRecordings, server: Server, tmp_path: Path
) -> None:
    (path := tmp_path / "talk.wav").write_bytes(MINUTE)
    block = recordings.chat.put_audio(path, transcript="It was the best of times.")
    summing = SummarizationMiddleware(
        recordings.chat, trigger=("messages", 3), keep=("messages", 1)
    )
    agent: Any = create_agent(recordings.chat, [], middleware=[summing])
    agent.invoke({"messages": [HumanMessage([block, describe_audio(block)]), *LATER]})
    assert recordings.sent == [[], []]
    assert (
        f'<message type="human"><audio file_id="{block["file_id"]}" /> '
        "(Recording talk.wav, 60.0 s. Transcript: It was the best of times.)</message>"
    ) in server.bodies[0]["messages"][0]["content"]


async def test_a_deep_agent_hears_a_recording(recordings: StoredRecordings) -> None:
    """All middleware of `deepagents`, and the limits that it takes from the model's profile."""
    agent: Any = create_deep_agent(recordings.chat)
    state = await agent.ainvoke({"messages": [recordings.ask()]})
    assert state["messages"][-1].text == "Two cities."
    assert recordings.sent == [[MINUTE]]


@pytest.mark.parametrize(("tool_name", "seconds"), [("read_file", 2), ("read_recording", 60)])
def test_a_deep_agent_hears_a_recording_that_a_tool_reads(
    recordings: StoredRecordings, server: Server, tmp_path: Path, tool_name: str, seconds: int
) -> None:
    """Its own tool returns the sound, which it takes for text; another one a reference."""

    def read_recording(file_path: str) -> list[dict[str, Any]]:
        """Read a recording."""
        return [recordings.chat.put_audio(f"{tmp_path}{file_path}")]

    sound = wav_bytes(np.resize(speech(), seconds * 16_000))
    (tmp_path / "talk.wav").write_bytes(sound)
    calls = [ScriptedCall(tool_name, '{"file_path": "/talk.wav"}')]
    calling, answer = httpx.Response(200, content=CHAT.whole(calls=calls).body), server.answer
    server.answer = lambda request: answer(request) if server.requests[1:] else calling
    backend = FilesystemBackend(root_dir=tmp_path, virtual_mode=True)
    agent: Any = create_deep_agent(recordings.chat, [read_recording], backend=backend)
    state = agent.invoke({"messages": [HumanMessage("What is said in talk.wav?")]})
    assert state["messages"][-1].text == "Two cities."
    assert recordings.sent == [[], [sound]]


def test_a_trace_of_an_agent_holds_no_sound(recordings: StoredRecordings) -> None:
    traces = TraceRecorder()
    config: Any = {"callbacks": [LangChainTracer(client=traces)]}
    agent: Any = create_agent(recordings.chat, [])
    agent.invoke({"messages": [recordings.ask()]}, config)
    assert len(traces.model_runs) == 1
    assert len(traces.everything) < 50_000
    assert recordings.sent == [[MINUTE]]


async def test_a_streamed_agent_never_reads_a_recording_on_the_event_loop(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VOXTRAL_CACHE", str(tmp_path / "cache"))
    (path := tmp_path / "minute.wav").write_bytes(MINUTE)
    with ScriptedServer(CHAT.streamed("A tale.")) as server:
        chat = CHAT.chat(server, audio_store="cache")
        agent: Any = create_agent(chat, [])
        guard_disk(monkeypatch)
        asked = {"messages": [HumanMessage([await chat.aput_audio(path)])]}
        pieces = [piece.text async for piece, _ in agent.astream(asked, stream_mode="messages")]
        [request] = server.requests
    assert "".join(pieces) == "A tale."
    assert recordings_in(request.body) == [MINUTE]
