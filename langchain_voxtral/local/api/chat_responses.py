"""Answers in the shape of OpenAI's chat completions, as DeepInfra sends them.

The usage of a stream is in the chunk with the finish reason; no chunk has empty `choices`.
"""

import json
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from langchain_voxtral.local.api.responses import COST, GeneratedText, event
from langchain_voxtral.local.engine.llama import Token
from langchain_voxtral.tools.answer_parser import AnswerParser
from langchain_voxtral.tools.call_accumulator import ToolCallChunk
from langchain_voxtral.tools.call_ids import new_call_id

_DONE = b"data: [DONE]\n\n"


class ChatFormat:
    """The shape of a chat completion.

    Args:
        model: The model's name.
        request_id: The request's id.
        tool_names: Tools of which the text is a call; none if it is no call.
        logprobs: Whether log probabilities are included.
        usage: Whether a stream includes the usage.
    """

    def __init__(
        self,
        model: str,
        request_id: str,
        *,
        tool_names: Collection[str] = (),
        logprobs: bool = False,
        usage: bool = True,
    ) -> None:
        self._heading = {
            "id": f"chatcmpl-{request_id}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": model,
        }
        self._tool_names = tool_names
        self._logprobs = logprobs
        self._usage = usage
        self._call = _ToolCallText(tool_names) if tool_names else None

    def document(self, texts: Sequence[GeneratedText]) -> dict[str, Any]:
        """Return the `chat.completion` of a whole answer."""
        choices = [self._choice(index, text) for index, text in enumerate(texts)]
        return {**self._heading, "choices": choices, "usage": _usage(texts)}

    def first_events(self) -> Iterator[bytes]:
        """Yield the chunk with the role."""
        yield self._chunk({"role": "assistant", "content": None if self._call else ""})

    def token_events(self, token: Token) -> Iterator[bytes]:
        """Yield the chunks of a token."""
        logprobs = _logprobs([token]) if self._logprobs else None
        if self._call:
            deltas = [_delta(part) for part in self._call.feed(token.text)]
        else:
            deltas = [{"content": token.text}] if token.text else []
        if logprobs and not deltas:
            deltas = [{}]
        for delta in deltas:
            yield self._chunk(delta, logprobs=logprobs)
            logprobs = None

    def last_events(self, text: GeneratedText) -> Iterator[bytes]:
        """Yield the rest of a tool call, the chunk with the finish reason, and `[DONE]`."""
        reason = text.end.reason
        if self._call:
            for part in self._call.close():
                yield self._chunk(_delta(part))
            reason = "tool_calls" if self._call.is_complete else reason
        usage = {"usage": _usage([text])} if self._usage else {}
        yield self._chunk({}, finish_reason=reason, **usage)
        yield _DONE

    def _choice(self, index: int, text: GeneratedText) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": text.text}
        reason = text.end.reason
        if self._tool_names:
            call = _ToolCallText(self._tool_names)
            message |= _call_message([*call.feed(text.text), *call.close()])
            reason = "tool_calls" if call.is_complete else reason
        return {
            "index": index,
            "message": message,
            "logprobs": _logprobs(text.tokens) if self._logprobs else None,
            "finish_reason": reason,
        }

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
        heading = {**self._heading, "object": "chat.completion.chunk"}
        return event({**heading, "choices": [choice], **more})


class _ToolCallText:
    """The text of one tool call, parsed into chunks with an id."""

    def __init__(self, names: Collection[str]) -> None:
        self._parser = AnswerParser(names)
        self._arguments = ""

    def feed(self, text: str) -> list[str | ToolCallChunk]:
        return self._with_id(self._parser.feed(text))

    def close(self) -> list[str | ToolCallChunk]:
        return self._with_id(self._parser.close())

    @property
    def is_complete(self) -> bool:
        """Whether the arguments are a whole JSON object."""
        try:
            return isinstance(json.loads(self._arguments), dict)
        except (ValueError, RecursionError):
            return False

    def _with_id(self, parts: list[str | ToolCallChunk]) -> list[str | ToolCallChunk]:
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
    call = {"id": part.id, "type": "function", "function": {"name": part.name, **function}}
    return {"tool_calls": [{"index": part.index, **call}]}


def _call_message(parts: Sequence[str | ToolCallChunk]) -> dict[str, Any]:
    """Return the fields of a message with a tool call, or with the text that was none."""
    chunks = [part for part in parts if isinstance(part, ToolCallChunk)]
    content = "".join(part for part in parts if isinstance(part, str)) or None
    if not chunks:
        return {"content": content}
    arguments = "".join(chunk.arguments for chunk in chunks)
    function = {"name": chunks[0].name, "arguments": arguments}
    call = {"id": chunks[0].id, "type": "function", "function": function}
    return {"content": content, "tool_calls": [call]}


def _usage(texts: Sequence[GeneratedText]) -> dict[str, Any]:
    input_tokens = texts[0].end.input_tokens
    output_tokens = sum(text.end.output_tokens for text in texts)
    return {
        "prompt_tokens": input_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens,
        "estimated_cost": COST,
    }


def _logprobs(tokens: Iterable[Token]) -> dict[str, Any]:
    """Return log probabilities; a token's text is what it added to the answer."""
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
