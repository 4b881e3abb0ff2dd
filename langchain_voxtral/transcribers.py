"""Transcription within chains: `VoxtralTranscriber`."""

from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping, Sequence
from contextlib import aclosing, closing
from os import PathLike
from typing import Any, Literal, cast

from langchain_core.documents import Document
from langchain_core.documents.base import Blob
from langchain_core.runnables import Runnable, RunnableConfig

from langchain_voxtral.document_loaders import VoxtralTranscriptionParser, as_parser
from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.signatures import SignatureWithSettings
from langchain_voxtral.transcription.source import AudioInput
from langchain_voxtral.transport import running_loop

__all__ = ["VoxtralTranscriber"]

_MAX_SHOWN = 1_000


class VoxtralTranscriber(Runnable[AudioInput, Any]):
    """Transcribes a recording in a chain; returns its text or its documents.

    Setup and settings are those of `VoxtralTranscriptionParser`.

    Traces of its own runs show a recording's name or size, not its audio; below them is a run for
    each request, with its cost (see `VoxtralTranscriptionParser`). Traces of a chain around it show
    the chain's input: give chains paths rather than bytes.

    Args:
        parser: The parser that transcribes; else one is made of the settings.
        output: `"text"` returns a string: the transcript, or with `mode="srt"` the subtitle file;
            several documents are joined by line breaks; where there is no speech it is empty.
            `"documents"` returns the documents.
        **settings: Those of `VoxtralTranscriptionParser`.

    Raises:
        pydantic.ValidationError: A setting is unknown or has a wrong value.
        VoxtralInvalidRequestError: Both a parser and settings are given, the output is unknown, or
            it is text, which cannot show the failures, speakers or times that the parser is to put
            into metadata; subtitles can show the last two.

    Example:
        ```python
        from langchain_core.prompts import ChatPromptTemplate
        from langchain_voxtral import ChatVoxtral, VoxtralTranscriber

        prompt = ChatPromptTemplate.from_template("Sum this up in a sentence: {talk}")
        chain = VoxtralTranscriber(base_url="local") | prompt | ChatVoxtral(base_url="local")
        print(chain.invoke("talk.mp3").text)
        ```
    """

    __signature__ = SignatureWithSettings(VoxtralTranscriptionParser)

    def __init__(
        self,
        parser: VoxtralTranscriptionParser | None = None,
        *,
        output: Literal["text", "documents"] = "text",
        **settings: Any,
    ) -> None:
        self.output = output
        self.parser = as_parser(parser, settings)
        if output not in {"text", "documents"}:
            raise VoxtralInvalidRequestError(f"output={output!r} must be 'text' or 'documents'.")
        if output == "text":
            check_text_output(self.parser, "output='documents'")

    def invoke(
        self,
        input: AudioInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **more: Any,
    ) -> Any:
        """Return the text or the documents of a recording.

        Args:
            input: A path (a string is one), bytes, a binary file, a `Blob`, or an audio block.
            config: LangChain's settings of a run.
            **more: Nothing; settings are given to the constructor.

        Raises:
            VoxtralError: As for `VoxtralTranscriptionParser.lazy_parse`.
            VoxtralInvalidRequestError: A setting is given.
        """
        _reject_settings(more)

        def transcribe(_: object) -> Any:
            return self._out(self.parser.parse(input))

        return self._call_with_config(transcribe, _describe(input), config)

    async def ainvoke(
        self,
        input: AudioInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **more: Any,
    ) -> Any:
        """Do what `invoke` does, asynchronously."""
        _reject_settings(more)
        running_loop()  # LangChain's error would not say what is missing

        async def transcribe(_: object) -> Any:
            return self._out(await self.parser.aparse(input))

        return await self._acall_with_config(transcribe, _describe(input), config)

    def stream(
        self,
        input: AudioInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **more: Any,
    ) -> Generator[Any]:
        """Yield the text as soon as it is there, or documents in lists; their sum is the output.

        vLLM, llama.cpp and Mistral send the text while they transcribe (modes `"document"` and
        `"chunk"`), and Mistral segments, too; other servers give it a chunk at a time. Subtitles
        come at the end. Chunks are sent in parallel all the same; the text of later ones waits for
        its turn. A caller who leaves early closes the connections: asynchronously at once, else at
        the next thing that the server sends, at the latest after `timeout`.

        Raises:
            VoxtralIncompleteStreamError: The stream of a chunk broke; the text of the chunk is in
                `.partial`.
            VoxtralError: As for `invoke`.

        Example:
            ```python
            from langchain_voxtral import VoxtralTranscriber

            for piece in VoxtralTranscriber(base_url="local").stream("talk.mp3"):
                print(piece, end="", flush=True)
            ```
        """
        _reject_settings(more)
        # Closed here, because LangChain leaves that to the garbage collection.
        with closing(self._pieces(input)) as pieces:
            yield from self._transform_stream_with_config(
                iter([_describe(input)]), lambda _: pieces, config
            )

    async def astream(
        self,
        input: AudioInput,  # noqa: A002 - LangChain's name
        config: RunnableConfig | None = None,
        **more: Any,
    ) -> AsyncGenerator[Any]:
        """Do what `stream` does, asynchronously."""
        _reject_settings(more)
        running_loop()

        async def described() -> AsyncIterator[str]:
            yield _describe(input)

        outputs = self._atransform_stream_with_config(
            described(), lambda _: self._apieces(input), config
        )
        async with aclosing(cast("AsyncGenerator[Any]", outputs)):
            async for output in outputs:
                yield output

    @property
    def model_name(self) -> str:
        """The name of the parser's model."""
        return self.parser.model

    @property
    def OutputType(self) -> Any:  # noqa: N802 - LangChain's name
        """The type of the output, for schemas."""
        return str if self.output == "text" else list[Document]

    def __repr__(self) -> str:
        # Tracebacks with local variables show one that could not be made, too.
        parser = getattr(self, "parser", None)
        return f"{type(self).__name__}({parser!r}, output={self.output!r})"

    def _pieces(self, audio: AudioInput) -> Generator[Any]:
        is_text, has_output = self.output == "text", False
        outputs = self.parser._outputs(audio, is_streamed=True, as_text=is_text)  # noqa: SLF001
        with closing(outputs):
            for output in outputs:
                has_output = True
                yield output if is_text else [output]
        if not has_output:
            yield []  # a chain needs an input

    async def _apieces(self, audio: AudioInput) -> AsyncGenerator[Any]:
        is_text, has_output = self.output == "text", False
        outputs = self.parser._aoutputs(audio, is_streamed=True, as_text=is_text)  # noqa: SLF001
        async with aclosing(outputs):
            async for output in outputs:
                has_output = True
                yield output if is_text else [output]
        if not has_output:
            yield []

    def _out(self, documents: Sequence[Document]) -> Any:
        return joined(documents) if self.output == "text" else [*documents]


def _reject_settings(settings: dict[str, Any]) -> None:
    if settings:
        raise VoxtralInvalidRequestError(
            f"{', '.join(sorted(settings))}: a transcriber takes no settings with a call; give "
            "them when it is made."
        )


def _describe(audio: AudioInput) -> str:
    """Return the description of a recording for traces."""
    if isinstance(audio, str | PathLike):
        return str(audio)[:_MAX_SHOWN]  # it may be base64, mistaken for a path
    if isinstance(audio, bytes | bytearray | memoryview):
        return f"a recording of {len(audio)} bytes"
    if isinstance(audio, Blob):
        return audio.source or "a recording in a blob"
    if isinstance(audio, Mapping) and isinstance(file_id := audio.get("file_id"), str):
        return f"the recording {file_id[:_MAX_SHOWN]}"
    return "a recording"


def check_text_output(parser: VoxtralTranscriptionParser, instead: str) -> None:
    """Reject a parser that puts what it is asked for into metadata, where only text is used."""
    setting = "on_error='mark' puts failures" if parser.on_error == "mark" else ""
    if not setting and parser.mode not in {"srt", "vtt"}:
        if parser.speakers:
            setting = "speakers=True puts names"
        elif parser.timestamps is not None:
            setting = f"timestamps={parser.timestamps!r} puts times"
        instead = f"mode='srt' or {instead}"
    if setting:
        raise VoxtralInvalidRequestError(
            f"{setting} into the metadata of documents, and a text has none: take {instead}."
        )


def joined(documents: Sequence[Document]) -> str:
    """Return the text of documents."""
    return "\n".join(document.page_content for document in documents)
