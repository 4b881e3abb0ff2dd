"""What becomes of a row: its prompt or recording is sent, and its answer is put into columns."""

import asyncio
import hashlib
import json
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

import fsspec.core
import pyarrow as pa
import pyarrow.fs
from langchain_core.documents import Document

from langchain_voxtral.chat_models import ChatVoxtral
from langchain_voxtral.connection import ConnectionSettings
from langchain_voxtral.document_loaders import VoxtralTranscriptionParser
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.providers import Timestamps

Columns = dict[str, Any]

_TEXT = {"text": pa.string()}
_USAGE = {
    "input_tokens": pa.int64(),
    "output_tokens": pa.int64(),
    "total_tokens": pa.int64(),
    "audio_seconds": pa.float64(),
}
_TIMES = {"start": pa.float64(), "end": pa.float64(), "speaker": pa.string()}
_FACTS = {
    "usage": pa.struct(_USAGE),
    "cost_usd": pa.float64(),
    "request_id": pa.string(),
    "metadata": pa.string(),
    "error": pa.string(),
}
_HOW = {
    "max_concurrency",
    "on_error",
    "progress",
    "store",
    "audio_store",
    "max_cost_usd",
    "price_per_minute",
}
"""Settings of a parser that change how it works, not what it returns."""


class Task(Protocol):
    """What is done with each row; actors have a pickled copy.

    Attributes:
        model: The model or parser.
        schema: The columns that an answer has, with their types.
        requests_per_row: The most requests of a row at the same time.
    """

    model: Any
    schema: Mapping[str, pa.DataType]
    requests_per_row: int

    @property
    def settings(self) -> Mapping[str, Any]:
        """Return what answers depend on beside the row."""
        ...

    async def hash_file(self, cell: Any) -> str:
        """Return a hash of the file that a cell names; empty if it names none."""
        ...

    async def answer(self, cell: Any) -> Columns:
        """Send a request and return the columns of its answer."""
        ...


class Completion:
    """Answers prompts and lists of messages with a chat model."""

    schema: Mapping[str, pa.DataType] = _TEXT | _FACTS
    requests_per_row = 1

    def __init__(self, model: ChatVoxtral) -> None:
        self.model = model

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings by which LangChain's caches tell models apart."""
        return dict(self.model._identifying_params)  # noqa: SLF001

    async def hash_file(self, _: Any) -> str:
        """Return nothing: a prompt is all in its row."""
        return ""

    async def answer(self, cell: Any) -> Columns:
        """Send a prompt, or messages as LangChain takes them."""
        if not (isinstance(cell, str) or (isinstance(cell, list) and cell)):
            raise VoxtralInvalidRequestError(
                f"A prompt must be a string or a list of messages, not {_describe(cell)}."
            )
        message = await self.model.ainvoke(cell)
        facts = dict(message.response_metadata)
        tokens = dict(message.usage_metadata or {})
        facts |= {name: tokens[name] for name in tokens.keys() - _USAGE.keys()}
        if message.tool_calls:
            facts["tool_calls"] = message.tool_calls
        return {
            "text": message.text,
            "usage": {**tokens, "audio_seconds": facts.get("audio_seconds")},
            "cost_usd": facts.pop("cost", None),
            "request_id": facts.pop("request_id", None),
            "metadata": to_json(facts),
        }


class SegmentParser(VoxtralTranscriptionParser):
    """A parser that has times of segments, unless the server refuses them."""

    timestamps: Timestamps | None = "segment"


class Transcription:
    """Transcribes recordings: bytes, paths, and addresses of a file system."""

    def __init__(
        self, parser: VoxtralTranscriptionParser, filesystem: pa.fs.FileSystem | None
    ) -> None:
        self.model = parser
        self.filesystem = filesystem
        self.requests_per_row = parser.max_concurrency
        words = {"words": _parts("word")} if parser.timestamps == "word" else {}
        self.schema: Mapping[str, pa.DataType] = (
            _TEXT | {"segments": _parts("text")} | words | _FACTS
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings on which a transcript depends."""
        names = type(self.model).model_fields.keys() - ConnectionSettings.model_fields.keys()
        names = (names - _HOW) | {"model", "server", "base_url"}
        return {name: getattr(self.model, name) for name in sorted(names)}

    async def hash_file(self, cell: Any) -> str:
        """Return a hash of the recording's file; bytes are in the row."""
        return await asyncio.to_thread(self._hash_file, cell) if isinstance(cell, str) else ""

    async def answer(self, cell: Any) -> Columns:
        """Transcribe a recording."""
        if not isinstance(cell, str | bytes):
            raise VoxtralInvalidRequestError(
                "A recording must be its bytes, or a path or an address as a string, not "
                f"{_describe(cell)}."
            )
        with nullcontext(cell) if isinstance(cell, bytes) else self._open(cell) as recording:
            [document] = await self.model.aparse(recording)
        return _columns(document)

    def _hash_file(self, address: str) -> str:
        with self._open(address) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _open(self, address: str) -> Any:
        """Open a file of this machine, or of the file system that an address names."""
        scheme, _, path = address.rpartition("://")
        if self.filesystem is not None:
            return self.filesystem.open_input_file(path)
        if not scheme:
            return _open_path(address)
        try:
            filesystem, path = pa.fs.FileSystem.from_uri(address)
        except pa.ArrowInvalid:  # not one of pyarrow's own
            handler, path = fsspec.core.url_to_fs(address)
            filesystem = pa.fs.PyFileSystem(pa.fs.FSSpecHandler(handler))
        return filesystem.open_input_file(path)


def _open_path(path: str) -> Any:
    """Open a file of this machine, which the caller closes."""
    try:
        return open(path, "rb")  # noqa: PTH123 - Path("") is the folder
    except FileNotFoundError as error:
        if Path(path).is_absolute():
            raise
        advice = f"{error.strerror} in {Path.cwd()}, where the actor runs; use absolute paths"
        raise FileNotFoundError(error.errno, advice, path) from None


def to_json(facts: Mapping[str, Any]) -> str:
    """Return facts as JSON, without those that are not known."""
    known = {name: value for name, value in facts.items() if value is not None}
    return json.dumps(known, ensure_ascii=False, default=str)


def _parts(name: str) -> pa.DataType:
    return pa.list_(pa.struct(_TIMES | {name: pa.string()}))


def _columns(document: Document) -> Columns:
    facts = dict(document.metadata)
    error = facts.pop("error", None)
    return {
        "text": document.page_content,
        "segments": facts.pop("segments", None),
        "words": facts.pop("words", None),
        "usage": {"audio_seconds": facts.get("duration")},
        "cost_usd": facts.pop("cost", None),
        "request_id": facts.pop("request_id", None),
        "error": error and f"{facts.pop('error_type')}: {error}",
        "metadata": to_json(facts),
    }


def _describe(cell: Any) -> str:
    return "null" if cell is None else type(cell).__name__
