"""Transcription in chains and as a tool of agents."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.documents.base import Blob
from langchain_core.language_models.fake_chat_models import ParrotFakeChatModel
from langchain_core.messages import ToolCall
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.tools import BaseTool
from replies import json_reply
from scripted_server import ScriptedServer
from unit_tests.spoken import LONG, SHORT, heard, parser_of

from langchain_voxtral import VoxtralTranscriber, transcribe_audio_tool
from langchain_voxtral.errors import VoxtralAuthenticationError, VoxtralInvalidRequestError


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(default=heard("Hello.")) as server:
        yield server


async def test_a_recording_goes_through_a_chain(server: ScriptedServer) -> None:
    prompt = ChatPromptTemplate.from_template("Sum up: {talk}")
    chain = VoxtralTranscriber(parser_of(server)) | prompt | ParrotFakeChatModel()
    assert chain.invoke(SHORT).text == "Sum up: Hello."
    assert (await chain.ainvoke(SHORT)).text == "Sum up: Hello."


async def test_a_batch_is_transcribed_in_order(server: ScriptedServer) -> None:
    transcriber = VoxtralTranscriber(base_url=server.url)
    assert transcriber.batch([SHORT, LONG], {"max_concurrency": 2}) == ["Hello.", "Hello."]
    assert await transcriber.abatch([SHORT, LONG]) == ["Hello.", "Hello."]


def test_documents_are_given_if_asked_for(server: ScriptedServer) -> None:
    parser = parser_of(server, mode="chunk", chunk_seconds=11)
    made = VoxtralTranscriber(parser, output="documents").invoke(LONG)
    assert made == parser.parse(LONG)
    assert VoxtralTranscriber(parser).invoke(LONG) == "Hello.\nHello.\nHello."


class Inputs(BaseCallbackHandler):
    """Notes what a trace is told of inputs."""

    def __init__(self) -> None:
        self.seen: list[object] = []

    def on_chain_start(self, serialized: Any, inputs: Any, **_: Any) -> None:
        self.seen.append(inputs)


@pytest.mark.parametrize(
    ("audio", "shown"),
    [
        (SHORT, f"a recording of {len(SHORT)} bytes"),
        (Blob.from_data(SHORT, metadata={"source": "talk"}), "talk"),
    ],
)
def test_a_trace_does_not_hold_the_sound(server: ScriptedServer, audio: Any, shown: str) -> None:
    inputs = Inputs()
    VoxtralTranscriber(parser_of(server)).invoke(audio, {"callbacks": [inputs]})
    assert inputs.seen == [shown]


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="output='json' must be"):
        VoxtralTranscriber(output="json")  # type: ignore[arg-type]


def test_a_text_has_no_place_for_marked_failures(server: ScriptedServer, tmp_path: Path) -> None:
    parser = parser_of(server, on_error="mark")
    with pytest.raises(VoxtralInvalidRequestError, match="take output='documents'"):
        VoxtralTranscriber(parser)
    with pytest.raises(VoxtralInvalidRequestError, match="take a parser without it"):
        transcribe_audio_tool(parser, root=tmp_path)
    assert VoxtralTranscriber(parser, output="documents").invoke(SHORT) != []


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


@pytest.mark.parametrize("path", ["day one/a.wav", "./day one/../day one/a.wav", "inner.wav"])
async def test_a_tool_reads_recordings_of_its_folder(
    server: ScriptedServer, folder: Path, path: str
) -> None:
    tool = tool_of(server, folder)
    assert tool.invoke({"path": path}) == "Hello."
    assert (await tool.ainvoke(call(path))).content == "Hello."


OUTSIDE = "it is outside the folder of recordings"
NO_FILE = "there is no such file"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("../secret.wav", OUTSIDE),
        ("day one/../../secret.wav", OUTSIDE),
        ("/etc/passwd", OUTSIDE),
        ("link.wav", OUTSIDE),
        ("..", OUTSIDE),
        ("loop.wav", NO_FILE),
        ("day one", NO_FILE),
        ("", NO_FILE),
        ("none.wav", NO_FILE),
        ("a\0b", NO_FILE),
        ("a" * 5_000, NO_FILE),
    ],
)
async def test_a_tool_reads_no_other_file(
    server: ScriptedServer, folder: Path, path: str, why: str
) -> None:
    tool = tool_of(server, folder)
    said = f"{path!r} cannot be transcribed: {why}."
    for answer in (tool.invoke(call(path)), await tool.ainvoke(call(path))):
        assert (answer.content, answer.status) == (said, "error")
        assert str(folder) not in answer.content or "/etc" in path
    assert server.requests == []


async def test_a_tool_tells_the_model_of_a_file_that_is_no_recording(
    server: ScriptedServer, folder: Path
) -> None:
    tool = tool_of(server, folder)
    for answer in (tool.invoke(call("notes.wav")), await tool.ainvoke(call("notes.wav"))):
        assert answer.status == "error"
        assert answer.content.startswith("notes.wav: it is no recording of a known kind")
        assert str(folder) not in answer.content


def test_a_tool_raises_what_the_model_cannot_mend(folder: Path) -> None:
    refusal = json_reply({"detail": "User is not authorized to access this resource"}, status=401)
    with (
        ScriptedServer(default=refusal) as server,
        pytest.raises(VoxtralAuthenticationError),
    ):
        tool_of(server, folder).invoke(call("day one/a.wav"))


def test_a_tool_says_what_it_does(server: ScriptedServer, folder: Path) -> None:
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
