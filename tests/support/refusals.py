"""Refusals of servers of chat completions."""

from typing import Any

from support.scripted_server import Reply
from support.sse_replies import event, events, json_reply

REFUSAL = "I cannot help with that."
_END = {"finish_reason": "stop"}
_USAGE = {"prompt_tokens": 4, "completion_tokens": 2}


def refused(*, is_streamed: bool, text: str = "") -> Reply:
    """Return a server's answer that is a refusal, perhaps after a text."""
    if is_streamed:
        return events(*refusal_events(text))
    message = {"role": "assistant", "content": text or None, "refusal": REFUSAL}
    choice = {"index": 0, "message": message, **_END}
    return json_reply({"id": "R1", "choices": [choice], "usage": _USAGE})


def refusal_events(text: str = "") -> list[bytes]:
    """Return the events of a streamed refusal."""
    deltas: list[Any] = [{"role": "assistant", "content": ""}]
    deltas += [{"content": text}] if text else []
    deltas += [{"refusal": REFUSAL[:9]}, {"refusal": REFUSAL[9:]}]
    documents = [{"id": "R1", "choices": [{"index": 0, "delta": delta}]} for delta in deltas]
    last = {"id": "R1", "choices": [{"index": 0, "delta": {}, **_END}], "usage": _USAGE}
    return [*map(event, [*documents, last]), b"data: [DONE]\n\n"]
