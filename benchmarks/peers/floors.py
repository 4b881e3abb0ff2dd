"""What no client can be cheaper than: sockets, httpx, aiohttp and LangChain itself."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import httpx
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langsmith import Client

from benchmarks.peers.server import WORD, parse_prompt

_PATH = "/v1/inference/model"


def _body(prompt: str, *, is_stream: bool) -> bytes:
    return json.dumps({"input": prompt, "stream": is_stream}).encode()


class Sockets:
    """A socket of its own for each request; the bytes of the response, unread."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 0)
        self._path = parts.path + _PATH

    def stream(self, prompt: str) -> Iterator[bytes]:
        """Yield the bytes of each read."""
        with socket.create_connection(self._address) as connection:
            connection.sendall(self._request(prompt))
            while data := connection.recv(65536):
                yield data
                if data.endswith(b"0\r\n\r\n"):
                    return

    async def astream(self, prompt: str) -> AsyncIterator[bytes]:
        """Yield the bytes of each read."""
        reader, writer = await asyncio.open_connection(*self._address)
        writer.write(self._request(prompt))
        while data := await reader.read(65536):
            yield data
            if data.endswith(b"0\r\n\r\n"):
                break
        writer.close()

    def _request(self, prompt: str) -> bytes:
        body = _body(prompt, is_stream=True)
        head = (
            f"POST {self._path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class HTTPX:
    """httpx: the bytes of the response, unread."""

    def __init__(self, url: str) -> None:
        self._url = url + _PATH
        self._client = httpx.Client(trust_env=False, timeout=60)
        self._async_client = httpx.AsyncClient(trust_env=False, timeout=60)

    def stream(self, prompt: str) -> Iterator[bytes]:
        """Yield the bytes of each read."""
        with self._client.stream(
            "POST", self._url, content=_body(prompt, is_stream=True)
        ) as response:
            yield from response.iter_bytes()

    async def astream(self, prompt: str) -> AsyncIterator[bytes]:
        """Yield the bytes of each read."""
        body = _body(prompt, is_stream=True)
        async with self._async_client.stream("POST", self._url, content=body) as response:
            async for data in response.aiter_bytes():
                yield data

    def invoke(self, prompt: str) -> bytes:
        """Return the bytes of one response."""
        return self._client.post(self._url, content=_body(prompt, is_stream=False)).content

    async def ainvoke(self, prompt: str) -> bytes:
        """Return the bytes of one response."""
        response = await self._async_client.post(self._url, content=_body(prompt, is_stream=False))
        return response.content


class AIOHTTP:
    """aiohttp: the bytes of the response, unread."""

    def __init__(self, url: str) -> None:
        self._url = url + _PATH
        self._session: aiohttp.ClientSession | None = None

    def _open_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession()
        return self._session

    async def astream(self, prompt: str) -> AsyncIterator[bytes]:
        """Yield the bytes of each read."""
        async with self._open_session().post(
            self._url, data=_body(prompt, is_stream=True)
        ) as response:
            async for data in response.content.iter_any():
                yield data

    async def ainvoke(self, prompt: str) -> bytes:
        """Return the bytes of one response."""
        async with self._open_session().post(
            self._url, data=_body(prompt, is_stream=False)
        ) as response:
            return await response.read()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


class CoreChat(BaseChatModel):
    """LangChain alone: a model that makes a chunk for each token, and asks nobody."""

    @property
    def _llm_type(self) -> str:
        return "floor"

    def _generate(self, messages: list[BaseMessage], *_args: Any, **_kwargs: Any) -> ChatResult:
        message = AIMessage(content=WORD * _count_tokens(messages))
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(
        self, messages: list[BaseMessage], *_args: Any, **_kwargs: Any
    ) -> ChatResult:
        return self._generate(messages)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - LangChain's
        run_manager: Any = None,
        **_kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        for _ in range(_count_tokens(messages)):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=WORD))
            if run_manager is not None:
                run_manager.on_llm_new_token(WORD, chunk=chunk)
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,  # noqa: ARG002 - LangChain's
        run_manager: Any = None,
        **_kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        for _ in range(_count_tokens(messages)):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=WORD))
            if run_manager is not None:
                await run_manager.on_llm_new_token(WORD, chunk=chunk)
            yield chunk


def _count_tokens(messages: list[BaseMessage]) -> int:
    return parse_prompt(str(messages[-1].content).encode())[0]


class MemoryTraces(Client):
    """LangSmith's client, without a network: it keeps what a tracer sends."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", api_key="none", auto_batch_tracing=False)
        self.calls: list[Any] = []

    def create_run(self, *args: Any, **kwargs: Any) -> None:
        """Keep the begin of a run."""
        self.calls.append((args, kwargs))

    def update_run(self, *args: Any, **kwargs: Any) -> None:
        """Keep the end of a run."""
        self.calls.append((args, kwargs))
