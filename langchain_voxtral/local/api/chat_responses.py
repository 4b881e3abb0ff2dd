"""Answers in OpenAI's chat completion shapes, as DeepInfra sends them.

The usage of a stream rides in the chunk that tells why it ended; no chunk has empty `choices`.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_voxtral.local.api.sending import COST, Made, StreamedAnswer, WholeAnswer, event
from langchain_voxtral.local.engine.generation import Generation
from langchain_voxtral.local.engine.llama import Token
from langchain_voxtral.local.prompting.call_text import CallText
from langchain_voxtral.local.prompting.json_grammar import Constraint
from langchain_voxtral.tools.call_accumulator import ToolCallChunk

__all__ = ["Completion", "CompletionStream", "Form"]

_DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Form:
    """What a completion tells, and how.

    Args:
        model: The model's name.
        is_call: The texts are calls of a tool, and told as such.
        logprobs: The tokens' probabilities are told.
        usage: A stream tells what it cost.
    """

    model: str
    is_call: bool = False
    logprobs: bool = False
    usage: bool = True


class Completion(WholeAnswer):
    """The whole answer, a `chat.completion`.

    Args:
        generation: The request in the engine's queue.
        constraint: What the texts must follow.
        request_id: The request's id.
        responses: How many texts there will be.
        form: What is told.
    """

    def __init__(
        self,
        generation: Generation,
        constraint: Constraint,
        request_id: str,
        *,
        responses: int,
        form: Form,
    ) -> None:
        super().__init__(generation, constraint, request_id, responses=responses)
        self._form = form

    def _body(self, answers: Sequence[Made]) -> dict[str, Any]:
        return {
            **_heading(self._request_id, "chat.completion", self._form.model),
            "choices": [self._choice(index, made) for index, made in enumerate(answers)],
            "usage": _usage(answers),
        }

    def _choice(self, index: int, made: Made) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": made.text}
        reason = made.finished.reason
        if self._form.is_call:
            call = CallText()
            parts = [*call.feed(made.text), *call.end()]
            message |= {"content": call.unread or None, **_calls(parts)}
            reason = "tool_calls" if call.whole else reason
        return {
            "index": index,
            "message": message,
            "logprobs": _logprobs(made.tokens) if self._form.logprobs else None,
            "finish_reason": reason,
        }


class CompletionStream(StreamedAnswer):
    """The answer in `chat.completion.chunk` events.

    Args:
        generation: The request in the engine's queue.
        constraint: What the text must follow.
        request_id: The request's id.
        keep_alive: Seconds without a token after which a comment is sent.
        form: What is told.
    """

    def __init__(
        self,
        generation: Generation,
        constraint: Constraint,
        request_id: str,
        *,
        keep_alive: float,
        form: Form,
    ) -> None:
        super().__init__(generation, constraint, request_id, keep_alive=keep_alive)
        self._heading = _heading(request_id, "chat.completion.chunk", form.model)
        self._form = form
        self._call = CallText() if form.is_call else None

    def _begin(self) -> Iterator[bytes]:
        yield self._chunk({"role": "assistant", "content": None if self._call else ""})

    def _go_on(self, token: Token) -> Iterator[bytes]:
        told = _logprobs([token]) if self._form.logprobs else None
        if self._call:
            deltas = [_call_delta(part) for part in self._call.feed(token.text)]
        else:
            deltas = [{"content": token.text}] if token.text else []
        if told and not deltas:
            deltas = [{}]
        for delta in deltas:
            yield self._chunk(delta, logprobs=told)
            told = None

    def _end(self, made: Made) -> Iterator[bytes]:
        reason = made.finished.reason
        if self._call:
            for part in self._call.end():
                yield self._chunk(_call_delta(part))
            if self._call.unread:
                yield self._chunk({"content": self._call.unread})
            reason = "tool_calls" if self._call.whole else reason
        usage = {"usage": _usage([made])} if self._form.usage else {}
        yield self._chunk({}, finish_reason=reason, **usage)
        yield _DONE

    def _chunk(
        self,
        delta: dict[str, Any],
        *,
        logprobs: dict[str, Any] | None = None,
        finish_reason: str | None = None,
        **more: object,
    ) -> bytes:
        choice = {
            "index": 0,
            "delta": delta,
            "logprobs": logprobs,
            "finish_reason": finish_reason,
        }
        return event({**self._heading, "choices": [choice], **more})


def _heading(request_id: str, kind: str, model: str) -> dict[str, Any]:
    created = int(time.time())
    return {"id": f"chatcmpl-{request_id}", "object": kind, "created": created, "model": model}


def _usage(answers: Sequence[Made]) -> dict[str, Any]:
    read = answers[0].finished.input_tokens
    generated = sum(made.finished.output_tokens for made in answers)
    return {
        "prompt_tokens": read,
        "completion_tokens": generated,
        "total_tokens": read + generated,
        "estimated_cost": COST,
    }


def _logprobs(tokens: Iterable[Token]) -> dict[str, Any]:
    """Return the probabilities of tokens; each token's text is what it added to the answer."""
    content = [
        {
            "token": token.text,
            "logprob": token.logprob,
            "bytes": list(token.text.encode()),
            "top_logprobs": [],
        }
        for token in tokens
    ]
    return {"content": content, "refusal": None}


def _call_delta(part: ToolCallChunk) -> dict[str, Any]:
    function = {"arguments": part.arguments}
    if part.id is None:
        return {"tool_calls": [{"index": part.index, "function": function}]}
    named = {"name": part.name, **function}
    call = {"index": part.index, "id": part.id, "type": "function", "function": named}
    return {"tool_calls": [call]}


def _calls(parts: Sequence[ToolCallChunk]) -> dict[str, Any]:
    """Return what a whole message says of its call, if it came to one."""
    if not parts:
        return {}
    arguments = "".join(part.arguments for part in parts)
    function = {"name": parts[0].name, "arguments": arguments}
    return {"tool_calls": [{"id": parts[0].id, "type": "function", "function": function}]}
