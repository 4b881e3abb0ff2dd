"""Transcription in chains and as a tool for agents."""

import io
import os
import threading
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents.base import Blob
from langchain_core.language_models.fake_chat_models import ParrotFakeChatModel
from langchain_core.messages import ToolCall
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableLambda
from langchain_core.stores import InMemoryByteStore
from langchain_core.tools import BaseTool
from support.scripted_server import ScriptedServer
from support.sse_replies import json_reply
from support.transcription_calls import BUSY, KEY, LONG, SHORT, parser_of, transcription_reply

from langchain_voxtral import VoxtralTranscriber, audio_block, transcribe_audio_tool
from langchain_voxtral.errors import (
    VoxtralAuthenticationError,
    VoxtralInvalidRequestError,
    VoxtralRateLimitError,
)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(default=transcription_reply("Hello.")) as server:
        yield server


async def test_a_recording_goes_through_a_chain(server: ScriptedServer) -> None:
    prompt = ChatPromptTemplate.from_template("Sum up: {talk}")
    chain = VoxtralTranscriber(parser_of(server)) | prompt | ParrotFakeChatModel()
    assert chain.invoke(SHORT).text == "Sum up: Hello."
    assert (await chain.ainvoke(SHORT)).text == "Sum up: Hello."


async def test_a_transcriber_is_a_runnable_like_others(server: ScriptedServer) -> None:
    transcriber = VoxtralTranscriber(parser_of(server))
    assert [*transcriber.stream(SHORT)] == ["Hello."]
    assert [part async for part in transcriber.astream(SHORT)] == ["Hello."]
    asks = {"talk": transcriber, "question": RunnableLambda(lambda _: "What?")}
    chain = asks | ChatPromptTemplate.from_template("{question} {talk}")
    assert chain.invoke(SHORT).to_string() == "Human: What? Hello."
    assert (itemgetter("audio") | transcriber).invoke({"audio": SHORT}) == "Hello."
    assert "VoxtralTranscriber" in chain.get_graph().draw_mermaid()
    assert transcriber.get_output_jsonschema()["type"] == "string"
    documents = VoxtralTranscriber(parser_of(server), output="documents")
    assert documents.get_output_jsonschema()["type"] == "array"
    assert transcriber.get_input_jsonschema()["title"] == "VoxtralTranscriberInput"


def test_failures_are_retried_and_fall_back(server: ScriptedServer) -> None:
    with ScriptedServer(BUSY, transcription_reply("World."), default=BUSY) as busy:
        transcriber = VoxtralTranscriber(parser_of(busy))
        retrying = transcriber.with_retry(
            retry_if_exception_type=(VoxtralRateLimitError,), wait_exponential_jitter=False
        )
        assert retrying.invoke(SHORT) == "World."
        other = VoxtralTranscriber(parser_of(server))
        assert transcriber.with_fallbacks([other]).invoke(SHORT) == "Hello."
        made = transcriber.batch([SHORT], return_exceptions=True)
    assert [type(one) for one in made] == [VoxtralRateLimitError]


async def test_settings_with_a_call_are_refused_not_dropped(server: ScriptedServer) -> None:
    bound = VoxtralTranscriber(parser_of(server)).bind(language="fr")
    with pytest.raises(VoxtralInvalidRequestError, match="language: a transcriber takes no"):
        bound.invoke(SHORT)
    with pytest.raises(VoxtralInvalidRequestError, match="language: a transcriber takes no"):
        await bound.ainvoke(SHORT)
    assert server.requests == []


def test_a_transcriber_shows_no_key(server: ScriptedServer) -> None:
    shown = repr(VoxtralTranscriber(parser_of(server, language="fr")))
    assert "language='fr'" in shown
    assert KEY not in shown


async def test_a_batch_is_transcribed_in_order(server: ScriptedServer) -> None:
    transcriber = VoxtralTranscriber(base_url=server.url)
    assert transcriber.batch([SHORT, LONG], {"max_concurrency": 2}) == ["Hello.", "Hello."]
    assert await transcriber.abatch([SHORT, LONG]) == ["Hello.", "Hello."]


def test_documents_are_returned_on_request(server: ScriptedServer) -> None:
    parser = parser_of(server, mode="chunk", chunk_seconds=11)
    made = VoxtralTranscriber(parser, output="documents").invoke(LONG)
    assert made == parser.parse(LONG)
    assert VoxtralTranscriber(parser).invoke(LONG) == "Hello.\nHello.\nHello."


STORE = InMemoryByteStore()
NAMED = audio_block(SHORT, store=STORE)


class Inputs(BaseCallbackHandler):
    """Records the inputs of a trace."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **more: Any) -> None:
        self.seen.append((more["name"], more["tags"], inputs))


@pytest.mark.parametrize(
    ("audio", "shown"),
    [
        (SHORT, f"a recording of {len(SHORT)} bytes"),
        (Blob.from_data(SHORT, metadata={"source": "talk"}), "talk"),
        (Blob.from_data(SHORT), "a recording in a blob"),
        (io.BytesIO(SHORT), "a recording"),
        (audio_block(SHORT), "a recording"),
        (NAMED, f"the recording {NAMED['file_id']}"),
    ],
)
def test_a_trace_does_not_contain_the_audio(server: ScriptedServer, audio: Any, shown: str) -> None:
    inputs = Inputs()
    transcriber = VoxtralTranscriber(parser_of(server, audio_store=STORE))
    transcriber.invoke(audio, {"callbacks": [inputs], "tags": ["t"]})
    assert inputs.seen == [("VoxtralTranscriber", ["t"], shown)]


async def test_events_are_those_of_a_chain_not_of_a_models_tool_call(
    server: ScriptedServer,
) -> None:
    transcriber = VoxtralTranscriber(parser_of(server))
    events = [event["event"] async for event in transcriber.astream_events(SHORT, version="v2")]
    request = ["on_llm_start", "on_llm_end"]
    assert events == ["on_chain_start", *request, "on_chain_stream", "on_chain_end"]


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="output='json' must be"):
        VoxtralTranscriber(output="json")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("settings", "instead"),
    [
        ({"on_error": "mark"}, ""),
        ({"server": "mistral", "speakers": True}, "mode='srt' or "),
        ({"timestamps": "word"}, "mode='srt' or "),
    ],
)
def test_plain_text_cannot_show_what_is_in_metadata(
    settings: dict[str, Any], instead: str, server: ScriptedServer, tmp_path: Path
) -> None:
    parser = parser_of(server, **settings)
    with pytest.raises(VoxtralInvalidRequestError, match=f"take {instead}output='documents'"):
        VoxtralTranscriber(parser)
    with pytest.raises(VoxtralInvalidRequestError, match=f"take {instead}a parser without it"):
        transcribe_audio_tool(parser, root=tmp_path)
    assert VoxtralTranscriber(parser, output="documents").invoke(SHORT) != []
    if instead:
        VoxtralTranscriber(parser.model_copy(update={"mode": "srt"}))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret.wav").write_bytes(SHORT)
    folder = tmp_path / "talks"
    (folder / "day one").mkdir(parents=True)
    (folder / "day one" / "a.wav").write_bytes(SHORT)
    (folder / "notes.wav").write_text("Dear diary")
    (folder / "link.wav").symlink_to(tmp_path / "secret.wav")
    (folder / "inner.wav").symlink_to(folder / "day one" / "a.wav")
    (folder / "loop.wav").symlink_to(folder / "loop.wav")
    return folder


def call(path: str) -> ToolCall:
    return ToolCall(name="transcribe_audio", args={"path": path}, id="c", type="tool_call")


def tool_of(server: ScriptedServer, folder: Path) -> BaseTool:
    return transcribe_audio_tool(parser_of(server), root=folder)


@pytest.mark.parametrize(
    "path", ["day one/a.wav", "./day one/../day one/a.wav", "inner.wav", "Inner.WAV"]
)
async def test_a_tool_reads_recordings_of_its_folder(
    server: ScriptedServer, folder: Path, path: str
) -> None:
    tool = tool_of(server, folder)
    assert tool.invoke({"path": path}) == "Hello."
    assert (await tool.ainvoke(call(path))).content == "Hello."


async def test_a_tool_never_looks_into_its_folder_on_the_event_loop(
    server: ScriptedServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tool_of(server, folder)
    lookers: set[int] = set()
    look = os.lstat

    def noted(*args: Any, **more: Any) -> os.stat_result:
        lookers.add(threading.get_ident())
        return look(*args, **more)

    monkeypatch.setattr(os, "lstat", noted)
    assert await tool.ainvoke({"path": "day one/a.wav"}) == "Hello."
    monkeypatch.undo()
    assert lookers
    assert threading.get_ident() not in lookers


OUTSIDE = "it is outside the folder of recordings"
NO_FILE = "there is no such file"
THERE = "The folder of recordings has 'day one/', 'inner.wav', 'link.wav', 'loop.wav', 'notes.wav'."


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../secret.wav", OUTSIDE),
        ("day one/../../secret.wav", OUTSIDE),
        ("/etc/passwd", OUTSIDE),
        ("link.wav", OUTSIDE),
        ("..", OUTSIDE),
        ("loop.wav", NO_FILE),
        ("day one", "it is a folder, of 'a.wav'"),
        ("none.wav", NO_FILE),
        ("a\0b", NO_FILE),
        ("a" * 5_000, NO_FILE),
    ],
)
async def test_a_tool_reads_no_other_file(
    server: ScriptedServer, folder: Path, path: str, why: str
) -> None:
    tool = tool_of(server, folder)
    expected = f"{path!r} cannot be transcribed: {why}. {THERE}"
    for answer in (tool.invoke(call(path)), await tool.ainvoke(call(path))):
        assert (answer.content, answer.status) == (expected, "error")
        assert str(folder) not in answer.content or "/etc" in path
    assert server.requests == []


def test_a_tool_does_not_choose_between_names(server: ScriptedServer, folder: Path) -> None:
    (folder / "INNER.wav").write_bytes(SHORT)
    expected = tool_of(server, folder).invoke({"path": "Inner.wav"})
    assert expected.startswith("'Inner.wav' cannot be transcribed: there is no such file.")


def test_a_tool_names_no_more_than_thirty_files(server: ScriptedServer, tmp_path: Path) -> None:
    tool = tool_of(server, tmp_path)
    none = "'a' cannot be transcribed: there is no such file. The folder of recordings has "
    assert tool.invoke({"path": "a"}) == none + "nothing."
    for number in range(10, 42):
        (tmp_path / f"{number}.wav").touch()
    (tmp_path / ".hidden.wav").touch()
    names = ", ".join(f"'{number}.wav'" for number in range(10, 40))
    assert tool.invoke({"path": "a"}) == f"{none}{names} and 2 more."


async def test_a_tool_reports_an_invalid_recording_to_the_model(
    server: ScriptedServer, folder: Path
) -> None:
    tool = tool_of(server, folder)
    for answer in (tool.invoke(call("notes.wav")), await tool.ainvoke(call("notes.wav"))):
        assert answer.status == "error"
        assert answer.content.startswith("notes.wav: it is no recording of a known kind")
        assert str(folder) not in answer.content


def test_a_tool_raises_errors_that_the_model_cannot_fix(folder: Path) -> None:
    refusal = json_reply({"detail": "User is not authorized to access this resource"}, status=401)
    with (
        ScriptedServer(default=refusal) as server,
        pytest.raises(VoxtralAuthenticationError),
    ):
        tool_of(server, folder).invoke(call("day one/a.wav"))


def test_a_tool_has_a_description(server: ScriptedServer, folder: Path) -> None:
    tool = tool_of(server, folder)
    assert tool.name == "transcribe_audio"
    assert tool.args == {"path": {"title": "Path", "type": "string"}}
    assert "word for word" in tool.description
    translates = transcribe_audio_tool(
        parser_of(server, task="translate"), root=folder, name="translate_audio"
    )
    assert translates.name == "translate_audio"
    assert "translated into English" in translates.description


def test_a_tool_needs_a_folder(server: ScriptedServer, folder: Path) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="is no folder"):
        transcribe_audio_tool(parser_of(server), root=folder / "notes.wav")
