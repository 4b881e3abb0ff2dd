"""An event loop is never blocked by a disk."""

import io
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from support.disk_guard import guard_disk
from support.scripted_server import ScriptedServer
from support.transcription_calls import LONG, SHORT, parser_of, transcription_reply

from langchain_voxtral import (
    ChatVoxtral,
    VoxtralLLM,
    VoxtralTranscriber,
    VoxtralTranscriptionLoader,
    audio_block,
    transcribe_audio_tool,
)
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.tokens import vocabulary


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with ScriptedServer(default=transcription_reply("Hello.")) as server:
        yield server


@pytest.fixture
def _read_vocabulary() -> None:
    """Read the vocabulary, which the documents say is done at the first count of a process."""
    if vocabulary.is_installed():
        vocabulary.encode("")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recording; nothing of the disk may be touched in the event loop from here on."""
    (tmp_path / "talk.wav").write_bytes(SHORT)
    monkeypatch.chdir(tmp_path)
    guard_disk(monkeypatch)
    return tmp_path / "talk.wav"


@pytest.mark.parametrize("is_relative", [False, True])
async def test_a_tool_looks_at_its_folder_in_a_thread(
    server: ScriptedServer, path: Path, is_relative: bool
) -> None:
    root = os.curdir if is_relative else path.parent
    tool = transcribe_audio_tool(parser_of(server), root=root)
    assert await tool.ainvoke({"path": "talk.wav"}) == "Hello."
    assert "no such file" in await tool.ainvoke({"path": "other.wav"})


async def test_a_tool_made_in_an_event_loop_names_a_missing_folder_when_called(
    server: ScriptedServer, path: Path
) -> None:
    tool = transcribe_audio_tool(parser_of(server), root=path / "none")
    with pytest.raises(VoxtralInvalidRequestError, match="is no folder"):
        await tool.ainvoke({"path": "talk.wav"})


@pytest.mark.parametrize("progress", [False, True])
async def test_recordings_are_read_in_threads(
    server: ScriptedServer, path: Path, progress: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first progress bar imports tqdm, which reads its own version from the disk."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tqdm"]:
        monkeypatch.delitem(sys.modules, name)
    parser = parser_of(server, progress=progress)
    [document] = await parser.aparse(path)
    assert document.page_content == "Hello."
    assert await VoxtralTranscriber(parser).ainvoke(path) == "Hello."


@pytest.mark.usefixtures("_read_vocabulary")
async def test_objects_are_made_without_the_disk(path: Path) -> None:
    settings: dict[str, Any] = {"base_url": "http://127.0.0.1:9/v1", "api_key": "made-up"}
    chat = ChatVoxtral(**settings, api="chat_completions")
    VoxtralLLM(**settings)
    VoxtralTranscriptionLoader(path, **settings)
    question = HumanMessage([audio_block(SHORT), {"type": "text", "text": "What is said?"}])
    assert chat.get_num_tokens_from_messages([question]) > 0


async def test_files_are_never_read_on_the_event_loop() -> None:
    class Watched(io.BytesIO):
        """Records the thread of each read."""

        def read(self, size: int | None = -1) -> bytes:
            readers.add(threading.get_ident())
            return super().read(size)

    readers: set[int] = set()
    with ScriptedServer(default=transcription_reply("x")) as server:
        parser = parser_of(server, chunk_seconds=11)
        for sound in (SHORT, LONG):
            await parser.aparse(Watched(sound))
            await parser.aestimate(Watched(sound))
    assert readers
    assert threading.get_ident() not in readers
