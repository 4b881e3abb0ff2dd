"""Inputs that are accepted as recordings, and the loaders around a parser."""

import asyncio
import base64
import io
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from langchain_core.document_loaders import BaseBlobParser, BaseLoader
from langchain_core.documents import Document
from langchain_core.documents.base import Blob
from langchain_core.stores import InMemoryByteStore
from support import speech_samples
from support.scripted_server import ScriptedServer
from support.transcription_calls import PARSES, SHORT, form_of, parser_of, transcription_reply

from langchain_voxtral import (
    VoxtralTranscriptionLoader,
    VoxtralTranscriptionParser,
    audio_block,
)
from langchain_voxtral.errors import VoxtralAudioError, VoxtralInvalidRequestError


class OnlyRead:
    """A minimal file object that can only be read."""

    def __init__(self, data: bytes) -> None:
        self.read = io.BytesIO(data).read


def _at_its_end(file: BinaryIO) -> BinaryIO:
    file.seek(0, io.SEEK_END)
    return file


def _named_pipe(path: Path) -> Path:
    """Return a pipe into which a recording is written when it is opened."""
    pipe = path.with_suffix(".pipe")
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_bytes, args=(SHORT,)).start()
    return pipe


BASE64 = base64.b64encode(SHORT).decode()
INPUTS: dict[str, Callable[[Path], tuple[Any, str | None]]] = {
    "path": lambda path: (path, str(path)),
    "string": lambda path: (str(path), str(path)),
    "bytes": lambda _: (SHORT, None),
    "bytearray": lambda _: (bytearray(SHORT), None),
    "memoryview": lambda _: (memoryview(SHORT), None),
    "file in memory": lambda _: (io.BytesIO(SHORT), None),
    "file": lambda path: (path.open("rb"), str(path)),
    "file at another position": lambda _: (_at_its_end(io.BytesIO(SHORT)), None),
    "file that cannot say whether it seeks": lambda _: (OnlyRead(SHORT), None),
    "named pipe": lambda path: (_named_pipe(path), str(path.with_suffix(".pipe"))),
    "blob of a named pipe": lambda path: (
        Blob.from_path(_named_pipe(path)),
        str(path.with_suffix(".pipe")),
    ),
    "pipe": lambda _: (speech_samples.pipe(SHORT), None),
    "blob of a path": lambda path: (Blob.from_path(path), str(path)),
    "blob of data": lambda _: (Blob.from_data(SHORT), None),
    "block": lambda _: ({"type": "audio", "base64": BASE64, "mime_type": "audio/wav"}, None),
    "OpenAI's block": lambda _: (
        {"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}},
        None,
    ),
    "LangChain's first block": lambda _: (
        {"type": "audio", "source_type": "base64", "data": BASE64, "mime_type": "audio/wav"},
        None,
    ),
}


@pytest.fixture
def short(tmp_path: Path) -> Path:
    path = tmp_path / "short.wav"
    path.write_bytes(SHORT)
    return path


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize("name", INPUTS)
def test_every_kind_of_input_is_accepted(name: str, method: str, short: Path) -> None:
    audio, source = INPUTS[name](short)
    with ScriptedServer(transcription_reply("Hello.")) as server:
        [made] = PARSES[method](parser_of(server), audio)
    if hasattr(audio, "close"):
        assert not audio.closed
        audio.close()
    assert made.page_content == "Hello."
    assert made.metadata.get("source") == source
    assert form_of(server.requests[0])[1][3] == SHORT


@pytest.mark.parametrize("as_blob", [False, True])
@pytest.mark.parametrize(
    ("name", "reason", "folder", "pattern"),
    [
        ("talks", "Is a directory", "talks", "*.mp3"),
        ("talks/*.mp3", "No such file or directory", "talks", "*.mp3"),
        ("talks/take[1-3]?.wav", "No such file or directory", "talks", "take[1-3]?.wav"),
    ],
)
def test_a_folder_or_a_pattern_is_an_error_that_says_how_to_load_several(
    tmp_path: Path, name: str, reason: str, folder: str, pattern: str, *, as_blob: bool
) -> None:
    (tmp_path / "talks").mkdir()
    path = tmp_path / name
    recording = Blob.from_path(path) if as_blob else str(path)
    with pytest.raises(VoxtralAudioError) as caught:
        VoxtralTranscriptionLoader(recording, api_key="any").load()
    assert caught.value.message == (
        f"{path} cannot be read: {reason}. That is no single recording; for several: "
        f"VoxtralTranscriptionLoader(sorted(Path({str(tmp_path / folder)!r}).glob({pattern!r})))"
    )


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize(
    ("audio", "error", "message"),
    [
        (7, VoxtralInvalidRequestError, "not int"),
        (io.StringIO("x"), VoxtralInvalidRequestError, "not StringIO"),
        ({"type": "text", "text": "x"}, VoxtralInvalidRequestError, "is no audio block"),
        (
            {"type": "audio", "url": "https://x/y.wav"},
            VoxtralInvalidRequestError,
            "an address, which is not fetched",
        ),
        ({"type": "audio", "base64": "*"}, VoxtralInvalidRequestError, "no base64"),
        ("missing.wav", VoxtralAudioError, "missing.wav cannot be read: No such file"),
        ("https://x/y.wav", VoxtralInvalidRequestError, "'https://x/y.wav' is an address"),
        (f"data:audio/wav;base64,{BASE64}", VoxtralInvalidRequestError, "is an address"),
        (BASE64, VoxtralAudioError, r"^.{200}\.\.\. cannot be read: File name too long\.$"),
        ("a\0b", VoxtralAudioError, "cannot be read: embedded null byte"),
        (Path(__file__).parent, VoxtralAudioError, "cannot be read: Is a directory"),
        (Blob.from_data("Dear diary"), VoxtralAudioError, "no recording of a known kind"),
        (b"", VoxtralAudioError, "empty"),
        (
            SHORT[:-2],
            VoxtralAudioError,
            r"cut off; give the whole recording\. truncated='keep' takes what can be decoded\.$",
        ),
    ],
)
def test_an_invalid_input_is_an_error(
    audio: object, error: type[Exception], message: str, method: str
) -> None:
    with ScriptedServer() as server, pytest.raises(error, match=message):
        PARSES[method](parser_of(server), audio)


@pytest.mark.parametrize("method", PARSES)
def test_a_block_may_name_a_recording_in_a_store(method: str, short: Path) -> None:
    store = InMemoryByteStore()
    block = audio_block(short, store=store)
    with ScriptedServer(transcription_reply("Hello.")) as server:
        parser = parser_of(server, audio_store=store)
        [made] = PARSES[method](parser, block)
        estimates = parser.estimate(block), asyncio.run(parser.aestimate(block))
        [key] = store.yield_keys()
        store.mset([(key, b"damaged")])
        with pytest.raises(VoxtralInvalidRequestError) as damaged:
            PARSES[method](parser, block)
        store.mdelete([key])
        with pytest.raises(VoxtralInvalidRequestError) as missing:
            PARSES[method](parser, block)
        with pytest.raises(VoxtralInvalidRequestError) as nowhere:
            PARSES[method](parser_of(server), block)
    assert made.metadata["source"] == "short.wav"
    assert [one.duration for one in estimates] == [2.0, 2.0]
    assert form_of(server.requests[0])[1][3] == SHORT
    assert [str(raised.value).partition(block["file_id"])[0] for raised in (missing, nowhere)] == [
        "the block (short.wav): the store (InMemoryByteStore) has no recording ",
        "the block (short.wav): the recording is named by its id (",
    ]
    assert "is another file, or is damaged. Put it in again (" in str(damaged.value)


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize(("audio", "message"), [(SHORT[:-2], True), (SHORT, None)])
def test_a_truncated_recording_is_flagged(audio: bytes, message: bool | None, method: str) -> None:
    store = InMemoryByteStore()
    with ScriptedServer(transcription_reply("Hello.")) as server:
        parser = parser_of(server, truncated="keep", store=store)
        made = [PARSES[method](parser, audio)[0].metadata for _ in range(2)]
    assert [one.get("truncated") for one in made] == [message, message]
    assert [one["chunks_from_store"] for one in made] == [0, 1]


class FolderLoader(BaseLoader):
    """Finds and parses files like LangChain's `GenericLoader`."""

    def __init__(self, folder: Path, pattern: str, parser: BaseBlobParser) -> None:
        self.folder, self.pattern, self.parser = folder, pattern, parser

    def lazy_load(self) -> Iterator[Document]:
        for path in sorted(self.folder.glob(self.pattern)):
            yield from self.parser.lazy_parse(Blob.from_path(path, metadata={"speaker": "Zoé"}))


async def test_a_generic_loader_takes_the_parser(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "c.txt"):
        (tmp_path / name).write_bytes(SHORT)
    with ScriptedServer(default=transcription_reply("Hello.")) as server:
        loader = FolderLoader(tmp_path, "*.wav", parser_of(server))
        made, amade = loader.load(), await loader.aload()
    assert [one.metadata["source"] for one in made] == [
        str(tmp_path / "a.wav"),
        str(tmp_path / "b.wav"),
    ]
    assert {one.metadata["speaker"] for one in made} == {"Zoé"}
    assert made == amade


def test_a_parser_is_one_of_langchains() -> None:
    assert isinstance(VoxtralTranscriptionParser(), BaseBlobParser)


async def test_documents_are_yielded_as_soon_as_their_chunk_is_transcribed() -> None:
    with ScriptedServer(default=transcription_reply("x")) as server:
        parser = parser_of(server, mode="chunk", chunk_seconds=11, max_concurrency=1)
        documents = parser.lazy_parse(speech_samples.encoded("wav", speech_samples.noise(60.0)))
        next(documents)
        assert len(server.requests) <= 3
        documents.close()


async def test_the_loader_takes_one_recording_or_several(short: Path) -> None:
    with ScriptedServer(default=transcription_reply("Hello.")) as server:
        settings: dict[str, Any] = {"base_url": server.url}
        cases: list[tuple[Any, int]] = [
            (short, 1),
            (SHORT, 1),
            (Blob.from_path(short), 1),
            ([short, SHORT], 2),
            (iter([short]), 1),
            ([], 0),
        ]
        for several, count in cases:
            loader = VoxtralTranscriptionLoader(several, **settings)
            made = loader.load()
            assert [one.page_content for one in made] == ["Hello."] * count
            assert await loader.aload() == made
            documents: AsyncIterator[Document] = loader.alazy_load()
            assert [one async for one in documents] == made


def test_the_loader_refuses_invalid_inputs() -> None:
    with pytest.raises(VoxtralInvalidRequestError, match=r"takes a recording.*not int"):
        VoxtralTranscriptionLoader(7)  # type: ignore[arg-type]


def test_the_loader_takes_a_parser_or_settings() -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="mode: give settings to the parser"):
        VoxtralTranscriptionLoader([], parser=VoxtralTranscriptionParser(), mode="srt")
