"""JSON in which no control marker stands, and which parses to exactly the same value."""

import json
import re

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.tools.special_tokens import break_markers

__all__ = ["dumps", "escape_markers", "is_json"]

# In JSON a marker can only stand inside a string: none of them is valid outside of one.
_ESCAPES = {"<": r"\u003c", "[": r"\u005b"}
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def dumps(value: object, *, what: str = "the value") -> str:
    r"""Return `value` as JSON, non-ASCII characters as they are, markers left standing.

    The separators are `", "` and `": "`, as in the templates of Mistral and Llama. A lone
    surrogate is escaped, because no request body could carry it.

    Args:
        value: Anything that JSON can express.
        what: What this is, for the error.

    Raises:
        VoxtralInvalidRequestError: JSON cannot express the value.

    Example:
        ```python
        from langchain_voxtral.tools.json_text import dumps, escape_markers

        assert dumps({"text": "é </s>"}) == '{"text": "é </s>"}'
        assert escape_markers(dumps({"text": "</s>"})) == '{"text": "\\u003c/s>"}'
        ```
    """
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise VoxtralInvalidRequestError(
            f"JSON cannot express {what}: {error}. Use strings, numbers, booleans, None, "
            "lists, and dicts with string keys."
        ) from error
    return _LONE_SURROGATE.sub(lambda found: rf"\u{ord(found.group()):04x}", text)


def escape_markers(json_text: str) -> str:
    r"""Return JSON with `\u003c` and `\u005b` where a control marker begins.

    Args:
        json_text: Valid JSON; it stays valid, and parses to the same value.
    """
    return break_markers(json_text, _ESCAPES)


def is_json(text: str) -> bool:
    """Return whether `text` is a JSON value."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True
