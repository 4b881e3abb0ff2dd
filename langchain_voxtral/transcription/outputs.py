"""What becomes of a recording: documents, or text, as soon as they are there."""

from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing, closing
from typing import Any

from langchain_core.documents import Document

from langchain_voxtral.errors import VoxtralAudioError
from langchain_voxtral.protocol.transcription_request import ChunkTranscript
from langchain_voxtral.protocol.transcription_stream import ItemType
from langchain_voxtral.transcription.documents import DocumentBuilder, Mode, without_none
from langchain_voxtral.transcription.pipeline import TranscriptionJob
from langchain_voxtral.transcription.results import ChunkResult
from langchain_voxtral.transport import to_thread

_LIVE_MODES: frozenset[Mode] = frozenset({"document", "chunk"})
"""Modes in which the text of a chunk can be shown before it is whole."""


def iter_outputs(
    job: TranscriptionJob, *, is_streamed: bool = False, as_text: bool = False
) -> Generator[Any]:
    """Transcribe a recording and yield its documents, or pieces of their text.

    Args:
        job: The recording.
        is_streamed: Whether a server that can is to stream what can be yielded before a chunk is
            whole.
        as_text: Whether pieces of text are yielded. Joined, they are the texts of the documents,
            with line breaks between these; there is always a piece.

    Raises:
        VoxtralAudioError: It cannot be decoded.
        VoxtralError: A chunk failed; the message says which.
    """
    try:
        job.open()
        job.check_budget()
        builder = _builder(job, as_text=as_text)
        wanted = _wanted(job, as_text=as_text) if is_streamed else None
        with closing(job.results(wanted)) as results:
            for result in results:
                yield from builder.add(result)
    except VoxtralAudioError as error:
        yield _failed_document(job, error)
    else:
        yield from builder.finish()


async def aiter_outputs(
    job: TranscriptionJob, *, is_streamed: bool = False, as_text: bool = False
) -> AsyncGenerator[Any]:
    """Do what `iter_outputs` does, asynchronously; decoding is done in threads."""
    try:
        await to_thread(job.open)
        await job.acheck_budget()
        builder = _builder(job, as_text=as_text)
        wanted = _wanted(job, as_text=as_text) if is_streamed else None
        async with aclosing(job.aresults(wanted)) as results:
            async for result in results:
                for output in builder.add(result):
                    yield output
    except VoxtralAudioError as error:
        yield _failed_document(job, error)
    else:
        for output in builder.finish():
            yield output


def _builder(job: TranscriptionJob, *, as_text: bool) -> "DocumentBuilder | TextBuilder":
    builder = job.document_builder(job.settings.mode)
    return TextBuilder(builder) if as_text else builder


def _wanted(job: TranscriptionJob, *, as_text: bool) -> ItemType | None:
    mode = job.settings.mode
    if mode == "segment":
        return ChunkTranscript
    return str if as_text and mode in _LIVE_MODES else None


def _failed_document(job: TranscriptionJob, error: VoxtralAudioError) -> Document:
    """Return the document of a recording that cannot be decoded, or raise the error."""
    if job.settings.on_error == "raise":
        raise error
    failure = {"error": str(error), "error_type": type(error).__name__}
    return Document("", metadata=without_none({**job.metadata, **failure}))


class TextBuilder:
    """Makes pieces of text of the results of one recording, which are added in order.

    Args:
        builder: Makes the documents whose texts these are.
    """

    def __init__(self, builder: DocumentBuilder) -> None:
        self._builder = builder
        self._is_live = builder.mode in _LIVE_MODES
        self._separator = ""  # before the next text
        self._has_output = False
        self._sent = 0  # characters of this chunk
        self._spaces = ""  # at the end of what came of it, which may be the end of all

    def add(self, result: ChunkResult) -> list[str]:
        """Take the next result of a chunk, or a part of one; return the text to append."""
        if not self._is_live:
            return self._join(self._builder.add(result))
        if result.is_partial:
            return self._append_streamed(result.partial)
        pieces = self._append(result.text[self._sent :])
        self._sent, self._spaces = 0, ""
        if self._builder.mode == "chunk":
            self._separator += "\n"  # a chunk without a text is a document, too
        elif self._has_output:
            self._separator = " "
        return pieces

    def finish(self) -> list[str]:
        """Return the last text, or an empty one if there was none: a chain needs an input."""
        if not self._is_live:
            pieces = self._join(self._builder.finish())
        else:
            pieces = list(filter(None, [self._separator[:-1]]))  # the last one has nothing after it
        return pieces if pieces or self._has_output else [""]

    def _append_streamed(self, text: str) -> list[str]:
        """Append text as it comes: without spaces at the beginning and at the end of the chunk."""
        text = self._spaces + text
        if not self._sent:
            text = text.lstrip()
        stripped = text.rstrip()
        self._spaces = text[len(stripped) :]
        return self._append(stripped)

    def _append(self, text: str) -> list[str]:
        if not text:
            return []
        piece, self._separator = self._separator + text, ""
        self._sent += len(text)
        self._has_output = True
        return [piece]

    def _join(self, documents: Sequence[Document]) -> list[str]:
        pieces = []
        for document in documents:
            pieces.append(self._separator + document.page_content)
            self._separator = "\n"
        self._has_output = self._has_output or bool(pieces)
        return pieces
