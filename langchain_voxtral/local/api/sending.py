"""How answers are sent, whatever their shape: at once, or as server-sent events."""

import asyncio
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_voxtral.local.engine.generation import Generation
from langchain_voxtral.local.engine.llama import GenerationEnd, Token
from langchain_voxtral.local.errors import INFERENCE_ERROR, ErrorResponse
from langchain_voxtral.local.prompting.json_grammar import Constraint

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

__all__ = [
    "COST",
    "Made",
    "StreamedAnswer",
    "WholeAnswer",
    "event",
    "json_bytes",
    "start",
    "while_connected",
]

logger = logging.getLogger("langchain_voxtral.local")

COST = 0.0
"""US dollars; an engine on the user's own machine bills nothing."""

_NOT_CONSTRAINED = ErrorResponse.with_message(
    400, "response_format: the embedded engine cannot enforce this schema or pattern"
)
_FAILED_LATER = {"error": {"message": "inference error"}}


@dataclass(frozen=True, slots=True)
class Made:
    """One response, as it was generated.

    Args:
        tokens: Its tokens.
        finished: How it ended.
    """

    tokens: Sequence[Token]
    finished: GenerationEnd

    @property
    def text(self) -> str:
        """What the tokens say together."""
        return "".join(token.text for token in self.tokens)


class _Answer(ABC):
    """An ASGI response that stops generating when the client goes away."""

    def __init__(self, generation: Generation, constraint: Constraint, request_id: str) -> None:
        self._generation = generation
        self._constraint = constraint
        self._request_id = request_id

    async def __call__(self, _: "Scope", receive: "Receive", send: "Send") -> None:
        await while_connected(receive, self._generate(send))

    @abstractmethod
    async def _generate(self, send: "Send") -> None:
        """Send the answer."""

    async def _next(self, patience: float | None = None) -> Token | GenerationEnd | None:
        try:
            return await self._generation.next(patience)
        except ErrorResponse:
            raise
        except Exception as failure:
            logger.exception("The embedded engine failed in request %s", self._request_id)
            raise INFERENCE_ERROR from failure

    def _check(self, made: Made) -> None:
        if made.finished.complete and not self._constraint.is_satisfied(made.text):
            raise _NOT_CONSTRAINED


class WholeAnswer(_Answer):
    """The whole answer at once; a subclass gives it its shape.

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

    @abstractmethod
    def _body(self, answers: Sequence[Made]) -> dict[str, Any]:
        """Return the document that says what was generated."""

    async def _generate(self, send: "Send") -> None:
        async with self._generation:
            answers = [await self._one() for _ in range(self._responses)]
        content = json_bytes(self._body(answers))
        await start(send, "application/json", content_length=len(content))
        await send({"type": "http.response.body", "body": content})

    async def _one(self) -> Made:
        tokens = []
        while isinstance(made := await self._next(), Token):
            tokens.append(made)
        if made is None:
            raise INFERENCE_ERROR
        answer = Made(tokens, made)
        self._check(answer)
        return answer


class StreamedAnswer(_Answer):
    """The answer token by token; a subclass gives its events their shape.

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

    def _begin(self) -> Iterator[bytes]:
        """Yield what comes before the first token."""
        yield from ()

    @abstractmethod
    def _go_on(self, token: Token) -> Iterator[bytes]:
        """Yield what a token adds."""

    @abstractmethod
    def _end(self, made: Made) -> Iterator[bytes]:
        """Yield what comes after the last token."""

    async def _generate(self, send: "Send") -> None:
        async with self._generation:
            # What fails before the answer begins still gets a status of its own.
            made = await self._next(self._keep_alive)
            await start(send, "text/event-stream")
            await _send_pieces(send, self._begin())
            tokens: list[Token] = []
            try:
                while not isinstance(made, GenerationEnd):
                    if made is None:
                        await _send_pieces(send, [b": keep-alive\n\n"])
                    else:
                        tokens.append(made)
                        await _send_pieces(send, self._go_on(made))
                    made = await self._next(self._keep_alive)
                answer = Made(tokens, made)
                self._check(answer)
                last = b"".join(self._end(answer))
            except ErrorResponse as refusal:
                last = event(_FAILED_LATER if refusal is INFERENCE_ERROR else refusal.body)
            await _send_pieces(send, [last])
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def event(value: object) -> bytes:
    """Return a server-sent event that carries a JSON value."""
    return b"data: " + json_bytes(value) + b"\n\n"


def json_bytes(value: object) -> bytes:
    """Return JSON in UTF-8, unescaped, as real servers send it."""
    return json.dumps(value, ensure_ascii=False).encode()


async def start(
    send: "Send",
    media_type: str,
    *,
    content_length: int | None = None,
    further: Mapping[str, str] | None = None,
) -> None:
    """Send the status 200 and the headers."""
    headers = [(b"content-type", media_type.encode()), (b"cache-control", b"no-store")]
    if content_length is not None:
        headers.append((b"content-length", str(content_length).encode()))
    headers += [(name.encode(), value.encode()) for name, value in (further or {}).items()]
    await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _send_pieces(send: "Send", pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})


async def while_connected(receive: "Receive", work: Coroutine[Any, Any, None]) -> bool:
    """Run `work`, and cancel it as soon as the client has gone; tell whether it was done."""
    working = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait({working, gone}, return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            await working
            return True
        return False
    finally:
        working.cancel()
        gone.cancel()
        await asyncio.gather(working, gone, return_exceptions=True)


async def _disconnect(receive: "Receive") -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
