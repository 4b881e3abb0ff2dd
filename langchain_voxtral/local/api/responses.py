"""Answers in DeepInfra's native shapes: one JSON document, or server-sent events."""

from collections.abc import Iterator, Sequence
from typing import Any

from langchain_voxtral.local.api.sending import COST, Made, StreamedAnswer, WholeAnswer, event
from langchain_voxtral.local.engine.generation import Generation
from langchain_voxtral.local.engine.llama import Token
from langchain_voxtral.local.prompting.tasks import Task

__all__ = ["EventStream", "JsonAnswer"]

_NO_TOKEN = {"id": None, "text": "", "logprob": 0.0, "special": False}


class JsonAnswer(WholeAnswer):
    """The native document.

    Args:
        generation: The request in the engine's queue.
        task: What the model does.
        request_id: The request's id.
        responses: How many texts there will be.
    """

    def __init__(
        self, generation: Generation, task: Task, request_id: str, *, responses: int
    ) -> None:
        super().__init__(generation, task.constraint, request_id, responses=responses)
        self._opening = task.opening

    def _body(self, answers: Sequence[Made]) -> dict[str, Any]:
        generated = sum(made.finished.output_tokens for made in answers)
        read = answers[0].finished.input_tokens
        return {
            "request_id": self._request_id,
            "inference_status": {
                "status": "succeeded",
                "runtime_ms": self._generation.runtime_ms,
                "cost": COST,
                "tokens_input": read,
                "tokens_generated": generated,
            },
            "results": [{"generated_text": self._opening + made.text} for made in answers],
            "num_tokens": generated,
            "num_input_tokens": read,
        }


class EventStream(StreamedAnswer):
    """The native events: one for each token, and the last that tells how it ended.

    What an answer opens with, and no token says, is an event like the last: without an id.

    Args:
        generation: The request in the engine's queue.
        task: What the model does.
        request_id: The request's id.
        keep_alive: Seconds without a token after which a comment is sent.
    """

    def __init__(
        self, generation: Generation, task: Task, request_id: str, *, keep_alive: float
    ) -> None:
        super().__init__(generation, task.constraint, request_id, keep_alive=keep_alive)
        self._opening = task.opening

    def _begin(self) -> Iterator[bytes]:
        if self._opening:
            yield _shown({**_NO_TOKEN, "text": self._opening})

    def _go_on(self, token: Token) -> Iterator[bytes]:
        yield _shown(
            {"id": token.id, "text": token.text, "logprob": token.logprob, "special": False}
        )

    def _end(self, made: Made) -> Iterator[bytes]:
        yield event(
            {
                "token": _NO_TOKEN,
                "generated_text": None,
                "details": {"finish_reason": made.finished.reason},
                "num_output_tokens": made.finished.output_tokens,
                "num_input_tokens": made.finished.input_tokens,
                "estimated_cost": COST,
                "request_id": self._request_id,
            }
        )


def _shown(token: dict[str, Any]) -> bytes:
    return event({"token": token, "generated_text": "", "details": None, "estimated_cost": None})
