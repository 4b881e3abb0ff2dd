"""Answers in OpenAI's chat completion shapes, as DeepInfra sends them.

The usage of a stream rides in the chunk that tells why it ended; no chunk has empty `choices`.
"""

import json
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_voxtral.local.api.sending import COST, Made, StreamedAnswer, WholeAnswer, event
from langchain_voxtral.local.engine.generation import Generation
from langchain_voxtral.local.engine.llama import Token
from langchain_voxtral.local.prompting.json_grammar import Constraint
from langchain_voxtral.tools.call_accumulator import ToolCallChunk
from langchain_voxtral.tools.call_ids import new_call_id
from langchain_voxtral.tools.call_parser import ToolCallParser

__all__ = ["Completion", "CompletionStream", "Form"]

_DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Form:
    """What a completion tells, and how.

    Args:
        model: The model's name.
        tool_names: Tools of which the texts are calls; none if they are no calls.
        logprobs: The tokens' probabilities are told.
        usage: A stream tells what it cost.
    """

    model: str
    tool_names: tuple[str, ...] = ()
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
        if self._form.tool_names:
            call = _ToolCallText(self._form.tool_names)
            parts = [*call.feed(made.text), *call.close()]
            message |= _call_message(parts)
            reason = "tool_calls" if call.is_complete else reason
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
        self._call = _ToolCallText(form.tool_names) if form.tool_names else None

    def _begin(self) -> Iterator[bytes]:
        yield self._chunk({"role": "assistant", "content": None if self._call else ""})

    def _go_on(self, token: Token) -> Iterator[bytes]:
        told = _logprobs([token]) if self._form.logprobs else None
        if self._call:
            deltas = [_delta(part) for part in self._call.feed(token.text)]
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
            for part in self._call.close():
                yield self._chunk(_delta(part))
            reason = "tool_calls" if self._call.is_complete else reason
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


class _ToolCallText:
    """The text of one call, read into parts that have an id."""

    def __init__(self, names: Collection[str]) -> None:
        self._parser = ToolCallParser(names)
        self._arguments = ""

    def feed(self, text: str) -> list[str | ToolCallChunk]:
        return self._read(self._parser.feed(text))

    def close(self) -> list[str | ToolCallChunk]:
        return self._read(self._parser.close())

    @property
    def is_complete(self) -> bool:
        """Whether the arguments are all there."""
        try:
            return isinstance(json.loads(self._arguments), dict)
        except (ValueError, RecursionError):
            return False

    def _read(self, parts: list[str | ToolCallChunk]) -> list[str | ToolCallChunk]:
        for part in parts:
            if isinstance(part, ToolCallChunk):
                part.id = new_call_id() if part.name else None
                self._arguments += part.arguments
        return parts


def _delta(part: str | ToolCallChunk) -> dict[str, Any]:
    if isinstance(part, str):
        return {"content": part}
    function = {"arguments": part.arguments}
    if part.id is None:
        return {"tool_calls": [{"index": part.index, "function": function}]}
    named = {"name": part.name, **function}
    call = {"index": part.index, "id": part.id, "type": "function", "function": named}
    return {"tool_calls": [call]}


def _call_message(parts: Sequence[str | ToolCallChunk]) -> dict[str, Any]:
    """Return what a whole message says of its call, or the text if it came to none."""
    chunks = [part for part in parts if isinstance(part, ToolCallChunk)]
    content = "".join(part for part in parts if isinstance(part, str)) or None
    if not chunks:
        return {"content": content}
    arguments = "".join(chunk.arguments for chunk in chunks)
    function = {"name": chunks[0].name, "arguments": arguments}
    call = {"id": chunks[0].id, "type": "function", "function": function}
    return {"content": content, "tool_calls": [call]}
