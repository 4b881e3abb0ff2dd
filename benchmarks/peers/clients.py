"""The clients that are compared, behind one interface.

Each function imports what it needs, so that a process loads only what it measures.
"""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

MESSAGE = "Write a thousand words."
MODEL = "mistralai/Voxtral-Mini-3B-2507"
KEY = "benchmark-key"

OURS = "ChatVoxtral"
REFERENCE = "ChatOpenAI"
"""The client whose figures are 1.00."""


@dataclass
class LangChainClient:
    """A chat model of LangChain; each method returns or yields the text that arrived."""

    model: Any
    streaming_model: Any = None

    def __post_init__(self) -> None:
        if self.streaming_model is None:
            self.streaming_model = self.model

    def stream(self) -> Iterator[str]:
        """Yield the text of each chunk."""
        for chunk in self.streaming_model.stream(MESSAGE):
            yield chunk.content

    async def astream(self) -> AsyncIterator[str]:
        """Yield the text of each chunk."""
        async for chunk in self.streaming_model.astream(MESSAGE):
            yield chunk.content

    def stream_with_callback(self) -> Iterator[str]:
        """Yield the text that a callback handler gets."""
        handler = _handler()
        for _ in self.streaming_model.stream(MESSAGE, config={"callbacks": [handler]}):
            yield handler.tokens.pop()

    def stream_v1(self) -> Iterator[str]:
        """Yield the text of each chunk, with content as LangChain's standard blocks."""
        model = self.streaming_model.model_copy(update={"output_version": "v1"})
        for chunk in model.stream(MESSAGE):
            yield chunk.text

    def stream_events(self) -> Iterator[str]:
        """Yield the text of LangChain's v3 events."""
        yield from self.streaming_model.stream_events(MESSAGE, version="v3").text

    def invoke(self) -> str:
        """Return the text of one call."""
        return str(self.model.invoke(MESSAGE).content)

    async def ainvoke(self) -> str:
        """Return the text of one call."""
        return str((await self.model.ainvoke(MESSAGE)).content)

    async def abatch(self, rows: int) -> list[str]:
        """Return the texts of several calls at once."""
        return [str(message.content) for message in await self.model.abatch([MESSAGE] * rows)]


def _handler() -> Any:
    from langchain_core.callbacks import BaseCallbackHandler  # noqa: PLC0415

    class Handler(BaseCallbackHandler):
        def __init__(self) -> None:
            self.tokens: list[str] = []

        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:  # noqa: ARG002
            self.tokens.append(token)

    return Handler()


def _voxtral(url: str, _tokens: int) -> Any:
    from langchain_voxtral import ChatVoxtral  # noqa: PLC0415

    return LangChainClient(ChatVoxtral(base_url=f"{url}/v1", api_key=KEY, model=MODEL))


def _openai(url: str, _tokens: int) -> Any:
    from langchain_openai import ChatOpenAI  # noqa: PLC0415

    address = f"{url}/v1/openai"
    return LangChainClient(
        ChatOpenAI(base_url=address, api_key=KEY, model=MODEL, stream_usage=True)
    )


def _mistralai(url: str, _tokens: int) -> Any:
    from langchain_mistralai import ChatMistralAI  # noqa: PLC0415

    address = f"{url}/v1/openai"
    return LangChainClient(ChatMistralAI(endpoint=address, api_key=KEY, model_name=MODEL))


def _deepinfra(url: str, _tokens: int) -> Any:
    from langchain_community.chat_models import ChatDeepInfra  # noqa: PLC0415

    address = f"{url}/v1/openai/chat/completions"
    settings = {"url": address, "deepinfra_api_token": KEY, "model": MODEL}
    # Its stream() asks for a whole response unless streaming=True.
    return LangChainClient(ChatDeepInfra(**settings), ChatDeepInfra(**settings, streaming=True))


def _core(_url: str, tokens: int) -> Any:
    from benchmarks.peers.floors import CoreChat  # noqa: PLC0415

    return LangChainClient(CoreChat(tokens=tokens))


def _httpx(url: str, _tokens: int) -> Any:
    from benchmarks.peers.floors import HTTPX  # noqa: PLC0415

    return HTTPX(url)


def _aiohttp(url: str, _tokens: int) -> Any:
    from benchmarks.peers.floors import AIOHTTP  # noqa: PLC0415

    return AIOHTTP(url)


def _sockets(url: str, _tokens: int) -> Any:
    from benchmarks.peers.floors import Sockets  # noqa: PLC0415

    return Sockets(url)


CLIENTS = {
    OURS: _voxtral,
    REFERENCE: _openai,
    "ChatMistralAI": _mistralai,
    "ChatDeepInfra": _deepinfra,
    "core alone": _core,
    "httpx alone": _httpx,
    "aiohttp alone": _aiohttp,
    "sockets": _sockets,
}
"""Each makes a client for a server's address and the number of tokens of its responses."""

MODULES = {
    OURS: "langchain_voxtral",
    REFERENCE: "langchain_openai",
    "ChatMistralAI": "langchain_mistralai",
    "ChatDeepInfra": "langchain_community.chat_models.deepinfra",
    "core alone": "langchain_core.language_models.chat_models",
    "httpx alone": "httpx",
    "aiohttp alone": "aiohttp",
}
"""What a user of the client imports."""
