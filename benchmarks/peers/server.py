"""A server of pre-rendered responses, in a process of its own, for comparing clients.

The prompt of a request says what to answer: `Write 100 words: burst.` The last word is how the
tokens of a stream are sent: `burst`, `paced` or `proxy`. A request that does not ask for a stream
gets one document. The path tells the protocol: DeepInfra's own or OpenAI's chat completions.
"""

import asyncio
import json
import multiprocessing
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from multiprocessing.connection import Connection
from typing import cast

WORD = " word"
PACE_SECONDS = 0.001
"""What is between two tokens of a paced stream."""
PROXY_BYTES = 4096
"""Bytes of a write of a stream that a proxy put together."""
_MODEL = "mistralai/Voxtral-Mini-3B-2507"
_PROMPT = re.compile(rb"Write (\d+) words: (\w+)")


@contextmanager
def running(core: int | None) -> Iterator[str]:
    """Run the server in a process of its own and yield its address."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_serve, args=(sender, core), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{receiver.recv()}"
    finally:
        process.terminate()
        process.join()


def _serve(sender: Connection, core: int | None) -> None:
    if core is not None:
        os.sched_setaffinity(0, {core})

    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=1024)
        sender.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


class _Connection(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._received = bytearray()
        self._task: asyncio.Task[None] | None = None

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._received[:end]).lower()
        length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if len(self._received) < end + 4 + length:
            return
        body = bytes(self._received[end + 4 :])
        self._received.clear()
        protocol = "native" if b"/inference/" in head else "chat"
        tokens, mode = parse_prompt(body)
        if b'"stream":true' not in body.replace(b" ", b""):
            self._transport.write(whole_response(protocol, tokens))
        elif mode == "paced":
            self._task = asyncio.get_running_loop().create_task(self._pace(protocol, tokens))
        else:
            self._transport.write(b"".join(stream_writes(protocol, mode, tokens)))

    async def _pace(self, protocol: str, tokens: int) -> None:
        for data in stream_writes(protocol, "burst", tokens):
            self._transport.write(data)
            await asyncio.sleep(PACE_SECONDS)


def prompt(tokens: int, mode: str) -> str:
    """Return the prompt that asks for a response."""
    return f"Write {tokens} words: {mode}."


def parse_prompt(body: bytes) -> tuple[int, str]:
    """Return the number of tokens that a prompt asks for, and how they are sent."""
    match = _PROMPT.search(body)
    if match is None:
        raise ValueError(f"no prompt in {body!r}")
    return int(match[1]), match[2].decode()


@lru_cache
def whole_response(protocol: str, tokens: int) -> bytes:
    """Return a whole response with its head."""
    body = json.dumps(_WHOLE[protocol](tokens)).encode()
    head = (
        f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@lru_cache
def stream_writes(protocol: str, mode: str, tokens: int) -> list[bytes]:
    """Return what is written for a stream: the head, and each chunk of HTTP's chunked coding."""
    events = [b"data: %b\n\n" % json.dumps(event).encode() for event in _EVENTS[protocol](tokens)]
    if protocol == "chat":
        events.append(b"data: [DONE]\n\n")
    if mode == "proxy":
        data = b"".join(events)
        events = [data[at : at + PROXY_BYTES] for at in range(0, len(data), PROXY_BYTES)]
    head = (
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    return [head, *(b"%x\r\n%b\r\n" % (len(data), data) for data in events), b"0\r\n\r\n"]


def _native_events(tokens: int) -> Iterator[dict[str, object]]:
    rest = {"details": None, "estimated_cost": None}
    for _ in range(tokens):
        yield {"token": _token(WORD), "generated_text": "", **rest}
    yield {
        "token": _token(""),
        "generated_text": None,
        "details": {"finish_reason": "stop"},
        "num_output_tokens": tokens,
        "num_input_tokens": 12,
        "estimated_cost": 0.00001,
    }


def _token(text: str) -> dict[str, object]:
    return {"id": None, "text": text, "logprob": 0.0, "special": False}


def _chat_events(tokens: int) -> Iterator[dict[str, object]]:
    base = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": _MODEL,
    }
    yield base | {"choices": [_delta({"role": "assistant", "content": ""})]}
    for _ in range(tokens):
        yield base | {"choices": [_delta({"content": WORD})]}
    yield base | {"choices": [_delta({"content": ""}, "stop")], "usage": _usage(tokens)}


def _delta(delta: dict[str, str], finish_reason: str | None = None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "finish_reason": finish_reason}


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 12, "completion_tokens": tokens, "total_tokens": 12 + tokens}


def _native_document(tokens: int) -> dict[str, object]:
    status = {"status": "succeeded", "runtime_ms": 1, "cost": 0.00001}
    return {
        "request_id": "r",
        "results": [{"generated_text": WORD * tokens}],
        "num_tokens": tokens,
        "num_input_tokens": 12,
        "inference_status": status | {"tokens_generated": tokens, "tokens_input": 12},
    }


def _chat_document(tokens: int) -> dict[str, object]:
    message = {"role": "assistant", "content": WORD * tokens}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": _MODEL,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": _usage(tokens),
    }


_EVENTS = {"native": _native_events, "chat": _chat_events}
_WHOLE = {"native": _native_document, "chat": _chat_document}
