"""Call a model in every mode: chat model or LLM, whole or streamed, blocking or awaited."""

import asyncio
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import LLMResult
from langchain_core.runnables import Runnable
from support.scripted_server import ScriptedServer

from langchain_voxtral import ChatVoxtral, VoxtralLLM
from langchain_voxtral.errors import VoxtralError

CALL_MODES = ("invoke", "ainvoke", "stream", "astream")

T = TypeVar("T")
Model = ChatVoxtral | VoxtralLLM


@dataclass(frozen=True, slots=True)
class Response:
    """A response or a chunk of one: its text and its metadata."""

    text: str
    info: dict[str, Any] = field(default_factory=dict)


class Caller:
    """Calls models of one class.

    Asynchronous calls run in one loop, step by step, so that a synchronous test covers both.

    Args:
        model_class: The class of the models.
        runner: The loop for asynchronous calls; None calls synchronously.
    """

    def __init__(self, model_class: type[Model], runner: asyncio.Runner | None) -> None:
        self.model_class = model_class
        self._runner = runner

    def model(self, server: ScriptedServer, **fields: Any) -> Model:
        """Return a model that calls this server."""
        return self.model_class(base_url=server.url, **fields)

    def invoke(self, model: Model, prompt: str = "Hello!", **options: Any) -> Response:
        """Return an unstreamed response."""
        if isinstance(model, ChatVoxtral):
            return _of_message(
                model.invoke(prompt, **options)
                if self._runner is None
                else self._run(model.ainvoke(prompt, **options))
            )
        return _of_result(
            model.generate([prompt], **options)
            if self._runner is None
            else self._run(model.agenerate([prompt], **options))
        )

    def stream(self, model: Model, prompt: str = "Hello!", **options: Any) -> Iterator[Response]:
        """Yield the chunks of a streamed response as they arrive."""
        recorder = _ChunkRecorder()
        for chunk in self._chunks(model, prompt, {"callbacks": [recorder]}, options):
            yield _of_message(chunk) if isinstance(chunk, AIMessage) else recorder.chunks.pop()

    def close(self, model: Model) -> None:
        """Close a model's connections."""
        if self._runner is None:
            model.close()
        else:
            self._run(model.aclose())

    def _chunks(
        self, model: Model, prompt: str, config: Any, options: dict[str, Any]
    ) -> Iterator[AIMessage | str]:
        if self._runner is None:
            yield from model.stream(prompt, config, **options)
            return
        chunks = model.astream(prompt, config, **options)

        async def following() -> AIMessage | str | None:
            return await anext(chunks, None)

        while (chunk := self._run(following())) is not None:
            yield chunk

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        assert self._runner is not None
        return self._runner.run(coroutine)


class _ChunkRecorder(BaseCallbackHandler):
    """Records the metadata of chunks, which an LLM's stream gives to callbacks only."""

    run_inline = True

    def __init__(self) -> None:
        self.chunks: list[Response] = []

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        self.chunks.append(Response(token, chunk.generation_info or {}))


def _of_message(message: AIMessage) -> Response:
    usage = {"usage_metadata": dict(message.usage_metadata)} if message.usage_metadata else {}
    return Response(message.text, message.response_metadata | usage)


def _of_result(result: LLMResult) -> Response:
    [[generation]] = result.generations
    return Response(generation.text, generation.generation_info or {})


def read_until_error(chunks: Iterator[Response]) -> tuple[str, VoxtralError]:
    """Read a stream that must raise; return the text before the error, and the error."""
    shown: list[Response] = []
    with pytest.raises(VoxtralError) as caught:
        shown.extend(chunks)
    return "".join(chunk.text for chunk in shown), caught.value


def text_of(answer: object) -> str:
    """Return the text of a message or a string."""
    return answer.text if isinstance(answer, BaseMessage) else str(answer)


async def ask(model: Runnable[Any, Any], call_mode: str, prompt: Any, /, **options: Any) -> str:
    """Call the model in the given mode; return the text of the response."""
    method = getattr(model, call_mode)
    if call_mode == "invoke":
        return text_of(method(prompt, **options))
    if call_mode == "ainvoke":
        return text_of(await method(prompt, **options))
    if call_mode == "stream":
        return "".join(text_of(chunk) for chunk in method(prompt, **options))
    return "".join([text_of(chunk) async for chunk in method(prompt, **options)])


def sum_of(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    """Add up the chunks of a stream."""
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole
