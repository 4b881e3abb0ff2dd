"""The clients that are compared, behind one interface.

Each function imports what it needs, so that a process loads only what it measures.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from importlib.util import find_spec
from typing import Any

MODEL = "mistralai/Voxtral-Mini-3B-2507"
KEY = "benchmark-key"

OURS = "ChatVoxtral"
FAST = "ChatVoxtral [fast]"
REFERENCE = "ChatOpenAI"
"""The client whose figures are 1.00."""
PEERS = (REFERENCE, "ChatMistralAI", "ChatDeepInfra")


@dataclass
class LangChainClient:
    """A chat model of LangChain; each method returns or yields the text that arrived.

    Args:
        model: The model.
        stream_settings: What must be set for `stream()`, if it is not so by default.
    """

    model: Any
    stream_settings: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def _streaming(self) -> Any:
        return self.model.model_copy(update=self.stream_settings)

    @cached_property
    def _v1(self) -> Any:
        return self._streaming.model_copy(update={"output_version": "v1"})

    def stream(self, prompt: str) -> Iterator[str]:
        """Yield the text of each chunk."""
        for chunk in self._streaming.stream(prompt):
            yield chunk.content

    async def astream(self, prompt: str) -> AsyncIterator[str]:
        """Yield the text of each chunk."""
        async for chunk in self._streaming.astream(prompt):
            yield chunk.content

    def stream_with_callback(self, prompt: str) -> Iterator[str]:
        """Yield the text that a callback handler gets."""
        handler = _handler()
        for _ in self._streaming.stream(prompt, config={"callbacks": [handler]}):
            yield handler.tokens.pop()

    def stream_traced(self, prompt: str) -> Iterator[str]:
        """Yield the text of each chunk, while a tracer keeps the run in memory."""
        tracer = _tracer()
        for chunk in self._streaming.stream(prompt, config={"callbacks": [tracer]}):
            yield chunk.content
        if len(tracer.client.calls) != 2:  # noqa: PLR2004 - a run's begin and end
            raise ValueError(f"the tracer kept {tracer.client.calls}")

    def stream_v1(self, prompt: str) -> Iterator[str]:
        """Yield the text of each chunk, with content as LangChain's standard blocks."""
        for chunk in self._v1.stream(prompt):
            yield chunk.text

    def stream_events(self, prompt: str) -> Iterator[str]:
        """Yield the text of LangChain's v3 events."""
        yield from self._streaming.stream_events(prompt, version="v3").text

    def invoke(self, prompt: str) -> str:
        """Return the text of one call."""
        return str(self.model.invoke(prompt).content)

    async def ainvoke(self, prompt: str) -> str:
        """Return the text of one call."""
        return str((await self.model.ainvoke(prompt)).content)

    def batch(self, prompts: list[str]) -> list[str]:
        """Return the texts of several calls, made by threads."""
        return [str(message.content) for message in self.model.batch(prompts)]

    async def abatch(self, prompts: list[str]) -> list[str]:
        """Return the texts of several calls at once."""
        return [str(message.content) for message in await self.model.abatch(prompts)]


def _handler() -> Any:
    from langchain_core.callbacks import BaseCallbackHandler  # noqa: PLC0415

    class Handler(BaseCallbackHandler):
        def __init__(self) -> None:
            self.tokens: list[str] = []

        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:  # noqa: ARG002
            self.tokens.append(token)

    return Handler()


def _tracer() -> Any:
    from langchain_core.tracers import LangChainTracer  # noqa: PLC0415

    from benchmarks.peers.floors import MemoryTraces  # noqa: PLC0415

    return LangChainTracer(client=MemoryTraces())


def _voxtral(url: str) -> Any:
    from langchain_voxtral import ChatVoxtral  # noqa: PLC0415

    return LangChainClient(ChatVoxtral(base_url=f"{url}/v1", api_key=KEY, model=MODEL))


def _openai(url: str) -> Any:
    from langchain_openai import ChatOpenAI  # noqa: PLC0415

    address = f"{url}/v1/openai"
    return LangChainClient(
        ChatOpenAI(base_url=address, api_key=KEY, model=MODEL, stream_usage=True)
    )


def _mistralai(url: str) -> Any:
    from langchain_mistralai import ChatMistralAI  # noqa: PLC0415

    address = f"{url}/v1/openai"
    return LangChainClient(ChatMistralAI(endpoint=address, api_key=KEY, model_name=MODEL))


def _deepinfra(url: str) -> Any:
    from langchain_community.chat_models import ChatDeepInfra  # noqa: PLC0415

    address = f"{url}/v1/openai/chat/completions"
    model = ChatDeepInfra(url=address, deepinfra_api_token=KEY, model=MODEL)
    # Its stream() asks for a whole response unless it is told to stream.
    return LangChainClient(model, {"streaming": True})


def _core(_url: str) -> Any:
    from benchmarks.peers.floors import CoreChat  # noqa: PLC0415

    return LangChainClient(CoreChat())


def _floor(name: str) -> Callable[[str], Any]:
    def make(url: str) -> Any:
        from benchmarks.peers import floors  # noqa: PLC0415

        return getattr(floors, name)(url)

    return make


def choose_transport(name: str) -> None:
    """Let what ChatVoxtral opens from now on have the transport that a column is about."""
    os.environ["VOXTRAL_HTTP_TRANSPORT"] = "auto" if name == FAST else "httpx"


def names() -> list[str]:
    """Return the clients that can be measured here: one of them needs the extra `fast`."""
    return [name for name in CLIENTS if name != FAST or find_spec("httpx_aiohttp")]


CLIENTS: dict[str, Callable[[str], Any]] = {
    OURS: _voxtral,
    FAST: _voxtral,
    REFERENCE: _openai,
    "ChatMistralAI": _mistralai,
    "ChatDeepInfra": _deepinfra,
    "core alone": _core,
    "httpx alone": _floor("HTTPX"),
    "aiohttp alone": _floor("AIOHTTP"),
    "sockets": _floor("Sockets"),
}
"""Each makes a client for a server's address."""

IMPORTS = {
    OURS: ("langchain_voxtral", "ChatVoxtral"),
    FAST: ("langchain_voxtral", "ChatVoxtral"),
    REFERENCE: ("langchain_openai", "ChatOpenAI"),
    "ChatMistralAI": ("langchain_mistralai", "ChatMistralAI"),
    "ChatDeepInfra": ("langchain_community.chat_models", "ChatDeepInfra"),
    "core alone": ("langchain_core.language_models.chat_models", "BaseChatModel"),
    "httpx alone": ("httpx", "Client"),
    "aiohttp alone": ("aiohttp", "ClientSession"),
}
"""What a user of the client imports, and from where."""
