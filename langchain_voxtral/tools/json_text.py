"""JSON as prompts and requests write it."""

import json
import re

from langchain_voxtral.errors import VoxtralInvalidRequestError

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
        from langchain_voxtral.tools.json_text import dumps

        assert dumps({"text": "é </s>"}) == '{"text": "é </s>"}'
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
