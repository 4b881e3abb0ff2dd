"""Requests as runs of LangChain's callbacks: what handlers and traces are told of each."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Generic, TypeVar

from langchain_core.callbacks import (
    AsyncCallbackManager,
    AsyncCallbackManagerForLLMRun,
    BaseCallbackHandler,
    BaseCallbackManager,
    CallbackManager,
)
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, GenerationChunk, LLMResult
from langchain_core.runnables.config import (
    ensure_config,
    get_async_callback_manager_for_config,
    get_callback_manager_for_config,
)
from langchain_core.version import VERSION as CORE_VERSION

from langchain_voxtral._version import __version__
from langchain_voxtral.audio.pricing import cost_usd
from langchain_voxtral.completions.outputs import (
    generation_info,
    response_metadata,
    usage_metadata,
)
from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.protocol.responses import ResponseInfo
from langchain_voxtral.protocol.transcription_request import ChunkTranscript, TranscriptionRequest
from langchain_voxtral.protocol.transcription_stream import StreamedItem
from langchain_voxtral.providers import provider_name
from langchain_voxtral.transcription.costs import billed_seconds, cost_of
from langchain_voxtral.transcription.documents import without_none
from langchain_voxtral.transcription.settings import TranscriptionSettings, price_per_minute
from langchain_voxtral.transcription_client import AsyncEmit, Emit
from langchain_voxtral.usage.entry import enter_call

RUN_NAME = "VoxtralTranscription"

_SERIALIZED = {
    "lc": 1,
    "type": "not_implemented",
    "id": ["langchain_voxtral", "document_loaders", "VoxtralTranscriptionParser"],
    "name": RUN_NAME,
}
_HASH_LENGTH = 12

M = TypeVar("M", bound=BaseCallbackManager)


def request_runs(settings: TranscriptionSettings, sha256: str) -> "RequestRuns[CallbackManager]":
    """Return the runs of a recording's requests, for the callbacks of the caller's context."""
    manager = get_callback_manager_for_config(ensure_config())
    return RequestRuns(settings, sha256, _prepared(manager))


def arequest_runs(
    settings: TranscriptionSettings, sha256: str
) -> "RequestRuns[AsyncCallbackManager]":
    """Do what `request_runs` does, for `acall`."""
    manager = get_async_callback_manager_for_config(ensure_config())
    return RequestRuns(settings, sha256, _prepared(manager))


def _prepared(manager: M) -> M | None:
    """Return callbacks for all requests of a recording, or None if nobody listens."""
    if not manager.handlers:
        return None
    from langchain_voxtral.tracing import record_run_facts  # noqa: PLC0415 - not all trace

    record_run_facts(manager)
    return manager


def _rank(handler: BaseCallbackHandler) -> tuple[bool, bool]:
    """Order handlers: one that refuses a start by an error leaves no run open before it."""
    return not handler.raise_error, not handler.run_inline


@dataclass(frozen=True, slots=True)
class RequestRuns(Generic[M]):
    """Reports the requests of one recording to callbacks, each as the run of an LLM.

    Args:
        settings: Those of the transcription.
        sha256: The recording's hash.
        manager: The callbacks; None if there are none.
    """

    settings: TranscriptionSettings
    sha256: str
    manager: M | None

    def call(
        self: "RequestRuns[CallbackManager]",
        request: TranscriptionRequest,
        send: Callable[[Emit], ChunkTranscript],
        emit: Emit,
    ) -> ChunkTranscript:
        """Send a request within a run, whatever becomes of it.

        Args:
            request: The request.
            send: Sends it, and calls the function that it is given with what a stream brings.
            emit: Takes what a stream brings.

        Raises:
            VoxtralBudgetExceededError: A budget of a handler cannot hold the request.
            BaseException: What `send` or `emit` raised.
        """
        if self.manager is None:
            return send(emit)
        manager = self._manager_of(self.manager, request)
        [run] = manager.on_llm_start(*self._inputs(request), **self._facts(request))

        texts: list[str] = []

        def report(item: StreamedItem) -> None:
            texts.append(text := _text_of(item))
            run.on_llm_new_token(text, chunk=GenerationChunk(text=text))
            emit(item)

        try:
            transcript = send(report)
        except BaseException as error:
            run.on_llm_error(error, **self._partial_result(request, error, texts))
            raise
        run.on_llm_end(self._result(request, transcript))
        return transcript

    async def acall(
        self: "RequestRuns[AsyncCallbackManager]",
        request: TranscriptionRequest,
        send: Callable[[AsyncEmit], Awaitable[ChunkTranscript]],
        emit: Emit,
    ) -> ChunkTranscript:
        """Do what `call` does, asynchronously."""
        run: AsyncCallbackManagerForLLMRun | None = None
        texts: list[str] = []

        async def report(item: StreamedItem) -> None:
            if run is not None:
                texts.append(text := _text_of(item))
                await run.on_llm_new_token(text, chunk=GenerationChunk(text=text))
            emit(item)

        if self.manager is None:
            return await send(report)
        manager = self._manager_of(self.manager, request)
        starting = asyncio.ensure_future(self._astart(manager, request))
        try:
            # A cancelled start would leave the run open in handlers that it had reached.
            run = await asyncio.shield(starting)
            transcript = await send(report)
        except BaseException as error:
            with suppress(Exception):  # of a start that failed, which is the error itself
                run = await starting
                await run.on_llm_error(error, **self._partial_result(request, error, texts))
            raise
        await run.on_llm_end(self._result(request, transcript))
        return transcript

    async def _astart(
        self, manager: AsyncCallbackManager, request: TranscriptionRequest
    ) -> AsyncCallbackManagerForLLMRun:
        """Start a run; LangChain would tell the inline handlers alone, once there is one."""
        handlers, facts = manager.handlers, self._facts(request)
        for _, group in groupby(handlers, _rank):
            manager.handlers = [*group]
            [run] = await manager.on_llm_start(*self._inputs(request), **facts)
            facts["run_id"] = run.run_id
        run.handlers = handlers
        return run

    @property
    def _provider(self) -> str:
        return provider_name(self.settings.base_url, self.settings.server)

    def _manager_of(self, manager: M, request: TranscriptionRequest) -> M:
        """Return callbacks whose metadata is that of one request, unless a budget refuses it."""
        seconds, price = request.chunk.seconds, price_per_minute(self.settings)
        expected = None if price is None else cost_usd(seconds, price)
        metadata = {
            "ls_provider": self._provider,
            "ls_model_name": request.model,
            "ls_model_type": "llm",
            "ls_temperature": request.options.temperature,
            "lc_versions": {"langchain-core": CORE_VERSION, "langchain-voxtral": __version__},
            "audio_seconds": round(seconds, 6),
            "estimated_cost_usd": expected,
        }
        copied = manager.copy()
        enter_call(copied, request.model, expected, is_transcription=True)
        copied.handlers.sort(key=_rank)
        copied.add_metadata(without_none(metadata), inherit=False)
        return copied

    def _inputs(self, request: TranscriptionRequest) -> tuple[dict[str, Any], list[str]]:
        """Return what is called, and a description of the audio, which no trace holds."""
        chunk = request.chunk
        facts = f"{chunk.format.name}, {round(chunk.seconds, 2):g} s"
        return {**_SERIALIZED}, [f"{request.title}: {facts}, sha256 {self.sha256[:_HASH_LENGTH]}"]

    def _facts(self, request: TranscriptionRequest) -> dict[str, Any]:
        options = request.options
        params = {
            "model": request.model,
            "endpoint": request.endpoint_name,
            "task": options.task,
            "language": options.language,
            "prompt": options.prompt,
            "temperature": options.temperature,
            "timestamps": options.timestamps,
        }
        return {"invocation_params": without_none(params), "name": RUN_NAME, "batch_size": 1}

    def _result(self, request: TranscriptionRequest, transcript: ChunkTranscript) -> LLMResult:
        said, seconds = transcript.transcript, request.chunk.seconds
        cost, source = cost_of(said.usage, seconds, price_per_minute(self.settings)) or (None, None)
        audio_seconds = round(billed_seconds(said.usage, seconds), 6)
        info = ResponseInfo(
            finish_reason=said.finish_reason,
            usage=replace(said.usage, cost=cost, audio_seconds=audio_seconds),
            request_id=said.request_id,
            runtime_ms=said.runtime_ms,
            model=transcript.model,
            provider=self._provider,
            attempts=transcript.attempts,
            endpoint=request.endpoint_name,
        )
        return _llm_result(said.text, info, cost_source=source, language=said.language)

    def _partial_result(
        self, request: TranscriptionRequest, error: BaseException, texts: Sequence[str]
    ) -> dict[str, LLMResult]:
        """Return what came of a request that failed, as `on_llm_error` takes it."""
        text = "".join(texts)
        info = ResponseInfo(
            model=request.model, provider=self._provider, endpoint=request.endpoint_name
        )
        if isinstance(error, VoxtralError):
            text = error.partial or text
            info = replace(info, request_id=error.request_id, attempts=error.attempts)
        return {"response": _llm_result(text, info)} if text else {}


def _llm_result(text: str, info: ResponseInfo, **more: str | None) -> LLMResult:
    usage = usage_metadata(info)
    facts = without_none(more)
    message = AIMessage(
        content=text.strip(),
        usage_metadata=usage,
        response_metadata=response_metadata(info) | facts,
    )
    generation = ChatGeneration(message=message, generation_info=generation_info(info) | facts)
    output = {"model_name": info.model, "token_usage": usage, "cost": info.usage.cost}
    return LLMResult(generations=[[generation]], llm_output=without_none(output))


def _text_of(item: StreamedItem) -> str:
    return item if isinstance(item, str) else item.transcript.text
