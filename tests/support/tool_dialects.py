"""The three encodings of tool calls: as text in two prompt formats, and as JSON fields.

A test states once what the model answers, and each dialect encodes it. The dialect also reads the
request.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

import pytest
from langchain_core.messages.ai import UsageMetadata
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import event, events, final, json_reply, token
from support.sse_replies import whole as documented

from langchain_voxtral import ChatVoxtral
from langchain_voxtral.prompts import FORMATS

MODEL = "mistralai/Voxtral-Mini-3B-2507"
USAGE = UsageMetadata(input_tokens=12, output_tokens=25, total_tokens=37)
"""The usage that every response below reports."""


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """A call that the scripted model makes.

    Args:
        name: The tool's name.
        arguments: Its arguments as the model writes them: JSON, or what should have been.
        id: The call's id, where the dialect has ids.
    """

    name: str
    arguments: str = "{}"
    id: str = "aB3dE6gH9"


class Dialect(ABC):
    """How one endpoint encodes tools and calls.

    Args:
        name: Its name.
        fields: The settings with which a `ChatVoxtral` uses it.
    """

    name: str
    fields: Mapping[str, Any]
    has_ids: bool
    """Whether the server sends ids of calls; else the client generates them."""

    def chat(self, server: ScriptedServer, **fields: Any) -> ChatVoxtral:
        """Return a model that calls this server in this dialect."""
        return ChatVoxtral(base_url=server.url, **{**self.fields, **fields})

    @abstractmethod
    def whole(self, text: str = "", calls: Sequence[ScriptedCall] = (), reason: str = "") -> Reply:
        """Return an unstreamed response with a text and then calls.

        `reason` is the finish reason, where the endpoint has one.
        """

    @abstractmethod
    def tokens(
        self, text: str = "", calls: Sequence[ScriptedCall] = (), size: int = 3
    ) -> list[bytes]:
        """Return the events of a stream except the last, `size` characters in each."""

    @abstractmethod
    def texts(self, text: str, size: int = 3) -> list[bytes]:
        """Return the events of more text."""

    @abstractmethod
    def last(self, reason: str = "") -> bytes:
        """Return the last event of a stream: finish reason, usage and cost."""

    def streamed(
        self, text: str = "", calls: Sequence[ScriptedCall] = (), size: int = 3, reason: str = ""
    ) -> Reply:
        """Return a stream, each event in a chunk of its own."""
        reason = reason or self.reason(calls)
        return events(*self.tokens(text, calls, size), self.last(reason))

    def reply(
        self, call_mode: str, text: str = "", calls: Sequence[ScriptedCall] = (), reason: str = ""
    ) -> Reply:
        """Return the response for a call mode: `invoke`, `astream`, ..."""
        make_reply = self.streamed if "stream" in call_mode else self.whole
        return make_reply(text, calls, reason=reason)

    @abstractmethod
    def reason(self, calls: Sequence[ScriptedCall]) -> str:
        """Return the finish reason of a complete response."""

    @abstractmethod
    def metadata(self, calls: Sequence[ScriptedCall], *, streamed: bool) -> dict[str, Any]:
        """Return the `response_metadata` of a complete response."""

    @abstractmethod
    def begun(self, call: ScriptedCall, size: int) -> tuple[str, list[ScriptedCall]]:
        """Return text and calls after this many characters of a call."""

    @abstractmethod
    def length(self, call: ScriptedCall) -> int:
        """Return the number of characters of a call, as `begun` counts them."""

    @abstractmethod
    def offered(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Return the functions that a request offers to the model."""

    @abstractmethod
    def conversation(self, body: Mapping[str, Any]) -> Any:
        """Return the part of a request that holds the conversation."""


@dataclass(frozen=True, slots=True)
class Native(Dialect):
    """Tools described in the prompt, calls in the text.

    Args:
        name: The prompt format.
        key: Its JSON key for arguments.
    """

    name: str
    key: str
    has_ids: bool = False

    @property
    def fields(self) -> Mapping[str, Any]:  # type: ignore[override]
        """The settings with which a `ChatVoxtral` uses it."""
        return {"prompt_format": self.name}

    def written(self, text: str, calls: Sequence[ScriptedCall]) -> str:
        """Return an answer as the model writes it."""
        if self.name == "mistral":
            inner = ", ".join(
                f'{{"name": "{call.name}", "arguments": {call.arguments}, "id": "{call.id}"}}'
                for call in calls
            )
            return text + (f"[TOOL_CALLS][{inner}]" if calls else "")
        lines = [f'{{"name": "{call.name}", "parameters": {call.arguments}}}' for call in calls]
        return "\n".join([text, *lines] if text else lines)

    def whole(self, text: str = "", calls: Sequence[ScriptedCall] = (), reason: str = "") -> Reply:
        return documented(self.written(text, calls))

    def tokens(
        self, text: str = "", calls: Sequence[ScriptedCall] = (), size: int = 3
    ) -> list[bytes]:
        return self.texts(self.written(text, calls), size)

    def texts(self, text: str, size: int = 3) -> list[bytes]:
        return [token(piece) for piece in _split(text, size)]

    def last(self, reason: str = "") -> bytes:
        return final(details={"finish_reason": reason or "stop"})

    def reason(self, calls: Sequence[ScriptedCall]) -> str:
        return "stop"

    def metadata(self, calls: Sequence[ScriptedCall], *, streamed: bool) -> dict[str, Any]:
        known = {"model_name": MODEL, "model_provider": "deepinfra", "endpoint": "native"}
        if streamed:
            details = {"finish_reason": "stop", "finish_reason_source": "server", "cost": 0.0000386}
        else:
            details = {
                "request_id": "RWZDRhS5kdoM1XWwXLEshynO",
                "cost": 0.0000436,
                "runtime_ms": 243,
            }
        return known | details

    def begun(self, call: ScriptedCall, size: int) -> tuple[str, list[ScriptedCall]]:
        return self.written("", [call])[:size], []

    def length(self, call: ScriptedCall) -> int:
        return len(self.written("", [call]))

    def offered(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        syntax = FORMATS[self.name].tools
        assert syntax is not None
        _, found, rest = body["input"].partition(syntax.open)
        if not found:
            return []
        if self.name == "mistral":
            return [tool["function"] for tool in json.loads(rest.partition(syntax.close)[0])]
        lines = re.split(r"\n\n|<\|eot_id\|>", rest, maxsplit=1)[0].splitlines()
        return [json.loads(line) for line in lines]

    def conversation(self, body: Mapping[str, Any]) -> Any:
        return body["input"]


@dataclass(frozen=True, slots=True)
class ChatCompletions(Dialect):
    """OpenAI's chat completions: tools and calls are fields of the JSON."""

    name: str = "chat_completions"
    fields: Mapping[str, Any] = field(default_factory=lambda: {"api": "chat_completions"})
    has_ids: bool = True

    def whole(self, text: str = "", calls: Sequence[ScriptedCall] = (), reason: str = "") -> Reply:
        message: dict[str, Any] = {"role": "assistant", "content": text or None}
        if calls:
            message["tool_calls"] = [
                {"id": call.id, "type": "function", "function": _function(call)} for call in calls
            ]
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": reason or self.reason(calls),
        }
        return json_reply(_DOCUMENT | {"choices": [choice], "usage": _usage(0.0000436)})

    def tokens(
        self, text: str = "", calls: Sequence[ScriptedCall] = (), size: int = 3
    ) -> list[bytes]:
        deltas: list[dict[str, Any]] = []
        for index, call in enumerate(calls):
            begun = {"index": index, "id": call.id, "type": "function"}
            deltas.append(
                {"tool_calls": [begun | {"function": _function(replace(call, arguments=""))}]}
            )
            deltas += [
                {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
                for piece in _split(call.arguments, size)
            ]
        role = _chunk({"role": "assistant", "content": ""})
        return [role, *self.texts(text, size), *map(_chunk, deltas)]

    def texts(self, text: str, size: int = 3) -> list[bytes]:
        return [_chunk({"content": piece}) for piece in _split(text, size)]

    def last(self, reason: str = "") -> bytes:
        return _chunk({}, reason or "stop", usage=_usage(0.0000386)) + b"data: [DONE]\n\n"

    def reason(self, calls: Sequence[ScriptedCall]) -> str:
        return "tool_calls" if calls else "stop"

    def metadata(self, calls: Sequence[ScriptedCall], *, streamed: bool) -> dict[str, Any]:
        return {
            "model_name": MODEL,
            "model_provider": "deepinfra",
            "endpoint": "chat_completions",
            "finish_reason": self.reason(calls),
            "finish_reason_source": "server",
            "request_id": _DOCUMENT["id"],
            "cost": 0.0000386 if streamed else 0.0000436,
        }

    def begun(self, call: ScriptedCall, size: int) -> tuple[str, list[ScriptedCall]]:
        return "", [replace(call, arguments=call.arguments[:size])]

    def length(self, call: ScriptedCall) -> int:
        return len(call.arguments)

    def offered(self, body: Mapping[str, Any]) -> list[dict[str, Any]]:
        return [tool["function"] for tool in body.get("tools", ())]

    def conversation(self, body: Mapping[str, Any]) -> Any:
        return body["messages"]


_DOCUMENT: dict[str, Any] = {"id": "chatcmpl-guMTxWgpFf", "created": 1700000000, "model": MODEL}


def _function(call: ScriptedCall) -> dict[str, str]:
    return {"name": call.name, "arguments": call.arguments}


def _usage(cost: float) -> dict[str, Any]:
    return {
        "prompt_tokens": USAGE["input_tokens"],
        "completion_tokens": USAGE["output_tokens"],
        "total_tokens": USAGE["total_tokens"],
        "estimated_cost": cost,
    }


def _chunk(delta: Mapping[str, Any], reason: str | None = None, **beside: Any) -> bytes:
    choice = {"index": 0, "delta": dict(delta), "finish_reason": reason}
    return event(_DOCUMENT | {"choices": [choice], **beside})


def _split(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


LLAMA3 = Native("llama3", "parameters")
MISTRAL = Native("mistral", "arguments")
CHAT = ChatCompletions()
NATIVES = (LLAMA3, MISTRAL)
DIALECTS = (LLAMA3, MISTRAL, CHAT)
in_every_dialect = pytest.mark.parametrize("dialect", DIALECTS, ids=attrgetter("name"))
in_prompts = pytest.mark.parametrize("dialect", NATIVES, ids=attrgetter("name"))
