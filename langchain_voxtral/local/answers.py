"""Answers in DeepInfra's native shapes: one JSON document, or server-sent events."""

import asyncio
import json
import logging
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from langchain_voxtral.local.engine import Finished, Token
from langchain_voxtral.local.errors import Refusal
from langchain_voxtral.local.generation import Generation
from langchain_voxtral.local.grammar import Constraint

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = ["EventStream", "JsonAnswer", "json_bytes"]

logger = logging.getLogger("langchain_voxtral.local")

COST = 0.0
"""US dollars; an engine on the user's own machine bills nothing."""

_NOT_CONSTRAINED = Refusal.saying(
    400, "response_format: the embedded engine cannot enforce this schema or pattern"
)
_FAILED = Refusal(500, {"detail": "inference error"})
_FAILED_LATER = {"error": {"message": "inference error"}}


def json_bytes(value: object) -> bytes:
    """Return JSON in UTF-8, unescaped, as real servers send it."""
    return json.dumps(value, ensure_ascii=False).encode()


class _Answer:
    """An ASGI response that stops generating when the client goes away."""

    def __init__(self, generation: Generation, constraint: Constraint, request_id: str) -> None:
        self._generation = generation
        self._constraint = constraint
        self._request_id = request_id

    async def __call__(self, _: "Scope", receive: "Receive", send: "Send") -> None:
        await _while_connected(receive, self._generate(send))

    async def _generate(self, send: "Send") -> None:
        raise NotImplementedError

    async def _next(self, patience: float | None = None) -> Token | Finished | None:
        try:
            return await self._generation.next(patience)
        except Refusal:
            raise
        except Exception as failure:
            logger.exception("The embedded engine failed in request %s", self._request_id)
            raise _FAILED from failure

    def _check(self, text: str, finished: Finished) -> None:
        if finished.complete and not self._constraint.holds(text):
            raise _NOT_CONSTRAINED


class JsonAnswer(_Answer):
    """The whole answer at once.

    Args:
        generation: The request in the engine's queue.
        constraint: What the texts must follow.
        request_id: The request's id.
        responses: How many texts there will be.
    """

    def __init__(
        self, generation: Generation, constraint: Constraint, request_id: str, *, responses: int
    ) -> None:
        super().__init__(generation, constraint, request_id)
        self._responses = responses

    async def _generate(self, send: "Send") -> None:
        async with self._generation:
            answers = [await self._one() for _ in range(self._responses)]
        generated = sum(finished.output_tokens for _, finished in answers)
        read = answers[0][1].input_tokens
        body = {
            "request_id": self._request_id,
            "inference_status": {
                "status": "succeeded",
                "runtime_ms": self._generation.runtime_ms,
                "cost": COST,
                "tokens_input": read,
                "tokens_generated": generated,
            },
            "results": [{"generated_text": text} for text, _ in answers],
            "num_tokens": generated,
            "num_input_tokens": read,
        }
        content = json_bytes(body)
        await _start(send, "application/json", content_length=len(content))
        await send({"type": "http.response.body", "body": content})

    async def _one(self) -> tuple[str, Finished]:
        texts = []
        while isinstance(made := await self._next(), Token):
            texts.append(made.text)
        if made is None:
            raise _FAILED
        text = "".join(texts)
        self._check(text, made)
        return text, made


class EventStream(_Answer):
    """The answer token by token.

    Args:
        generation: The request in the engine's queue.
        constraint: What the text must follow.
        request_id: The request's id.
        keep_alive: Seconds without a token after which a comment is sent, so that nobody on
            the way takes the connection for dead while the prompt is being read.
    """

    def __init__(
        self,
        generation: Generation,
        constraint: Constraint,
        request_id: str,
        *,
        keep_alive: float,
    ) -> None:
        super().__init__(generation, constraint, request_id)
        self._keep_alive = keep_alive

    async def _generate(self, send: "Send") -> None:
        async with self._generation:
            # What fails before the answer begins still gets a status of its own.
            made = await self._next(self._keep_alive)
            await _start(send, "text/event-stream")
            texts: list[str] = []
            try:
                while not isinstance(made, Finished):
                    await _send_piece(send, b": keep-alive\n\n" if made is None else _token(made))
                    if made is not None:
                        texts.append(made.text)
                    made = await self._next(self._keep_alive)
                self._check("".join(texts), made)
                last = self._final(made)
            except Refusal as refusal:
                last = _event(_FAILED_LATER if refusal is _FAILED else refusal.body)
            await _send_piece(send, last)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _final(self, finished: Finished) -> bytes:
        return _event(
            {
                "token": {"id": None, "text": "", "logprob": 0.0, "special": False},
                "generated_text": None,
                "details": {"finish_reason": finished.reason},
                "num_output_tokens": finished.output_tokens,
                "num_input_tokens": finished.input_tokens,
                "estimated_cost": COST,
                "request_id": self._request_id,
            }
        )


def _token(token: Token) -> bytes:
    shown = {"id": token.id, "text": token.text, "logprob": token.logprob, "special": False}
    return _event({"token": shown, "generated_text": "", "details": None, "estimated_cost": None})


def _event(value: object) -> bytes:
    return b"data: " + json_bytes(value) + b"\n\n"


async def _start(send: "Send", media_type: str, *, content_length: int | None = None) -> None:
    headers = [(b"content-type", media_type.encode()), (b"cache-control", b"no-store")]
    if content_length is not None:
        headers.append((b"content-length", str(content_length).encode()))
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _send_piece(send: "Send", piece: bytes) -> None:
    await send({"type": "http.response.body", "body": piece, "more_body": True})


async def _while_connected(receive: "Receive", work: Coroutine[Any, Any, None]) -> None:
    """Run `work`, and cancel it as soon as the client has gone."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
    finally:
        working.cancel()
        gone.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _disconnect(receive: "Receive") -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
