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

WAYS = ("invoke", "ainvoke", "stream", "astream")

T = TypeVar("T")
Model = ChatVoxtral | VoxtralLLM


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, or a chunk of one: its text, and all that rides beside it."""

    text: str
    info: dict[str, Any] = field(default_factory=dict)


class Caller:
    """Calls models of one face.

    A synchronous test drives an asynchronous call through a loop that stays the same, one step
    at a time, so that both are written once.

    Args:
        face: The class of the models.
        runner: The loop for asynchronous calls; None calls synchronously.
    """

    def __init__(self, face: type[Model], runner: asyncio.Runner | None) -> None:
        self.face = face
        self._runner = runner

    def model(self, server: ScriptedServer, **fields: Any) -> Model:
        """Return a model that asks this server."""
        return self.face(base_url=server.url, **fields)

    def invoke(self, model: Model, prompt: str = "Hello!", **options: Any) -> Said:
        """Return a whole answer."""
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

    def stream(self, model: Model, prompt: str = "Hello!", **options: Any) -> Iterator[Said]:
        """Yield the chunks of a streamed answer, each as soon as it is there."""
        told = _Told()
        for chunk in self._chunks(model, prompt, {"callbacks": [told]}, options):
            yield _of_message(chunk) if isinstance(chunk, AIMessage) else told.said.pop()

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


class _Told(BaseCallbackHandler):
    """Keeps what rides beside each token, which an LLM's stream tells callbacks alone."""

    run_inline = True

    def __init__(self) -> None:
        self.said: list[Said] = []

    def on_llm_new_token(self, token: Any, *, chunk: Any = None, **_: Any) -> None:
        self.said.append(Said(token, chunk.generation_info or {}))


def _of_message(message: AIMessage) -> Said:
    usage = {"usage_metadata": dict(message.usage_metadata)} if message.usage_metadata else {}
    return Said(message.text, message.response_metadata | usage)


def _of_result(result: LLMResult) -> Said:
    [[generation]] = result.generations
    return Said(generation.text, generation.generation_info or {})


def broken(chunks: Iterator[Said]) -> tuple[str, VoxtralError]:
    """Return the text that was shown before a stream raised, which it must, and the error."""
    shown: list[Said] = []
    with pytest.raises(VoxtralError) as caught:
        shown.extend(chunks)
    return "".join(chunk.text for chunk in shown), caught.value


def text_of(answer: object) -> str:
    """Return the text of what a model gives: a message or a string."""
    return answer.text if isinstance(answer, BaseMessage) else str(answer)


async def ask(model: Runnable[Any, Any], way: str, prompt: Any, /, **options: Any) -> str:
    """Ask in the given way; return the text of the answer."""
    method = getattr(model, way)
    if way == "invoke":
        return text_of(method(prompt, **options))
    if way == "ainvoke":
        return text_of(await method(prompt, **options))
    if way == "stream":
        return "".join(text_of(chunk) for chunk in method(prompt, **options))
    return "".join([text_of(chunk) async for chunk in method(prompt, **options)])


def sum_of(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    """Add up the chunks of a stream, as users do."""
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole
