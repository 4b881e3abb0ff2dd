"""Markdown code fences around an answer that should be JSON alone."""

import re

_OPENING = re.compile(r"\s*(?P<fence>`{3,}|~{3,})[^\n`~{\[]*\s*(?=[{\[])")
"""A fence, what its line says about the language, and the beginning of the JSON."""


def strip_code_fence(text: str) -> str:
    """Return JSON without the code fence that all of it stands in; other texts as they are.

    The closing fence may be missing, as in an answer that is cut.
    """
    opening = _OPENING.match(text)
    if not opening:
        return text
    fence, body = opening["fence"], text[opening.end() :].rstrip()
    inner = body.rstrip(fence[0])
    if len(body) - len(inner) >= len(fence):
        return inner.rstrip()
    return text if fence in body else body
