"""Recordings as LangChain documents: `VoxtralTranscriptionParser`, `VoxtralTranscriptionLoader`."""

from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, aclosing, nullcontext, suppress
from os import PathLike
from typing import Any, cast

from langchain_core.document_loaders import BaseBlobParser, BaseLoader
from langchain_core.documents import Document
from langchain_core.documents.base import Blob
from pydantic import PrivateAttr

from langchain_voxtral.audio.pricing import Estimate, check_cost
from langchain_voxtral.audio.source import AudioSource
from langchain_voxtral.connection import MODEL_CONFIG
from langchain_voxtral.errors import VoxtralAudioError, VoxtralInvalidRequestError
from langchain_voxtral.signatures import SignatureWithSettings
from langchain_voxtral.transcription.chunk_sender import NoTimestamps
from langchain_voxtral.transcription.outputs import aiter_outputs, iter_outputs
from langchain_voxtral.transcription.pipeline import TranscriptionJob
from langchain_voxtral.transcription.settings import TranscriptionSettings
from langchain_voxtral.transcription.source import AudioInput, aopen_source, open_source
from langchain_voxtral.transcription_client import TranscriptionClient
from langchain_voxtral.transport import to_thread

__all__ = ["VoxtralTranscriptionLoader", "VoxtralTranscriptionParser"]


class VoxtralTranscriptionParser(TranscriptionSettings, BaseBlobParser):
    """Transcribes or translates recordings into LangChain documents.

    Setup:
        Install the extra `audio`, and set the server's key in the environment. The embedded engine,
        `base_url="local"`, needs the extra `local-speech` and no key.

        ```bash
        pip install "langchain-voxtral[audio]"
        export DEEPINFRA_API_TOKEN="your-key"
        ```

    Key init args - transcription params:
        - `model` (`str`, the server's): Name of the model at the server.
        - `task` (`str`, `"transcribe"`): Or `"translate"`, into English.
        - `language` (`str | None`, None): Spoken language, such as `"fr"`; None detects it.
        - `mode` (`str`, `"document"`): One document for each recording, `"chunk"`,
          `"segment"` or `"word"`; or a subtitle file (`"srt"`, `"vtt"`).
        - `timestamps` (`str | None`, None): Lists of times in the metadata: `"segment"`, `"word"`.
        - `speakers` (`bool`, False): Whether to identify speakers.
        - `chunk_seconds` (`float | None`, the longest): Length of chunks.
        - `max_concurrency` (`int`, 4): Number of parallel requests.
        - `on_error` (`str`, `"raise"`): Or `"mark"`: failures are reported in metadata.
        - `store` (`BaseStore | None`, None): Store for transcripts, to resume interrupted runs.
        - `progress` (`bool | Callable | None`, None): A bar, or a function.
        - `max_cost_usd` (`float | None`, None): Limit in US dollars for each recording.

    Key init args - client params:
        - `api_key` (`str | SecretStr | None`, from the environment): Key of the server.
        - `server` (`str`, `"deepinfra"`): Kind of server; also `"mistral"`, `"openrouter"`,
          `"vllm"` and `"llama_cpp"`.
        - `base_url` (`str`, the server's): Address of the server; `"local"` is the embedded engine.
        - `timeout` (`float | tuple | None`, 300): Seconds without a byte, or (connect, read).
        - `max_retries` (`int`, 2): Number of retries.

    The signature lists all arguments with types and defaults, and
    `VoxtralTranscriptionParser.model_fields["mode"].description` describes one. The examples below
    use the `parser` of the first one.

    Instantiate:
        ```python
        from langchain_voxtral import VoxtralTranscriptionParser

        parser = VoxtralTranscriptionParser(base_url="local", mode="srt")  # no key needed
        ```

    Parse:
        ```python
        [document] = parser.parse("talk.mp3")
        print(document.page_content)
        ```

        `lazy_parse` yields documents as they are ready; `aparse` and `alazy_parse` likewise.

    Metadata:
        ```python
        print(document.metadata["duration"], document.metadata["cost"])
        ```

        Unknown values are absent. Values of several chunks are joined by commas. The metadata is
        flat, as vector stores require; only `timestamps=` and `speakers=` add lists.

        - The recording, in addition to the blob's own: `source`, `sha256`, `duration` (as the file
          states it; from the last chunk on as decoded), `n_chunks` (from then on).
        - The part: `start` and `end` (seconds), `chunk`, `segment`, `word` (from 0), `speaker` (if
          the server names one; with several chunks `"1/NAME"`, since it does not compare them),
          `timestamps_source` (`"server"`, or `"chunk"`, for words also `"segment"`, if only their
          bounds are known).
        - Lists: `words` (`word`, `start`, `end`, `speaker`), `segments` (`text` for `word`).
        - The language: `language` (which is spoken), `language_probability` (0 to 1; of several
          chunks the lowest), `language_source` (`"asked"`; of the embedded engine `"detected"` or,
          below 0.5, `"assumed"`; `"server"` if it does not tell how it knows), `task`
          (`"translate"`, if the text is a translation).
        - The request: `model`, `request_id`, `chunks_from_store`, `cost` (US dollars, including
          what earlier runs paid; that of a chunk is with its first segment or word), `cost_source`
          (`"server"`, `"estimated"` if any of it is, `"not_sent"` if all is silent).
        - Silence and loops: `no_speech` (if nothing is said; then no segment or word is a
          document), `silent_chunks` (the number of those not sent), `silent` (if that is all),
          `loop` (a phrase that a chunk's text repeats again and again, as over noise).
        - Failures: `truncated` (if the recording is cut off and was kept); with `on_error="mark"`
          `error`, `error_type` and `failed_chunks`.

    Chunks:
        Any format that the extra `audio` decodes is taken. Long recordings are cut at silences into
        chunks that the server takes, sent in parallel while it is decoded, and returned in order. A
        chunk of nothing but digital silence or dither is not sent: it has no text, and costs
        nothing.

    Callbacks:
        Callbacks of the caller (`config`, a context manager, a tracer of the environment) see each
        request that is sent as the run of an LLM, named `VoxtralTranscription`; retries are part of
        it. Its prompt describes the chunk (format, seconds, the recording's hash) and never holds
        audio; its result is an `AIMessage` with the text, the tokens if the server counts them, and
        `response_metadata` with `cost`, `cost_source`, `audio_seconds`, `request_id`, `endpoint`,
        `attempts` (above 1). Streamed text comes as tokens. What is not sent is no run: silence,
        and what the store has.

    Raises:
        pydantic.ValidationError: A field is unknown or wrong, or the server cannot do it.
    """

    model_config = MODEL_CONFIG

    _no_timestamps: NoTimestamps = PrivateAttr(default_factory=set)

    def lazy_parse(self, blob: AudioInput) -> Generator[Document]:
        """Yield the documents of one recording, those of chunks and segments as they are ready.

        Mistral streams segments (`mode="segment"`). Then each comes before its chunk is whole: the
        cost of the chunk is an estimate, and `loop` is known for each segment alone. `parse` asks
        for no stream.

        Args:
            blob: A `Blob`, a path (a string is one), bytes, a binary file, or an audio block. A
                file is read from its start, if it can seek, and is not closed.

        Raises:
            VoxtralAudioError: It cannot be decoded.
            VoxtralError: A chunk failed; the message says which.
        """
        yield from self._outputs(blob, is_streamed=True)

    async def alazy_parse(self, blob: AudioInput) -> AsyncGenerator[Document]:
        """Do what `lazy_parse` does, asynchronously; decoding is done in threads."""
        async with aclosing(self._aoutputs(blob, is_streamed=True)) as documents:
            async for document in documents:
                yield document

    def parse(self, blob: AudioInput) -> list[Document]:
        """Return the documents of one recording; see `lazy_parse`."""
        return list(self._outputs(blob))

    async def aparse(self, blob: AudioInput) -> list[Document]:
        """Return the documents of one recording; see `lazy_parse`."""
        async with aclosing(self._aoutputs(blob)) as documents:
            return [document async for document in documents]

    def estimate(self, blob: AudioInput) -> Estimate:
        """Return what a recording will take, without a request.

        It is computed from the length that the file states: an upper bound, since silence counts.
        The recording is decoded if it states none, or if there is a store: then only what the
        store lacks counts, without silence.

        Args:
            blob: The recording, as for `lazy_parse`.

        Raises:
            VoxtralAudioError: It cannot be decoded.

        Example:
            ```python
            from langchain_voxtral import VoxtralTranscriptionParser

            print(VoxtralTranscriptionParser().estimate("talk.mp3").dollars)
            ```
        """
        source, metadata = open_source(blob, self.audio_store)
        with source:
            job = self._job(source, metadata)
            job.open()
            return job.estimate()

    async def aestimate(self, blob: AudioInput) -> Estimate:
        """Do what `estimate` does, asynchronously."""
        source, metadata = await aopen_source(blob, self.audio_store)
        with source:
            job = self._job(source, metadata)
            await to_thread(job.open)
            return await job.aestimate()

    def _outputs(self, blob: AudioInput, **options: bool) -> Generator[Any]:
        """Yield what `iter_outputs` makes of a recording."""
        source, metadata = open_source(blob, self.audio_store)
        with source:
            yield from iter_outputs(self._job(source, metadata), **options)

    async def _aoutputs(self, blob: AudioInput, **options: bool) -> AsyncGenerator[Any]:
        """Do what `_outputs` does, asynchronously."""
        source, metadata = await aopen_source(blob, self.audio_store)
        with source:
            async with aclosing(aiter_outputs(self._job(source, metadata), **options)) as outputs:
                async for output in outputs:
                    yield output

    def _job(self, source: AudioSource, metadata: dict[str, Any]) -> TranscriptionJob:
        client = TranscriptionClient(self)
        return TranscriptionJob(source, metadata, self, client, self._no_timestamps)


def as_parser(
    parser: VoxtralTranscriptionParser | None, settings: dict[str, Any]
) -> VoxtralTranscriptionParser:
    """Return the given parser, or one of these settings, which are emptied.

    A traceback with local variables would show the key among them.

    Raises:
        pydantic.ValidationError: A setting is unknown or has a wrong value.
        VoxtralInvalidRequestError: Both are given.
    """
    names = ", ".join(sorted(settings))
    try:
        if parser is None:
            return VoxtralTranscriptionParser(**settings)
    finally:
        settings.clear()
    if names:
        raise VoxtralInvalidRequestError(f"{names}: give settings to the parser, or no parser.")
    return parser


Recordings = AudioInput | Iterable[AudioInput]

_ZERO_COST = Estimate(0.0, 0, 0, 0.0)


class VoxtralTranscriptionLoader(BaseLoader):
    """Loads recordings as LangChain documents, one after the other.

    Setup, settings and the metadata of documents are those of `VoxtralTranscriptionParser`.

    Args:
        recordings: One recording or several: paths, blobs, bytes, binary files, audio blocks.
        parser: How they are transcribed; else a parser is made of the settings.
        max_cost_usd: Most US dollars for all recordings together, checked before the first
            request. (The parser's own `max_cost_usd` is for each.)
        **settings: Those of `VoxtralTranscriptionParser`.

    Raises:
        pydantic.ValidationError: A setting is unknown or has a wrong value.
        VoxtralInvalidRequestError: There are both a parser and settings, the budget is no amount,
            or what is given is no recording, nor are there several in it.

    Example:
        ```python
        from langchain_voxtral import VoxtralTranscriptionLoader

        loader = VoxtralTranscriptionLoader("talk.mp3", base_url="local", mode="chunk")
        for document in loader.lazy_load():  # also load(), and aload() and alazy_load()
            print(document.metadata["start"], document.page_content)
        print(loader.estimate().dollars)  # what it takes, without a request
        ```
    """

    __signature__ = SignatureWithSettings(VoxtralTranscriptionParser)

    def __init__(
        self,
        recordings: Recordings,
        *,
        parser: VoxtralTranscriptionParser | None = None,
        max_cost_usd: float | None = None,
        **settings: Any,
    ) -> None:
        self.parser = as_parser(parser, settings)
        if max_cost_usd is not None and not max_cost_usd >= 0:  # nor is NaN
            raise VoxtralInvalidRequestError(
                f"max_cost_usd={max_cost_usd!r} is no amount of US dollars."
            )
        self.recordings: Sequence[AudioInput] = _as_list(recordings)
        self.max_cost_usd = max_cost_usd

    def load(self) -> list[Document]:
        """Return the documents of all recordings; see `VoxtralTranscriptionParser.parse`."""
        self._check_budget()
        return [each for recording in self.recordings for each in self.parser.parse(recording)]

    async def aload(self) -> list[Document]:
        """Do what `load` does, asynchronously."""
        await self._acheck_budget()
        return [each for one in self.recordings for each in await self.parser.aparse(one)]

    def lazy_load(self) -> Iterator[Document]:
        """Yield the documents of all recordings; see `VoxtralTranscriptionParser.lazy_parse`."""
        self._check_budget()
        for recording in self.recordings:
            yield from self.parser.lazy_parse(recording)

    async def alazy_load(self) -> AsyncGenerator[Document]:
        """Do what `lazy_load` does, asynchronously."""
        await self._acheck_budget()
        for recording in self.recordings:
            async with aclosing(self.parser.alazy_parse(recording)) as documents:
                async for document in documents:
                    yield document

    def estimate(self) -> Estimate:
        """Return what all recordings will take, without a request; as the parser's `estimate`."""
        return _sum(map(self.parser.estimate, self.recordings))

    async def aestimate(self) -> Estimate:
        """Do what `estimate` does, asynchronously."""
        return _sum([await self.parser.aestimate(recording) for recording in self.recordings])

    def _check_budget(self) -> None:
        if self.max_cost_usd is not None:
            total = _ZERO_COST
            for recording in self.recordings:
                _check_seekable(recording)
                with self._unreadable_is_free():
                    total += self.parser.estimate(recording)
            self._check_cost(total, self.max_cost_usd)

    async def _acheck_budget(self) -> None:
        if self.max_cost_usd is not None:
            total = _ZERO_COST
            for recording in self.recordings:
                _check_seekable(recording)
                with self._unreadable_is_free():
                    total += await self.parser.aestimate(recording)
            self._check_cost(total, self.max_cost_usd)

    def _unreadable_is_free(self) -> AbstractContextManager[object]:
        """Pass over a recording that cannot be read, and so is not sent, if it is to be marked."""
        return suppress(VoxtralAudioError) if self.parser.on_error == "mark" else nullcontext()

    def _check_cost(self, total: Estimate, limit: float) -> None:
        count = len(self.recordings)
        check_cost(total, limit, "1 recording" if count == 1 else f"{count} recordings")


def _sum(estimates: Iterable[Estimate]) -> Estimate:
    return sum(estimates, _ZERO_COST)


def _check_seekable(recording: AudioInput) -> None:
    """Reject a file that can be read only once, since the estimate reads it first."""
    can_seek = getattr(recording, "seekable", None)
    if hasattr(recording, "read") and not (can_seek is not None and can_seek()):
        raise VoxtralInvalidRequestError(
            "max_cost_usd= reads each recording twice, and a file that cannot seek is read once: "
            "give its bytes, or set max_cost_usd= of the parser."
        )


def _as_list(recordings: Recordings) -> Sequence[AudioInput]:
    one = isinstance(recordings, Blob | str | PathLike | bytes | bytearray | memoryview | Mapping)
    if one or hasattr(recordings, "read"):
        return [cast("AudioInput", recordings)]
    if not isinstance(recordings, Iterable):
        raise VoxtralInvalidRequestError(
            "The loader takes a recording, or several of them in a list, not "
            f"{type(recordings).__name__}."
        )
    return [*cast("Iterable[AudioInput]", recordings)]
