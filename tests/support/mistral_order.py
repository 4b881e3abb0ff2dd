"""The order of messages that servers with a Mistral template take.

It is what `mistral-common` and the templates of llama.cpp check, all versions together.
"""

import re
from collections.abc import Sequence
from typing import Any

_ORDER = re.compile(r"s?u((ct+)*au)*(ct+)*a?")
"""Each letter is a message: system, user, assistant with calls or without, result of a tool."""
_NAME = re.compile("[a-zA-Z0-9_-]{1,64}")


def mistral_order_fault(messages: Sequence[dict[str, Any]]) -> str:
    """Return why a server refuses these messages, or nothing."""
    letters = ["c" if message.get("tool_calls") else message["role"][0] for message in messages]
    if not _ORDER.fullmatch("".join(letters)):
        return f"Unexpected order of roles: {''.join(letters)}"
    waiting: list[str] = []
    for letter, message in zip(letters, messages, strict=True):
        if letter == "t" and waiting[:1] != [message["tool_call_id"]]:
            return "Unexpected tool call id in tool results"
        if letter == "a" and not message["content"]:
            return "Invalid assistant message"
        if letter != "t" and waiting:
            return "Not the same number of function calls and responses"
        waiting = waiting[1:]
        for call in message.get("tool_calls", ()):
            waiting.append(call["id"])
            if not _NAME.fullmatch(call["function"]["name"]):
                return f"Function name was {call['function']['name']}"
    return "Not the same number of function calls and responses" if waiting else ""
