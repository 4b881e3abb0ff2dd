"""JSON as prompts and requests write it."""

import json
import marshal
import re
import sys
from typing import Any

from langchain_voxtral.errors import VoxtralInvalidRequestError

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def dumps(value: object, *, what: str = "the value") -> str:
    """Return `value`, which errors call `what`, as JSON with non-ASCII characters as they are.

    The separators are `", "` and `": "`, as in the templates of Mistral and Llama. A lone
    surrogate is escaped, because no request body could carry it.

    Raises:
        VoxtralInvalidRequestError: JSON cannot express the value.
    """
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise VoxtralInvalidRequestError(
            f"JSON cannot express {what}: {error}. Use strings, numbers, booleans, None, "
            "lists, and dicts with string keys."
        ) from error
    return _LONE_SURROGATE.sub(lambda found: rf"\u{ord(found.group()):04x}", text)


def max_json_tokens(values: Any) -> int:
    """Return how many tokens the JSON of tools or calls has at most, in a tenth of its time."""
    # Each value of marshal's old format has five bytes and its text; JSON has quotes and escapes.
    try:
        return 6 * len(marshal.dumps(values, 2)) + 60 * len(values) if values else 0
    except ValueError:
        return sys.maxsize  # a class of the user's: they have to be looked at
