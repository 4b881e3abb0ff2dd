"""Responses with generated text: as one document, or as server-sent events.

The shape comes from an `AnswerFormat`: the native one is here, that of chat completions in
`chat_responses`.
"""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse

from langchain_voxtral.errors import VoxtralAudioError, VoxtralLocalError
from langchain_voxtral.local.engine.llama import GenerationEnd, Token
from langchain_voxtral.local.engine.scheduler import WorkItem
from langchain_voxtral.local.errors import ErrorResponse
from langchain_voxtral.local.prompting.json_grammar import Constraint

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

logger = logging.getLogger("langchain_voxtral.local")

COST = 0.0
"""US dollars; an engine on the user's own machine bills nothing."""

NO_STORE = {"cache-control": "no-store"}

_NOT_CONSTRAINED = "response_format: the embedded engine cannot enforce this schema or pattern"
_INFERENCE_ERROR = "inference error"
"""DeepInfra's message when a model fails."""

_NO_TOKEN = {"id": None, "text": "", "logprob": 0.0, "special": False}

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """One generated text: its tokens, and how it ended."""

    tokens: Sequence[Token]
    end: GenerationEnd

    @property
    def text(self) -> str:
        """The text of all tokens."""
        return "".join(token.text for token in self.tokens)


class AnswerFormat(Protocol):
    """The shape of an answer, as a document or as events; an object for one answer only."""

    def document(self, texts: Sequence[GeneratedText]) -> dict[str, Any]:
        """Return the document of a whole answer."""

    def first_events(self) -> Iterator[bytes]:
        """Yield the events before the first token."""

    def token_events(self, token: Token) -> Iterator[bytes]:
        """Yield the events of a token."""

    def last_events(self, text: GeneratedText) -> Iterator[bytes]:
        """Yield the events after the last token."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The generation of an answer.

    Args:
        work: The engine's work: of each text the tokens, then its end.
        n_texts: How many texts there will be.
        constraint: What the texts have to satisfy.
        request_id: The request's id, for the log.
    """

    work: WorkItem[Token | GenerationEnd]
    n_texts: int
    constraint: Constraint
    request_id: str

    async def next_within(self, seconds: float) -> Token | GenerationEnd | None:
        """Return the next token or end, or None if it takes longer."""
        with engine_errors(self.request_id):
            return await self.work.next_within(seconds)

    async def texts(self) -> list[GeneratedText]:
        """Return all texts."""
        return [await self._text() for _ in range(self.n_texts)]

    async def _text(self) -> GeneratedText:
        tokens = []
        with engine_errors(self.request_id):
            while isinstance(result := await self.work.next(), Token):
                tokens.append(result)
        return await self.checked(GeneratedText(tokens, result))

    async def checked(self, text: GeneratedText) -> GeneratedText:
        """Return a text if it satisfies the constraint, as far as the model ended it."""
        is_satisfied = self.constraint.is_satisfied
        # In a thread: many alternatives, each checked for many items, take seconds.
        if text.end.ended_by_model and not await asyncio.to_thread(is_satisfied, text.text):
            raise ErrorResponse.with_message(400, _NOT_CONSTRAINED)
        return text


@contextlib.contextmanager
def engine_errors(request_id: str) -> Iterator[None]:
    """Raise an engine's failures as error responses; unexpected ones are logged.

    What is wrong with a recording is no failure of the engine.
    """
    try:
        yield
    except (ErrorResponse, VoxtralAudioError):
        raise
    except VoxtralLocalError as error:
        raise ErrorResponse.with_message(503, error.message) from error
    except Exception as error:
        logger.exception("The embedded engine failed in request %s", request_id)
        raise ErrorResponse(500, {"detail": _INFERENCE_ERROR}) from error


async def json_answer(
    receive: "Receive", generation: Generation, answer_format: AnswerFormat
) -> Response:
    """Generate, and return the response with the whole answer."""
    async with generation.work:
        texts = await cancel_on_disconnect(receive, generation.texts())
    return json_response(200, answer_format.document(texts), NO_STORE)


class EventStreamAnswer(StreamingResponse):
    """An ASGI response with server-sent events, sent token by token.

    Args:
        generation: What is generated; of one text.
        answer_format: The shape of the events.
        keep_alive: Seconds without a token after which a comment is sent, so that no proxy
            takes the connection for dead while the prompt is read.
    """

    def __init__(
        self, generation: Generation, answer_format: AnswerFormat, *, keep_alive: float
    ) -> None:
        # Not as `media_type`, to which Starlette would add a charset.
        headers = {"content-type": "text/event-stream"}
        super().__init__(self._events(), headers=headers | NO_STORE)
        self._generation = generation
        self._format = answer_format
        self._keep_alive = keep_alive
        self._first: Token | GenerationEnd | None = None

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """Generate and send; ends when the client disconnects."""
        async with self._generation.work:
            # What fails before the first token gets a status of its own.
            first = self._generation.next_within(self._keep_alive)
            self._first = await cancel_on_disconnect(receive, first)
            with contextlib.suppress(ClientDisconnect):
                await super().__call__(scope, receive, send)

    async def _events(self) -> AsyncIterator[bytes]:
        for chunk in self._format.first_events():
            yield chunk
        tokens = []
        result = self._first
        try:
            while not isinstance(result, GenerationEnd):
                if result is None:
                    yield b": keep-alive\n\n"
                else:
                    tokens.append(result)
                    for chunk in self._format.token_events(result):
                        yield chunk
                result = await self._generation.next_within(self._keep_alive)
            text = await self._generation.checked(GeneratedText(tokens, result))
            for chunk in self._format.last_events(text):
                yield chunk
        except ErrorResponse as error:
            yield event(
                error.body if "error" in error.body else {"error": {"message": _INFERENCE_ERROR}}
            )


class NativeFormat:
    """DeepInfra's native shape: an event for each token, and a last one with the finish reason.

    Args:
        prefix: What the text begins with, before the first token.
        request_id: The request's id.
    """

    def __init__(self, prefix: str, request_id: str) -> None:
        self._prefix = prefix
        self._request_id = request_id

    def document(self, texts: Sequence[GeneratedText]) -> dict[str, Any]:
        """Return the document of a whole answer."""
        input_tokens = texts[0].end.input_tokens
        output_tokens = sum(text.end.output_tokens for text in texts)
        return {
            "request_id": self._request_id,
            "inference_status": {
                "status": "succeeded",
                "runtime_ms": sum(text.end.runtime_ms for text in texts),
                "cost": COST,
                "tokens_input": input_tokens,
                "tokens_generated": output_tokens,
            },
            "results": [{"generated_text": self._prefix + text.text} for text in texts],
            "num_tokens": output_tokens,
            "num_input_tokens": input_tokens,
        }

    def first_events(self) -> Iterator[bytes]:
        """Yield the prefix, as an event without a token id."""
        if self._prefix:
            yield _token_event({**_NO_TOKEN, "text": self._prefix})

    def token_events(self, token: Token) -> Iterator[bytes]:
        """Yield the event of a token."""
        yield _token_event(
            {"id": token.id, "text": token.text, "logprob": token.logprob, "special": False}
        )

    def last_events(self, text: GeneratedText) -> Iterator[bytes]:
        """Yield the last event."""
        yield event(
            {
                "token": _NO_TOKEN,
                "generated_text": None,
                "details": {"finish_reason": text.end.reason},
                "num_output_tokens": text.end.output_tokens,
                "num_input_tokens": text.end.input_tokens,
                "estimated_cost": COST,
                "request_id": self._request_id,
            }
        )


def _token_event(token: dict[str, Any]) -> bytes:
    return event({"token": token, "generated_text": "", "details": None, "estimated_cost": None})


def event(value: object) -> bytes:
    """Return a server-sent event with a JSON value."""
    return b"data: " + json_bytes(value) + b"\n\n"


def json_bytes(value: object) -> bytes:
    """Return JSON in UTF-8, unescaped, as DeepInfra sends it."""
    return json.dumps(value, ensure_ascii=False).encode()


def json_response(status: int, body: object, headers: dict[str, str] | None = None) -> Response:
    """Return a response with a JSON body."""
    return Response(json_bytes(body), status, headers, media_type="application/json")


async def cancel_on_disconnect(receive: "Receive", work: Coroutine[Any, Any, _T]) -> _T:
    """Return the result of `work`; if the client disconnects, cancel it.

    Raises:
        ClientDisconnect: The client has disconnected.
    """
    working = asyncio.ensure_future(work)
    disconnected = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait({working, disconnected}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientDisconnect
        return working.result()
    finally:
        working.cancel()
        disconnected.cancel()
        await asyncio.gather(working, disconnected, return_exceptions=True)


async def _disconnect(receive: "Receive") -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
