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
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from benchmarks.peers.server import WORD

_PATH = "/v1/inference/model"


def _body(*, is_stream: bool) -> bytes:
    return json.dumps({"input": "Write a thousand words.", "stream": is_stream}).encode()


class Sockets:
    """A socket of its own for each request; the bytes of the response, unread."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 0)
        self._path = parts.path + _PATH

    def stream(self) -> Iterator[bytes]:
        """Yield the bytes of each read."""
        with socket.create_connection(self._address) as connection:
            connection.sendall(self._request(is_stream=True))
            while data := connection.recv(65536):
                yield data
                if data.endswith(b"0\r\n\r\n"):
                    return

    async def astream(self) -> AsyncIterator[bytes]:
        """Yield the bytes of each read."""
        reader, writer = await asyncio.open_connection(*self._address)
        writer.write(self._request(is_stream=True))
        while data := await reader.read(65536):
            yield data
            if data.endswith(b"0\r\n\r\n"):
                break
        writer.close()

    def _request(self, *, is_stream: bool) -> bytes:
        body = _body(is_stream=is_stream)
        head = (
            f"POST {self._path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class HTTPX:
    """httpx: the bytes of the response, unread."""

    def __init__(self, url: str) -> None:
        self._url = url + _PATH
        self._client = httpx.Client(trust_env=False)
        self._async_client = httpx.AsyncClient(trust_env=False)

    def stream(self) -> Iterator[bytes]:
        """Yield the bytes of each read."""
        with self._client.stream("POST", self._url, content=_body(is_stream=True)) as response:
            yield from response.iter_bytes()

    async def astream(self) -> AsyncIterator[bytes]:
        """Yield the bytes of each read."""
        body = _body(is_stream=True)
        async with self._async_client.stream("POST", self._url, content=body) as response:
            async for data in response.aiter_bytes():
                yield data

    def invoke(self) -> bytes:
        """Return the bytes of one response."""
        return self._client.post(self._url, content=_body(is_stream=False)).content

    async def ainvoke(self) -> bytes:
        """Return the bytes of one response."""
        response = await self._async_client.post(self._url, content=_body(is_stream=False))
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

    async def astream(self) -> AsyncIterator[bytes]:
        """Yield the bytes of each read."""
        async with self._open_session().post(self._url, data=_body(is_stream=True)) as response:
            async for data in response.content.iter_any():
                yield data

    async def ainvoke(self) -> bytes:
        """Return the bytes of one response."""
        async with self._open_session().post(self._url, data=_body(is_stream=False)) as response:
            return await response.read()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


class CoreChat(BaseChatModel):
    """LangChain alone: a model that makes a chunk for each token, and asks nobody."""

    tokens: int

    @property
    def _llm_type(self) -> str:
        return "floor"

    def _generate(self, *_args: Any, **_kwargs: Any) -> ChatResult:
        message = AIMessage(content=WORD * self.tokens)
        return ChatResult(generations=[ChatGeneration(message=message)])

    async def _agenerate(self, *_args: Any, **_kwargs: Any) -> ChatResult:
        return self._generate()

    def _stream(self, *_args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        run_manager = kwargs.get("run_manager")
        for _ in range(self.tokens):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=WORD))
            if run_manager is not None:
                run_manager.on_llm_new_token(WORD, chunk=chunk)
            yield chunk

    async def _astream(self, *_args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        run_manager = kwargs.get("run_manager")
        for _ in range(self.tokens):
            chunk = ChatGenerationChunk(message=AIMessageChunk(content=WORD))
            if run_manager is not None:
                await run_manager.on_llm_new_token(WORD, chunk=chunk)
            yield chunk
