"""Markdown code fences around an answer that should be JSON alone."""

import re

# Possessive quantifiers: answers may be much white space.
_FENCE = r"(`{3,}+|~{3,}+)[^\n`~{\[\"]*+\s*+"
_OPENING = re.compile(rf"\ufeff?\s*+(?:{_FENCE})?(?=[{{\[\"\d-]|(?:true|false|null)\b)")
"""A byte order mark, a fence, what its line says about the language, before the JSON."""
_BEGUN = re.compile(rf"\ufeff?\s*+(?:`{{1,2}}|~{{1,2}}|{_FENCE})?")
_WRAPPED = ("\ufeff", "`", "~")


def strip_json_fence(text: str) -> str:
    """Return JSON without the code fence that all of it stands in; other texts as they are.

    The closing fence may be missing, as in an answer that is cut.
    """
    opening = _OPENING.match(text)
    if not opening or not text.lstrip().startswith(_WRAPPED):
        return text
    body, fence = text[opening.end() :], opening[1]
    if fence is None:
        return body
    inner = _without_closing(body, fence)
    if inner is body and re.search(rf"\n[ \t]*{fence}", body):
        return text  # there is more behind the closing fence
    return inner.rstrip()


def _without_closing(text: str, fence: str) -> str:
    stripped = text.rstrip()
    inner = stripped.rstrip(fence[0])
    return inner.rstrip() if len(stripped) - len(inner) >= len(fence) else text


class JsonFenceFilter:
    """Takes off the code fence around JSON that streams, as `strip_json_fence` does of a whole.

    Of text behind the closing fence nothing is known when the opening one is dropped; it leaves
    together with the closing one.
    """

    special_characters = ""

    def __init__(self) -> None:
        self._held = ""
        self._is_begun = False
        self._fence: str | None = None

    @property
    def is_plain(self) -> bool:
        """Whether all text would come out unchanged."""
        return self._is_begun and self._fence is None

    def feed(self, text: str) -> str:
        """Take text, return what is known to stay."""
        if self.is_plain:
            return text
        text, self._held = self._held + text, ""
        if not self._is_begun:
            opening = _OPENING.match(text)
            if opening is None and _BEGUN.fullmatch(text):
                self._held = text
                return ""
            self._is_begun = True
            if opening is not None and text.lstrip().startswith(_WRAPPED):
                self._fence, text = opening[1], text[opening.end() :]
        if self._fence is None:
            return text
        body = text.rstrip(f" \t\r\n{self._fence[0]}")
        self._held = text[len(body) :]
        return body

    def finish(self) -> str:
        """Return the rest, without the closing fence: the text has ended."""
        held, self._held = self._held, ""
        return held if self._fence is None else _without_closing(held, self._fence)
